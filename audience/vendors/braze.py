"""Braze: a connected audience, filters joined by AND and OR. Read only: Braze sends to users, not to devices.

https://www.braze.com/docs/api/objects_filters/connected_audience, read 2026-11-21.
"""

from collections.abc import Iterator
from typing import Any

from audience.language.ast import Compare, CompareOp, Expr, Ids, Not, Tag, all_of, any_of, bare
from audience.language.attribute_names import UNTYPED
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import (
    fail,
    format_number,
    read_enum,
    read_items,
    read_json_object,
    read_list,
    read_number,
    read_object,
    read_single_key,
    read_string,
    read_timestamp,
    reject_unknown_keys,
    warn_payload,
)
from audience.vendors.spec import Limit, Payload, Vendor

PAGE = "https://www.braze.com/docs/api/objects_filters/connected_audience"
DATA_TYPES_DOCS = "https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types"
SEND_DOCS = "https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns"

LIMITS = {"external_user_ids": Limit(50, SEND_DOCS)}

# Whether "not_equal" of a string is the NOT of "equals": its treatment of users without the attribute is not
# documented, and it ignores case, which "equals" does not.
NOT_EQUAL_IS_NOT = False

SUBSCRIPTION_STATUSES = ("opted_in", "subscribed", "unsubscribed")
FILTER_KEYS = ("custom_attribute", "push_subscription_status", "email_subscription_status", "last_used_app")
RESERVED_TYPES = (UNTYPED, *FILTER_KEYS)  # canonical types that a custom attribute cannot use
DATE_COMPARE_OPS: dict[str, CompareOp] = {"after": ">", "before": "<"}
OPAQUE_COMPARISONS = {
    "exists": "the language has no condition for any value",
    "does_not_exist": "the language has no condition for no value",
    "matches_regex": "patterns are evaluated by Braze only",
    "does_not_match_regex": "patterns are evaluated by Braze only",
    "less_than_x_days_ago": "it counts back from the time of sending",
    "greater_than_x_days_ago": "it counts back from the time of sending",
    "less_than_x_days_in_the_future": "it counts from the time of sending",
    "greater_than_x_days_in_the_future": "it counts from the time of sending",
    "less_than_or_equal_to": "whether it matches users without a value, as less_than does, is not documented",
}
OPAQUE_KEYS = {
    "segment_id": "only Braze knows the members of a console segment",
    "recipients": "the properties of a recipient do not identify it; list external_user_ids",
    "user_aliases": "an alias of Braze is a name and a label; list external_user_ids",
}


def parse(payload: Any) -> Expr:
    """Parse a whole request, or its `{"audience": …}`; a custom attribute is a tag of its name.

    The string value of a custom attribute, or a value in its list, is the value of the tag; true is an untyped tag.

    >>> from audience.language.printer import render
    >>> color = {"custom_attribute_name": "eye_color", "comparison": "equals", "value": "green"}
    >>> render(parse({"audience": {"AND": [{"custom_attribute": color}]}}))
    'eye_color:green'
    """
    request = read_json_object(payload)
    for key, why in OPAQUE_KEYS.items():
        if request.get(key):
            fail("opaque", why, f"$.{key}")
    keys = [key for key in ("audience", "custom_audience", "external_user_ids") if request.get(key)]
    if not keys:
        fail("missing-key", "missing key 'audience'", "$", 'the targeting object is {"audience": …}')
    if len(keys) > 1:
        fail("second-target", f"{keys[1]} beside {keys[0]}: how they are joined is not documented", f"$.{keys[1]}")
    _warn_about_campaign(request)
    if keys == ["external_user_ids"]:
        users = read_list(request["external_user_ids"], "$.external_user_ids", LIMITS["external_user_ids"])
        return Ids("account", tuple(users))
    return _parse_node(request[keys[0]], f"$.{keys[0]}", 0)


def _warn_about_campaign(request: Payload) -> None:
    """Warn that a campaign's own filters narrow the audience; beside `messages` its id is for statistics only."""
    for key in ("campaign_id", "canvas_id"):
        if request.get(key) and "messages" not in request:
            warn_payload("filters of the campaign or Canvas at Braze narrow the audience further", f"$.{key}")


