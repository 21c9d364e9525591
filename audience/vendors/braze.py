"""Braze: a connected audience, filters joined by AND and OR. It is read only: Braze sends to users, not to devices.

https://www.braze.com/docs/api/objects_filters/connected_audience, read 2026-11-21.
"""

from collections.abc import Iterator
from typing import Any

from audience.language.ast import Compare, Expr, Ids, Not, Order, Tag, all_of, any_of, bare
from audience.language.attribute_names import BARE
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import (
    branch,
    elements,
    listed,
    loaded,
    mapping,
    moment,
    number,
    only,
    refuse,
    string,
    warn,
    word,
    written,
)
from audience.vendors.spec import Limit, Payload, Vendor

PAGE = "https://www.braze.com/docs/api/objects_filters/connected_audience"
TYPES = "https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types"
SEND = "https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns"

LIMITS = {"external_user_ids": Limit(50, SEND)}

# Whether a text that is "not_equal" is the NOT of one that equals: the pages do not say what becomes of users without
# the attribute, and compare it without regard to case, where "equals" does regard it.
NOT_EQUAL_IS_NOT = False

STATUSES = ("opted_in", "subscribed", "unsubscribed")
FILTERS = ("custom_attribute", "push_subscription_status", "email_subscription_status", "last_used_app")
OWN = (BARE, *FILTERS)  # types of the house that a custom attribute may not take for itself
ORDERS: dict[str, Order] = {"after": ">", "before": "<"}
UNSAYABLE = {
    "exists": "there is no word for having any value",
    "does_not_exist": "there is no word for having no value",
    "matches_regex": "patterns are matched at Braze only",
    "does_not_match_regex": "patterns are matched at Braze only",
    "less_than_x_days_ago": "it counts back from the moment of sending",
    "greater_than_x_days_ago": "it counts back from the moment of sending",
    "less_than_x_days_in_the_future": "it counts from the moment of sending",
    "greater_than_x_days_in_the_future": "it counts from the moment of sending",
    "less_than_or_equal_to": "no page says whether it takes in users without a value, as less_than does",
}
OTHERS = {
    "segment_id": "only Braze knows who is in a segment of its console",
    "recipients": "a recipient's own properties do not tell who it is; list external_user_ids",
    "user_aliases": "an alias of Braze is a name and a label; list external_user_ids",
}


def parse(payload: Any) -> Expr:
    """Read a whole request, or the `{"audience": …}` of one; a custom attribute is a tag of its name.

    A text that a custom attribute has, or a value in its list, is the value of the tag; a true one is a bare tag.

    >>> from audience.language.printer import render
    >>> color = {"custom_attribute_name": "eye_color", "comparison": "equals", "value": "green"}
    >>> render(parse({"audience": {"AND": [{"custom_attribute": color}]}}))
    'eye_color:green'
    """
    request = loaded(payload)
    for key, why in OTHERS.items():
        if request.get(key):
            refuse("opaque", why, f"$.{key}")
    keys = [key for key in ("audience", "custom_audience", "external_user_ids") if request.get(key)]
    if not keys:
        refuse("missing-key", "there is no 'audience'", "$", 'the targeting object is {"audience": …}')
    if len(keys) > 1:
        refuse("second-target", f"{keys[1]} beside {keys[0]}: no page says how they are joined", f"$.{keys[1]}")
    _warn_of_campaign(request)
    if keys == ["external_user_ids"]:
        users = listed(request["external_user_ids"], "$.external_user_ids", LIMITS["external_user_ids"])
        return Ids("account", tuple(users))
    return _node(request[keys[0]], f"$.{keys[0]}", 0)


def _warn_of_campaign(request: Payload) -> None:
    """A campaign's own filters narrow what triggers it; beside `messages` its id is for statistics only."""
    for key in ("campaign_id", "canvas_id"):
        if request.get(key) and "messages" not in request:
            warn("whom the campaign or Canvas leaves out at Braze is left out too", f"$.{key}")


