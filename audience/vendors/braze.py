"""Braze: a connected audience, filters joined by AND and OR. Read only: Braze sends to users, not to devices.

https://www.braze.com/docs/api/objects_filters/connected_audience, read 2026-11-21.
"""

from typing import Any

from audience.language.ast import Compare, CompareOp, Expr, Ids, Not, Tag, all_of, any_of, bare
from audience.language.attribute_names import UNTYPED
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.spec import Limit, Vendor

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
COMPARISONS = (
    *OPAQUE_COMPARISONS,
    *("equals", "not_equal", "includes_value", "does_not_include_value", "greater_than", "less_than"),
)
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
    request = PayloadCursor(payload).json_object()
    for key, reason in OPAQUE_KEYS.items():
        if request[key].value:
            request[key].fail("opaque", reason)
    keys = [key for key in ("audience", "custom_audience", "external_user_ids") if request[key].value]
    if not keys:
        request.fail("missing-key", "missing key 'audience'", 'the targeting object is {"audience": …}')
    if len(keys) > 1:
        message = f"{keys[1]} beside {keys[0]}: how they are joined is not documented"
        request[keys[1]].fail("second-target", message)
    _warn_about_campaign(request)
    target = request[keys[0]]
    if keys == ["external_user_ids"]:
        return Ids("account", tuple(target.ids(LIMITS["external_user_ids"])))
    return _parse_node(target, 0)


def _warn_about_campaign(request: PayloadCursor) -> None:
    """Warn that a campaign's own filters narrow the audience; beside `messages` its id is for statistics only."""
    for key in ("campaign_id", "canvas_id"):
        if request[key].value and "messages" not in request:
            request[key].warn("filters of the campaign or Canvas at Braze narrow the audience further")


def _parse_node(node: PayloadCursor, depth: int) -> Expr:
    """Parse one filter, or several joined by AND or OR."""
    key, inner = node.single_key(("AND", "OR", *FILTER_KEYS), depth)
    match key:
        case "AND":
            return all_of(_parse_node(term, depth + 1) for term in inner.items())
        case "OR":
            return any_of(_parse_node(term, depth + 1) for term in inner.items())
        case "custom_attribute":
            return _parse_attribute(inner)
        case "last_used_app":
            return _parse_last_used(inner)
    return _parse_status(key, inner)


def _parse_status(key: str, status: PayloadCursor) -> Expr:
    status.only(("comparison", "value"))
    tag = Tag(key, status["value"].enum(SUBSCRIPTION_STATUSES))
    return tag if status["comparison"].enum(("is", "is_not")) == "is" else Not(tag)


def _parse_last_used(filter_: PayloadCursor) -> Expr:
    filter_.only(("comparison", "value"))
    operator = DATE_COMPARE_OPS[filter_["comparison"].enum(DATE_COMPARE_OPS)]
    return Compare("last_used_app", operator, filter_["value"].timestamp().isoformat())


def _parse_attribute(attribute: PayloadCursor) -> Expr:
    attribute.only(("custom_attribute_name", "comparison", "value"))
    name = attribute["custom_attribute_name"].string()
    type_ = f"attribute.{name}" if name in RESERVED_TYPES or name.startswith("attribute.") else name
    comparison, value = attribute["comparison"].string(), attribute["value"]
    if comparison in OPAQUE_COMPARISONS:
        attribute["comparison"].fail("opaque", f"{comparison}: {OPAQUE_COMPARISONS[comparison]}")
    match comparison:
        case "equals":
            return _parse_equals(type_, value)
        case "not_equal" | "does_not_equal":
            return _parse_not_equal(type_, value)
        case "includes_value":
            return Tag(type_, value.string())
        case "does_not_include_value":
            return Not(Tag(type_, value.string()))
        case "after" | "before":
            return Compare(type_, DATE_COMPARE_OPS[comparison], value.timestamp().isoformat())
        case "greater_than" | "greater_than_or_equal_to" | "less_than":
            return _parse_comparison(type_, comparison, value)
    hint = did_you_mean(comparison, COMPARISONS)
    attribute["comparison"].fail("unknown-value", f"unknown comparison {comparison!r}", hint)


def _parse_equals(type_: str, value: PayloadCursor) -> Expr:
    match value.value:
        case True:
            return bare(type_)
        case False:
            value.fail("opaque", "Braze distinguishes false from not set, the language does not")
        case str():
            return Tag(type_, value.string())
    number = value.number()
    if number == 0:
        value.fail("opaque", "0 matches users without a value, which the language cannot express")
    return Tag(type_, format_number(number))


def _parse_not_equal(type_: str, value: PayloadCursor) -> Expr:
    undocumented = "whether it matches users without a value is not documented"
    if isinstance(value.value, bool):
        value.fail("opaque", undocumented)
    if isinstance(value.value, str) and not NOT_EQUAL_IS_NOT:
        value.fail("opaque", f"case is ignored, and {undocumented}")
    return Not(_parse_equals(type_, value))


def _parse_comparison(type_: str, comparison: str, value: PayloadCursor) -> Expr:
    """Parse a comparison of numbers.

    "Less Than" includes users without a value (DATA_TYPES_DOCS), so it is the NOT of ≥.
    """
    number = value.number()
    text = format_number(number)
    if comparison == "greater_than":
        return Compare(type_, ">", text)
    if number <= 0:
        value.fail("opaque", f"whether {comparison} {text} matches users without a value is not documented")
    at_least = Compare(type_, ">=", text)
    return at_least if comparison == "greater_than_or_equal_to" else Not(at_least)


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
    builtins={key: key for key in FILTER_KEYS if key != "custom_attribute"},
    read_only_reason="it sends to users on all their channels, not to devices",
)
