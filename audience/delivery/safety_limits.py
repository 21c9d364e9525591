"""What keeps a slip of the pen from telling too many: a send names its size, and a broadcast is said twice."""

from collections.abc import Iterable
from dataclasses import dataclass

from audience.errors import DeliveryError, PayloadError, Problem
from audience.language.ast import Everyone
from audience.vendors.spec import Payload, Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLimits:
    """How many devices a send may mean: those that are expected, or at most so many; *broadcast* allows everyone."""

    expected: int | None = None
    max_devices: int | None = None
    broadcast: bool = False


def enforce_limits(device_count: int, vendor: Vendor, native_payloads: Iterable[Payload], limits: SafetyLimits) -> None:
    """Raise DeliveryError where a send to *devices*, some of them by *native* requests, goes beyond what is *allowed*.

    >>> from audience.vendors import get_vendor
    >>> enforce_limits(3, get_vendor("tpns"), [], SafetyLimits(expected=3))
    >>> enforce_limits(4, get_vendor("tpns"), [], SafetyLimits(max_devices=3))
    Traceback (most recent call last):
      ...
    audience.errors.DeliveryError: too-many: 4 devices are meant, more than the 3 that --max-devices allows
       = hint: nothing was sent
    """
    problems = [*size_problems(device_count, limits)]
    if not limits.broadcast and any(_is_broadcast(vendor, payload) for payload in native_payloads):
        hint = "say --broadcast where that is meant; nothing was sent"
        problems.append(Problem("broadcast", f"everyone that {vendor.name} knows is meant", hint=hint))
    if problems:
        raise DeliveryError(*problems)


def size_problems(device_count: int, limits: SafetyLimits) -> Iterable[Problem]:
    """Why a send to *devices* is larger than what is *allowed*."""
    if limits.expected is None and limits.max_devices is None:
        hint = f"{device_count:,} devices are meant: --expect {device_count}, or --max-devices N"
        yield Problem("no-size", "a send names its size", hint=hint)
    for most, option in ((limits.expected, "--expect"), (limits.max_devices, "--max-devices")):
        if most is not None and device_count > most:
            message = f"{device_count:,} devices are meant, more than the {most:,} that {option} allows"
            yield Problem("too-many", message, hint="nothing was sent")


def warn_if_fewer(device_count: int, limits: SafetyLimits) -> list[Problem]:
    """The warning that fewer *devices* are meant than were expected."""
    if limits.expected is None or device_count >= limits.expected:
        return []
    return [
        Problem("fewer", f"{device_count:,} devices are meant, fewer than the {limits.expected:,} that are expected")
    ]


def _is_broadcast(vendor: Vendor, payload: Payload) -> bool:
    """Whether *payload* is a broadcast; one that cannot be read is taken for one."""
    try:
        return vendor.parse(payload) == Everyone()
    except PayloadError:
        return True
