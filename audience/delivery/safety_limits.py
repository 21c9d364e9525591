"""What keeps a slip of the pen from telling too many: a send names its size, and a broadcast is said twice."""

from collections.abc import Iterable
from dataclasses import dataclass

from audience.errors import DeliveryError, PayloadError, Problem
from audience.language.ast import Everyone
from audience.vendors.spec import Payload, Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """How many devices a send may mean: those that are expected, or at most so many; *broadcast* allows everyone."""

    expect: int | None = None
    max_devices: int | None = None
    broadcast: bool = False


def guard(devices: int, to: Vendor, native: Iterable[Payload], allowed: Allowed) -> None:
    """Raise DeliveryError where a send to *devices*, some of them by *native* requests, goes beyond what is *allowed*.

    >>> from audience.vendors import vendor
    >>> guard(3, vendor("tpns"), [], Allowed(expect=3))
    >>> guard(4, vendor("tpns"), [], Allowed(max_devices=3))
    Traceback (most recent call last):
      ...
    audience.errors.DeliveryError: too-many: 4 devices are meant, more than the 3 that --max-devices allows
       = hint: nothing was sent
    """
    problems = [*too_many(devices, allowed)]
    if not allowed.broadcast and any(_everyone(to, payload) for payload in native):
        hint = "say --broadcast where that is meant; nothing was sent"
        problems.append(Problem("broadcast", f"everyone that {to.name} knows is meant", hint=hint))
    if problems:
        raise DeliveryError(*problems)


def too_many(devices: int, allowed: Allowed) -> Iterable[Problem]:
    """Why a send to *devices* is larger than what is *allowed*."""
    if allowed.expect is None and allowed.max_devices is None:
        hint = f"{devices:,} devices are meant: --expect {devices}, or --max-devices N"
        yield Problem("no-size", "a send names its size", hint=hint)
    for most, option in ((allowed.expect, "--expect"), (allowed.max_devices, "--max-devices")):
        if most is not None and devices > most:
            message = f"{devices:,} devices are meant, more than the {most:,} that {option} allows"
            yield Problem("too-many", message, hint="nothing was sent")


def fewer(devices: int, allowed: Allowed) -> list[Problem]:
    """The warning that fewer *devices* are meant than were expected."""
    if allowed.expect is None or devices >= allowed.expect:
        return []
    return [Problem("fewer", f"{devices:,} devices are meant, fewer than the {allowed.expect:,} that are expected")]


def _everyone(to: Vendor, payload: Payload) -> bool:
    """Whether *payload* is a broadcast; one that cannot be read is taken for one."""
    try:
        return to.parse(payload) == Everyone()
    except PayloadError:
        return True