def _node(value: Any, path: str, depth: int) -> Expr:
    """One filter, or several joined by AND or OR."""
    key, inner, place = branch(value, ("AND", "OR", *FILTERS), path, depth)
    match key:
        case "AND":
            return all_of(_terms(inner, place, depth))
        case "OR":
            return any_of(_terms(inner, place, depth))
        case "custom_attribute":
            return _attribute(mapping(inner, place), place)
        case "last_used_app":
            return _last_used(mapping(inner, place), place)
    return _status(key, mapping(inner, place), place)


def _terms(value: Any, path: str, depth: int) -> Iterator[Expr]:
    return (_node(term, place, depth + 1) for term, place in elements(value, path))


def _status(key: str, body: Payload, path: str) -> Expr:
    only(body, ("comparison", "value"), path)
    tag = Tag(key, word(body, "value", STATUSES, path))
    return tag if word(body, "comparison", ("is", "is_not"), path) == "is" else Not(tag)


def _last_used(body: Payload, path: str) -> Expr:
    only(body, ("comparison", "value"), path)
    order = ORDERS[word(body, "comparison", ORDERS, path)]
    return Compare("last_used_app", order, moment(body.get("value"), f"{path}.value").isoformat())


def _attribute(body: Payload, path: str) -> Expr:
    only(body, ("custom_attribute_name", "comparison", "value"), path)
    name = string(body.get("custom_attribute_name"), f"{path}.custom_attribute_name")
    type_ = f"attribute.{name}" if name in OWN or name.startswith("attribute.") else name
    comparison = string(body.get("comparison"), f"{path}.comparison")
    value, place = body.get("value"), f"{path}.value"
    if comparison in UNSAYABLE:
        refuse("opaque", f"{comparison}: {UNSAYABLE[comparison]}", f"{path}.comparison")
    match comparison:
        case "equals":
            return _equal(type_, value, place)
        case "not_equal" | "does_not_equal":
            return _not_equal(type_, value, place)
        case "includes_value":
            return Tag(type_, string(value, place))
        case "does_not_include_value":
            return Not(Tag(type_, string(value, place)))
        case "after" | "before":
            return Compare(type_, ORDERS[comparison], moment(value, place).isoformat())
        case "greater_than" | "greater_than_or_equal_to" | "less_than":
            return _compared(type_, comparison, value, place)
    known = (*UNSAYABLE, "equals", "not_equal", "includes_value", "does_not_include_value", "greater_than", "less_than")
    hint = did_you_mean(comparison, known)
    refuse("unknown-value", f"no comparison is called {comparison!r}", f"{path}.comparison", hint)


def _equal(type_: str, value: Any, path: str) -> Expr:
    match value:
        case True:
            return bare(type_)
        case False:
            refuse("opaque", "false and not set are told apart at Braze; there is no word for that", path)
        case str():
            return Tag(type_, string(value, path))
    if number(value, path) == 0:
        refuse("opaque", "0 takes in users without a value; there is no word for that", path)
    return Tag(type_, written(value))


def _not_equal(type_: str, value: Any, path: str) -> Expr:
    if isinstance(value, bool):
        refuse("opaque", "no page says whether users without a value are meant", path)
    if isinstance(value, str) and not NOT_EQUAL_IS_NOT:
        refuse("opaque", "case does not count here, and no page says whether users without a value are meant", path)
    return Not(_equal(type_, value, path))


def _compared(type_: str, comparison: str, value: Any, path: str) -> Expr:
    """A comparison of numbers. "Less Than" takes in users without a value (TYPES), so it is the NOT of ≥."""
    text = written(number(value, path))
    if comparison == "greater_than":
        return Compare(type_, ">", text)
    if value <= 0:
        refuse("opaque", f"no page says what {comparison} {text} does with users without a value", path)
    least = Compare(type_, ">=", text)
    return least if comparison == "greater_than_or_equal_to" else Not(least)


VENDOR = Vendor(
    name="braze",
    title="Braze",
    page=PAGE,
    read_on="2026-11-21",
    fragment="filters of custom attributes, subscriptions and last use, nested in AND and OR; or user ids, alone",
    limits=LIMITS,
    known_by=("braze",),
    parse=parse,
    any_type=True,
    reads_only="it tells users, over all their channels, and not devices",
)
