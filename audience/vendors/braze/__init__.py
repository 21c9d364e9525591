"""Braze: a connected audience, filters joined by AND and OR. Read only: Braze sends to users, not to devices.

https://www.braze.com/docs/api/objects_filters/connected_audience, read 2026-11-21.

    comparison                             expression
    equals, includes_value                 x:VALUE; true is the untyped tag x, false is x:false
    not_equal, does_not_include_value      NOT of it: also users without a value
    not_equal blue                         NOT x matches "blue" ignoring case, though equals minds case
    exists, does_not_exist                 has(x), NOT has(x)
    greater_than 10                        x > 10
    less_than 10, equals 0                 NOT has(x) OR x < 10, NOT has(x) OR x:0: also users without a value
    after, before                          x > MOMENT, x < MOMENT
    less_than_x_days_ago 2                 x within 48 hours: a day is 24 hours back from the moment of sending
    greater_than_x_days_ago 2              x < 48 hours ago
    matches_regex ^gua                     x matches "gua*" ignoring case; a reference, if patterns cannot say it
"""

from typing import Any

from audience.language.ast import (
    Compare,
    CompareOp,
    Expr,
    Has,
    Ids,
    Matches,
    Not,
    Reference,
    Relative,
    Tag,
    all_of,
    any_of,
    bare,
)
from audience.language.attribute_names import own_key_type
from audience.language.patterns import cases_of, escape_pattern
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.relative_times import MINUTES_PER_DAY, read_comparison, read_period
from audience.vendors.shared.regexes import read_regex
from audience.vendors.spec import Vendor, VendorLimit

PAGE = "https://www.braze.com/docs/api/objects_filters/connected_audience"
DATA_TYPES_DOCS = "https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types"
SEND_DOCS = "https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns"

LIMITS = {"external_user_ids": VendorLimit(50, SEND_DOCS)}

SUBSCRIPTION_STATUSES = ("opted_in", "subscribed", "unsubscribed")
FILTER_KEYS = ("custom_attribute", "push_subscription_status", "email_subscription_status", "last_used_app")
TARGET_KEYS = ("audience", "custom_audience", "segment_id", "external_user_ids", "user_aliases", "recipients")
DATE_COMPARE_OPS: dict[str, CompareOp] = {"after": ">", "before": "<"}
NUMBER_COMPARE_OPS: dict[str, CompareOp] = {
    "greater_than": ">",
    "greater_than_or_equal_to": ">=",
    "less_than": "<",
    "less_than_or_equal_to": "<=",
}
REGEX_COMPARISONS = ("matches_regex", "does_not_match_regex")
DAY_COMPARISONS = (
    "less_than_x_days_ago",
    "greater_than_x_days_ago",
    "less_than_x_days_in_the_future",
    "greater_than_x_days_in_the_future",
)
COMPARISONS = (
    *("equals", "not_equal", "includes_value", "does_not_include_value", "exists", "does_not_exist"),
    *NUMBER_COMPARE_OPS,
    *DATE_COMPARE_OPS,
    *REGEX_COMPARISONS,
    *DAY_COMPARISONS,
)
RECIPIENT_KEYS = ("external_user_id", "user_alias", "email")
ALIAS_KEYS = ("alias_name", "alias_label")


def parse(payload: Any) -> Expr:
    """Parse a whole request, or its `{"audience": …}`; a custom attribute is a tag of its name.

    The string value of a custom attribute, or a value in its list, is the value of the tag; true is an untyped tag.

    >>> from audience.language.printer import render
    >>> color = {"custom_attribute_name": "eye_color", "comparison": "equals", "value": "green"}
    >>> render(parse({"audience": {"AND": [{"custom_attribute": color}]}}))
    'eye_color:green'
    """
    request = PayloadCursor(payload).json_object()
    keys = [key for key in TARGET_KEYS if not request[key].is_absent]
    if not keys:
        return _parse_campaign(request)
    if len(keys) > 1 and keys != ["audience", "segment_id"]:
        message = f"{keys[1]} beside {keys[0]}: how they are joined is not documented"
        request[keys[1]].fail("second-target", message, "keep one of them")
    if len(keys) > 1:
        request["segment_id"].warn("the segment is taken to narrow the audience, which is not documented")
    _warn_about_campaign(request)
    return all_of(_parse_target(key, request[key]) for key in keys)


