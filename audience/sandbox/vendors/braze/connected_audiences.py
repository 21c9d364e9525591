"""Connected audiences of Braze: one filter, or several in AND and OR, nested freely.

https://www.braze.com/docs/api/objects_filters/connected_audience; what a comparison does with a user without a value
says https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types, of the dashboard. An untyped tag of
the table is a Boolean attribute that is true, any other column an attribute with texts, numbers or days, which begin at
midnight UTC. A user without a subscription status is subscribed.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np

from audience.sandbox.http_types import DeviceMask, VendorRefusal
from audience.sandbox.vendor_state import VendorState

MAX_LEVELS = 50
DAY_SECONDS = 86_400.0
STATUSES = ("opted_in", "subscribed", "unsubscribed")
DEFAULT_STATUS = "subscribed"
RECIPIENTS = {"opted_in": {"opted_in"}, "subscribed": {"opted_in", "subscribed"}, "all": {*STATUSES}}

Own: TypeAlias = str | float | bool | None  # value of one user
Test: TypeAlias = Callable[[Own], bool]


def select_by_audience(audience: Any, state: VendorState) -> DeviceMask:
    """Return the users of a connected audience.

    Raises:
        VendorRefusal: It is none.
    """
    return _select(audience, 0, state) & state.population.registered_devices(state.vendor)


def select_by_state(wanted: Any, state: VendorState) -> DeviceMask:
    """Return the users with a subscription to push that `recipient_subscription_state` takes.

    Raises:
        VendorRefusal: It is none of the three states.
    """
    if wanted not in tuple(RECIPIENTS):
        raise VendorRefusal(400, f"recipient_subscription_state is one of {', '.join(RECIPIENTS)}")
    return _users_with_status("push_subscription_status", RECIPIENTS[wanted], state)


def _users_with_status(column: str, wanted: set[str], state: VendorState) -> DeviceMask:
    """Return the users with one of the *wanted* states."""
    if DEFAULT_STATUS in wanted:
        return ~_users_with_status(column, {*STATUSES} - wanted, state)
    devices = state.population.no_devices()
    for status in wanted:
        devices |= state.population.devices_with_value(column, status)
    return devices


def _refuse(text: str) -> VendorRefusal:
    return VendorRefusal(400, f"audience: {text}")


def _select(node: Any, level: int, state: VendorState) -> DeviceMask:
    if not isinstance(node, dict) or len(node) != 1:
        raise _refuse("expected one filter or operator an object")
    if level > MAX_LEVELS:
        raise _refuse("the audience is too complex")
    ((key, inner),) = node.items()
    if key in ("AND", "OR"):
        if not isinstance(inner, list) or not inner:
            raise _refuse(f"{key} takes a list of filters")
        masks = [_select(each, level + 1, state) for each in inner]
        joined: DeviceMask = np.logical_and.reduce(masks) if key == "AND" else np.logical_or.reduce(masks)
        return joined
    if not isinstance(inner, dict):
        raise _refuse("a filter is an object")
    match key:
        case "custom_attribute":
            return _select_attribute(inner, state)
        case "push_subscription_status" | "email_subscription_status":
            return _select_status(key, inner, state)
        case "last_used_app":
            if inner.get("comparison") not in ("after", "before") or inner.keys() != {"comparison", "value"}:
                raise _refuse("last_used_app is after or before a time")
            test = _build_test(inner["comparison"], inner["value"], state)
            return _mask(_read_values("last_used_app", state), test)
    raise _refuse(f"unknown filter {key!r:.50}")


def _mask(values: list[Own], test: Test) -> DeviceMask:
    return np.array([test(own) for own in values], dtype=np.bool_)


def _select_status(key: str, inner: dict[str, Any], state: VendorState) -> DeviceMask:
    comparison, value = inner.get("comparison"), inner.get("value")
    if inner.keys() != {"comparison", "value"} or comparison not in ("is", "is_not") or value not in STATUSES:
        raise _refuse(f"{key} is, or is_not, one of {', '.join(STATUSES)}")
    devices = _users_with_status(key, {value}, state)
    return devices if comparison == "is" else ~devices


def _select_attribute(inner: dict[str, Any], state: VendorState) -> DeviceMask:
    name, comparison = inner.get("custom_attribute_name"), inner.get("comparison")
    if inner.keys() - {"custom_attribute_name", "comparison", "value"} or not isinstance(name, str) or not name:
        raise _refuse("a custom attribute has a name, a comparison and a value")
    return _mask(_read_values(name, state), _build_test(comparison, inner.get("value"), state))


def _read_values(name: str, state: VendorState) -> list[Own]:
    """Return the value that each user has of an attribute."""
    texts = state.population.text_values(name)
    if texts is None:
        return [True if has else None for has in state.population.devices_with_value("", name)]
    return [None if text is None or text == "" else _parse_value(text) for text in texts]


def _parse_value(text: str) -> Own:
    return float(text) if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text) else text


def _build_test(comparison: Any, value: Any, state: VendorState) -> Test:
    """Return whether a value of a user is in that relation to *value*."""
    match comparison:
        case "exists" | "does_not_exist" if value is None:
            return lambda own: (own is None) == (comparison == "does_not_exist")
        case "equals" | "not_equal" if isinstance(value, bool | str | int | float):
            return _build_equality(comparison == "equals", value)
        case "includes_value" | "does_not_include_value" if isinstance(value, str):
            return lambda own: (own == value) == (comparison == "includes_value")
        case "matches_regex" | "does_not_match_regex" if isinstance(value, str):
            return _build_search(comparison == "matches_regex", value)
        case "after" | "before" if isinstance(value, str):
            return _build_time_test(comparison, _parse_time(value))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and isinstance(comparison, str) and comparison.startswith(("greater_than", "less_than")):
        return _build_day_test(comparison, value, state) if "_x_days_" in comparison else _order(comparison, value)
    raise _refuse(f"unknown comparison {comparison!r:.50}, or a value that it does not take")


def _build_equality(is_equal: bool, value: Any) -> Test:
    """Return a test of equality: a text is equal to itself, and unequal to itself in no case; no number counts as 0."""
    if isinstance(value, str):
        if is_equal:
            return lambda own: own == value
        return lambda own: not isinstance(own, str) or own.casefold() != value.casefold()
    if isinstance(value, bool):
        return lambda own: (own is value) == is_equal
    return lambda own: ((0.0 if own is None else own) == value and not isinstance(own, bool)) == is_equal


def _build_search(is_match: bool, regex: str) -> Test:
    try:
        pattern = re.compile(regex, re.IGNORECASE)
    except re.error:
        raise _refuse("the regular expression is none") from None
    return lambda own: isinstance(own, str) and (pattern.search(own) is not None) == is_match


def _order(comparison: str, value: float) -> Test:
    """Return a test of order, of which "less than" matches users without a value."""

    def is_related(own: Own) -> bool:
        if own is None:
            return comparison.startswith("less_than")
        if isinstance(own, str | bool):
            return False
        match comparison:
            case "less_than":
                return own < value
            case "less_than_or_equal_to":
                return own <= value
            case "greater_than":
                return own > value
        return own >= value

    if comparison not in ("less_than", "less_than_or_equal_to", "greater_than", "greater_than_or_equal_to"):
        raise _refuse(f"unknown comparison {comparison!r:.50}")
    return is_related


def _parse_time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _refuse(f"{text!r:.50} is not a time of ISO 8601") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _read_own_time(own: Own) -> float | None:
    try:
        return _parse_time(own) if isinstance(own, str) else None
    except VendorRefusal:
        return None


def _build_time_test(comparison: str, bound: float) -> Test:
    def is_related(own: Own) -> bool:
        at = _read_own_time(own)
        return at is not None and (at > bound if comparison == "after" else at < bound)

    return is_related


def _build_day_test(comparison: str, days: float, state: VendorState) -> Test:
    """Return a test of days of 24 hours back from now, or ahead; less than them are between now and then."""
    words = re.fullmatch("(less|greater)_than_x_days_(ago|in_the_future)", comparison)
    if words is None or days < 0 or days % 1:
        raise _refuse(f"unknown comparison {comparison!r:.50}, or no number of days")
    now, sign = state.clock(), 1 if words[2] == "in_the_future" else -1

    def is_related(own: Own) -> bool:
        at = _read_own_time(own)
        ahead = -1.0 if at is None else (at - now) * sign
        return 0 <= ahead < days * DAY_SECONDS if words[1] == "less" else ahead > days * DAY_SECONDS

    return is_related
