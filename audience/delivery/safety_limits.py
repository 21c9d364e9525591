"""Safety limits: every send states how many devices it may reach, and a broadcast needs an option of its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from audience.algebra.simplification import simplify
from audience.counts import format_count
from audience.errors import DeliveryError, PayloadError, Problem
from audience.language.ast import Everyone
from audience.vendors.platform_field import split_platform_terms
from audience.vendors.spec import Payload, Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLimits:
    """Limits of a send; one of *expected*, *max_devices* and *broadcast* is required.

    Attributes:
        expected: How many devices the send messages, exactly: without those that have no id at the vendor.
        max_devices: How many devices it may message.
        broadcast: Whether a native request may reach all devices that the vendor knows, or all of a platform.
    """

    expected: int | None = None
    max_devices: int | None = None
    broadcast: bool = False


def enforce_limits(device_count: int, vendor: Vendor, native_payloads: Iterable[Payload], limits: SafetyLimits) -> None:
    """Raise DeliveryError if a send to *device_count* devices, by native and other requests, exceeds *limits*.

    >>> from audience.vendors import get_vendor
    >>> enforce_limits(3, get_vendor("tpns"), [], SafetyLimits(expected=3))
    >>> enforce_limits(4, get_vendor("tpns"), [], SafetyLimits(max_devices=3))
    Traceback (most recent call last):
      ...
    audience.errors.DeliveryError: too-many: this would message 4 devices, but --max-devices allows 3
       = hint: check the audience, or raise --max-devices; nothing was sent
    """
    problems = [*size_problems(device_count, limits)]
    if not limits.broadcast and has_broadcast(vendor, native_payloads):
        hint = "pass --broadcast if that is intended; nothing was sent"
        problems.append(Problem("broadcast", f"this would message every device that {vendor.name} knows", hint=hint))
    if problems:
        raise DeliveryError(*problems)


def size_problems(device_count: int, limits: SafetyLimits) -> Iterable[Problem]:
    """Yield a problem for each size limit that is missing or not kept; a broadcast needs none."""
    devices = format_count(device_count, "device")
    if limits.expected is None and limits.max_devices is None and not limits.broadcast:
        hint = f"pass --expect {device_count}, or --max-devices N"
        yield Problem("no-size", f"this would message {devices}, and no limit is set", hint=hint)
    for maximum, option in ((limits.expected, "--expect"), (limits.max_devices, "--max-devices")):
        if maximum is not None and device_count > maximum:
            message = f"this would message {devices}, but {option} allows {maximum:,}"
            yield Problem("too-many", message, hint=f"check the audience, or raise {option}; nothing was sent")
    if limits.expected is not None and device_count < limits.expected:
        message = f"this would message {devices}, but --expect says {limits.expected:,}"
        hint = f"check the audience; pass --expect {device_count}, or --max-devices as an upper bound; nothing was sent"
        yield Problem("other-size", message, hint=hint)


def has_broadcast(vendor: Vendor, native_payloads: Iterable[Payload]) -> bool:
    """Return whether a native request reaches every device that the vendor knows, or every one of a platform."""
    return any(_is_broadcast(vendor, payload) for payload in native_payloads)


def _is_broadcast(vendor: Vendor, payload: Payload) -> bool:
    """Return whether *payload* is a broadcast, to all platforms or to some; an unreadable one counts as such."""
    try:
        return simplify(split_platform_terms(vendor.parse(payload)).rest) == Everyone()
    except PayloadError:
        return True