def _parse_campaign(request: PayloadCursor) -> Expr:
    """Parse a request without a target: with `broadcast`, it reaches the users of the campaign's own filters."""
    for key, kind in (("campaign_id", "campaign"), ("canvas_id", "canvas")):
        if request["broadcast"].value is True and not request[key].is_absent:
            return Reference("braze", kind, request[key].string())
    hint = 'the targeting object is {"audience": …}; a broadcast needs the campaign_id of its filters'
    request.fail("missing-key", "missing key 'audience'", hint)


def _warn_about_campaign(request: PayloadCursor) -> None:
    """Warn that a campaign's own filters narrow the audience; beside `messages` its id is for statistics only."""
    for key in ("campaign_id", "canvas_id"):
        if not request[key].is_absent and "messages" not in request:
            request[key].warn("filters of the campaign or Canvas at Braze narrow the audience further")


def _parse_target(key: str, target: PayloadCursor) -> Expr:
    match key:
        case "segment_id":
            return Reference("braze", "segment_id", target.string())
        case "external_user_ids":
            return Ids("alias", tuple(_require_few(target, target.one_or_many())))
        case "user_aliases":
            aliases = target.items() if isinstance(target.value, list) else [target]
            return any_of(map(_parse_user_alias, _require_few(target, aliases)))
        case "recipients":
            return any_of(map(_parse_recipient, _require_few(target, target.items())))
    return _parse_node(target, 0)


def _require_few(target: PayloadCursor, users: list[Any]) -> list[Any]:
    """Return the users of a list, and warn if Braze takes fewer."""
    limit = LIMITS["external_user_ids"]
    if limit.is_exceeded_by(len(users)):
        target.warn(f"{len(users)} users, of whom Braze takes at most {limit.maximum} in a request")
    return users


def _parse_user_alias(alias: PayloadCursor) -> Reference:
    """Return the reference of an alias: a name that is unique among those of one label."""
    for key in ALIAS_KEYS:
        alias.only(ALIAS_KEYS)[key].string()
    return Reference("braze", "user_alias", alias.json_text())


def _parse_recipient(recipient: PayloadCursor) -> Expr:
    """Parse whom a recipient names; what else it has belongs to the message."""
    keys = [key for key in RECIPIENT_KEYS if not recipient[key].is_absent]
    match keys:
        case ["external_user_id"]:
            return Ids("alias", (recipient["external_user_id"].string(),))
        case ["user_alias"]:
            return _parse_user_alias(recipient["user_alias"])
        case ["email"]:
            return Reference("braze", "email", recipient["email"].string())
    recipient.fail("missing-key", f"expected one of {', '.join(RECIPIENT_KEYS)}, found {', '.join(keys) or 'none'}")


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
    return Compare("last_used_app", operator, filter_["value"].instant())


def _parse_attribute(attribute: PayloadCursor) -> Expr:
    attribute.only(("custom_attribute_name", "comparison", "value"))
    type_ = own_key_type(attribute["custom_attribute_name"].string())
    comparison, value = attribute["comparison"].string(), attribute["value"]
    match comparison:
        case "equals":
            return _parse_equals(type_, value)
        case "not_equal" | "does_not_equal":
            return _parse_not_equal(type_, value)
        case "includes_value":
            return Tag(type_, value.string())
        case "does_not_include_value":
            return Not(Tag(type_, value.string()))
        case "exists" | "does_not_exist":
            return Has(type_) if comparison == "exists" else Not(Has(type_))
        case "after" | "before":
            return Compare(type_, DATE_COMPARE_OPS[comparison], value.instant())
    if comparison in NUMBER_COMPARE_OPS:
        return _parse_comparison(type_, comparison, value)
    if comparison in DAY_COMPARISONS:
        return _parse_days(type_, comparison, attribute)
    if comparison in REGEX_COMPARISONS:
        return _parse_regex(type_, comparison, attribute)
    hint = did_you_mean(comparison, COMPARISONS)
    attribute["comparison"].fail("unknown-value", f"unknown comparison {comparison!r}", hint)