def _parse_node(value: Any, path: str, depth: int) -> Expr:
    """Parse one filter, or several joined by AND or OR."""
    key, inner, place = read_single_key(value, ("AND", "OR", *FILTER_KEYS), path, depth)
    match key:
        case "AND":
            return all_of(_parse_terms(inner, place, depth))
        case "OR":
            return any_of(_parse_terms(inner, place, depth))
        case "custom_attribute":
            return _parse_attribute(read_object(inner, place), place)
        case "last_used_app":
            return _parse_last_used(read_object(inner, place), place)
    return _parse_status(key, read_object(inner, place), place)


def _parse_terms(value: Any, path: str, depth: int) -> Iterator[Expr]:
    return (_parse_node(term, place, depth + 1) for term, place in read_items(value, path))


def _parse_status(key: str, body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("comparison", "value"), path)
    tag = Tag(key, read_enum(body, "value", SUBSCRIPTION_STATUSES, path))
    return tag if read_enum(body, "comparison", ("is", "is_not"), path) == "is" else Not(tag)


def _parse_last_used(body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("comparison", "value"), path)
    order = DATE_COMPARE_OPS[read_enum(body, "comparison", DATE_COMPARE_OPS, path)]
    return Compare("last_used_app", order, read_timestamp(body.get("value"), f"{path}.value").isoformat())


def _parse_attribute(body: Payload, path: str) -> Expr:
    reject_unknown_keys(body, ("custom_attribute_name", "comparison", "value"), path)
    name = read_string(body.get("custom_attribute_name"), f"{path}.custom_attribute_name")
    type_ = f"attribute.{name}" if name in RESERVED_TYPES or name.startswith("attribute.") else name
    comparison = read_string(body.get("comparison"), f"{path}.comparison")
    value, place = body.get("value"), f"{path}.value"
    if comparison in OPAQUE_COMPARISONS:
        fail("opaque", f"{comparison}: {OPAQUE_COMPARISONS[comparison]}", f"{path}.comparison")
    match comparison:
        case "equals":
            return _parse_equals(type_, value, place)
        case "not_equal" | "does_not_equal":
            return _parse_not_equal(type_, value, place)
        case "includes_value":
            return Tag(type_, read_string(value, place))
        case "does_not_include_value":
            return Not(Tag(type_, read_string(value, place)))
        case "after" | "before":
            return Compare(type_, DATE_COMPARE_OPS[comparison], read_timestamp(value, place).isoformat())
        case "greater_than" | "greater_than_or_equal_to" | "less_than":
            return _parse_comparison(type_, comparison, value, place)
    known = (
        *OPAQUE_COMPARISONS,
        "equals",
        "not_equal",
        "includes_value",
        "does_not_include_value",
        "greater_than",
        "less_than",
    )
    hint = did_you_mean(comparison, known)
    fail("unknown-value", f"unknown comparison {comparison!r}", f"{path}.comparison", hint)


def _parse_equals(type_: str, value: Any, path: str) -> Expr:
    match value:
        case True:
            return bare(type_)
        case False:
            fail("opaque", "Braze distinguishes false from not set, the language does not", path)
        case str():
            return Tag(type_, read_string(value, path))
    if read_number(value, path) == 0:
        fail("opaque", "0 matches users without a value, which the language cannot express", path)
    return Tag(type_, format_number(value))


def _parse_not_equal(type_: str, value: Any, path: str) -> Expr:
    if isinstance(value, bool):
        fail("opaque", "whether it matches users without a value is not documented", path)
    if isinstance(value, str) and not NOT_EQUAL_IS_NOT:
        fail("opaque", "case is ignored, and whether it matches users without a value is not documented", path)
    return Not(_parse_equals(type_, value, path))


def _parse_comparison(type_: str, comparison: str, value: Any, path: str) -> Expr:
    """Parse a comparison of numbers.

    "Less Than" includes users without a value (DATA_TYPES_DOCS), so it is the NOT of ≥.
    """
    text = format_number(read_number(value, path))
    if comparison == "greater_than":
        return Compare(type_, ">", text)
    if value <= 0:
        fail("opaque", f"whether {comparison} {text} matches users without a value is not documented", path)
    least = Compare(type_, ">=", text)
    return least if comparison == "greater_than_or_equal_to" else Not(least)


VENDOR = Vendor(
    name="braze",
    title="Braze",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="filters of custom attributes, subscriptions and last use, nested in AND and OR; or user ids, alone",
    limits=LIMITS,
    id_columns=("braze",),
    parse=parse,
    has_typed_tags=True,
    read_only_reason="it sends to users on all their channels, not to devices",
)