def _parse_days(type_: str, comparison: str, attribute: PayloadCursor) -> Relative | Reference:
    """Parse a number of days of 24 hours that count from the moment of sending; more or less is strict."""
    days = attribute["value"].number()
    if days < 0 or days % 1:
        attribute["value"].fail("wrong-type", f"expected a number of days, found {attribute['value'].value!r}")
    minutes = int(days) * MINUTES_PER_DAY
    match comparison:
        case "less_than_x_days_ago":
            window = read_period(type_, minutes)
        case "less_than_x_days_in_the_future":
            window = read_period(type_, minutes, "next")
        case "greater_than_x_days_ago":
            window = read_comparison(type_, "<", -minutes)
        case _:
            window = read_comparison(type_, ">", minutes)
    return _refer_to(attribute) if window is None else window


def _parse_regex(type_: str, comparison: str, attribute: PayloadCursor) -> Expr:
    """Parse a regular expression, which is found anywhere in a value and ignores case."""
    patterns = read_regex(attribute["value"].string())
    if patterns is None:
        return _refer_to(attribute)
    matches = any_of(Matches(type_, pattern, ignores_case=True) for pattern in patterns)
    if comparison == "matches_regex":
        return matches
    attribute.warn("users without a value do not match, as Braze documents for the filters of its dashboard")
    return all_of([Has(type_), Not(matches)])


def _refer_to(attribute: PayloadCursor) -> Reference:
    """Return the reference of a filter that only Braze can evaluate."""
    return Reference("braze", "custom_attribute", attribute.json_text())


def _parse_equals(type_: str, value: PayloadCursor) -> Expr:
    match value.value:
        case True:
            return bare(type_)
        case False:
            return Tag(type_, "false")
        case str():
            return Tag(type_, value.string())
    number = Tag(type_, format_number(value.number()))
    return number if value.number() else _include_users_without_value(number, value)


def _parse_not_equal(type_: str, value: PayloadCursor) -> Expr:
    """Parse not_equal, which "does not have the value" describes: users without one match, except for 0."""
    match value.value:
        case bool():
            value.warn("users without a value are taken to match, which Braze documents for lists only")
            return Not(_parse_equals(type_, value))
        case str():
            return Not(_match_in_any_case(type_, value.string()))
    number = value.number()
    if number == 0:
        value.warn("users without a value are taken not to match, as 0 matches them")
        return all_of([Has(type_), Not(Tag(type_, "0"))])
    return Not(Tag(type_, format_number(number)))


def _match_in_any_case(type_: str, text: str) -> Tag | Matches:
    """Return the users with the value *text* in any case: not_equal ignores case, unlike equals (DATA_TYPES_DOCS)."""
    if all(len(cases_of(char)) == 1 for char in text):
        return Tag(type_, text)
    return Matches(type_, escape_pattern(text), ignores_case=True)


def _include_users_without_value(expr: Compare | Tag, value: PayloadCursor) -> Expr:
    """Add the users without a value: the dashboard documents it for "less than" and "exactly 0" (DATA_TYPES_DOCS)."""
    value.warn("users without a value match too, as Braze documents for the filters of its dashboard")
    return any_of([Not(Has(expr.type)), expr])


def _parse_comparison(type_: str, comparison: str, value: PayloadCursor) -> Expr:
    """Parse a comparison of numbers."""
    number = value.number()
    compare = Compare(type_, NUMBER_COMPARE_OPS[comparison], format_number(number))
    if comparison == "less_than" or (comparison == "less_than_or_equal_to" and number >= 0):
        return _include_users_without_value(compare, value)
    if comparison != "greater_than" and number <= 0:
        value.warn("users without a value are taken not to match, which is not documented")
    return compare


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
