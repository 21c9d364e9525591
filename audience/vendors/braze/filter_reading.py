"""Filters of a connected audience, joined by AND and OR: how they are read.

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

Beside `exists` or `does_not_exist` of the same attribute, it makes no difference what a comparison does with users
without a value. `equals false` or `does_not_exist` is NOT x, `equals true` or `does_not_exist` is NOT x:false.
"""

from typing import TypeGuard

from audience.language.ast import (
    Compare,
    CompareOp,
    Expr,
    Has,
    Matches,
    Not,
    Reference,
    Relative,
    Tag,
    all_of,
    any_of,
    bare,
)
from audience.language.attribute_names import UNTYPED, own_key_type
from audience.language.patterns import cases_of, escape_pattern
from audience.language.suggest import did_you_mean
from audience.vendors.braze.names import ATTRIBUTE, FILTER_KEYS, LAST_USED, NAME_KEY, SUBSCRIPTION_STATUSES
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.relative_times import MINUTES_PER_DAY, read_comparison, read_period
from audience.vendors.shared.regexes import read_regex

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


NAMES_NOBODY: frozenset[str] = frozenset()


def parse_filters(node: PayloadCursor, depth: int = 0, settled: frozenset[str] = NAMES_NOBODY) -> Expr:
    """Parse one filter, or several joined by AND or OR; *settled* names attributes that a filter beside it asks for.

    >>> from audience.language.printer import render
    >>> color = {"custom_attribute_name": "eye_color", "comparison": "equals", "value": "green"}
    >>> render(parse_filters(PayloadCursor({"AND": [{"custom_attribute": color}]})))
    'eye_color:green'
    """
    key, inner = node.single_key(("AND", "OR", *FILTER_KEYS), depth)
    match key:
        case "AND" | "OR":
            return _parse_joined(key, inner, depth)
        case "custom_attribute":
            return _parse_attribute(inner, settled)
        case "last_used_app":
            return _parse_last_used(inner)
    return _parse_status(key, inner)


def _parse_joined(operator: str, operand: PayloadCursor, depth: int) -> Expr:
    """Parse filters of which each has to hold, or any: with `exists`, or `does_not_exist`, absence is settled."""
    items = operand.items()
    asked = "exists" if operator == "AND" else "does_not_exist"
    settled = frozenset(name for item in items for name in _list_asked(item, asked))
    terms = [parse_filters(item, depth + 1, settled) for item in items]
    if operator == "AND":
        return all_of(term for term in terms if not (isinstance(term, Has) and _is_implied(term, terms)))
    terms = _join_booleans(terms)
    opposites = [term.term for term in terms if isinstance(term, Not)]
    return any_of(term for term in terms if not (_is_absence(term) and _is_implied(term.term, opposites)))


def _is_absence(term: Expr) -> TypeGuard[Not]:
    return isinstance(term, Not) and isinstance(term.term, Has)


def _is_implied(has: Expr, terms: list[Expr]) -> bool:
    """Return whether one of *terms* already implies *has*, as it compares a value of the same attribute."""
    return isinstance(has, Has) and any(_find_type(term) == has.type for term in terms)


def _find_type(term: Expr) -> str | None:
    """Return the attribute of which *term* asks for a value."""
    match term:
        case Tag(type=type_, value=value):
            return value if type_ == UNTYPED else type_
        case Compare() | Matches() | Relative():
            return term.type
    return None


def _list_asked(item: PayloadCursor, comparison: str) -> list[str]:
    """Return the name of the attribute that a filter asks for by *comparison*, or nothing."""
    attribute = item.value.get(ATTRIBUTE) if isinstance(item.value, dict) else None
    if not isinstance(attribute, dict) or attribute.get("comparison") != comparison:
        return []
    name = attribute.get(NAME_KEY)
    return [name] if isinstance(name, str) else []


def _join_booleans(terms: list[Expr]) -> list[Expr]:
    """Return the terms of a union, of which `x:false` and `NOT has(x)` are NOT x, `x` and `NOT has(x)` NOT x:false.

    >>> _join_booleans([Tag("vip", "false"), Not(Has("vip"))]) == [Not(bare("vip"))]
    True
    """
    for type_ in [term.term.type for term in terms if isinstance(term, Not) and isinstance(term.term, Has)]:
        absent = Not(Has(type_))
        for value, other in ((Tag(type_, "false"), bare(type_)), (bare(type_), Tag(type_, "false"))):
            if value in terms and absent in terms:
                terms = [term for term in terms if term not in (value, absent)] + [Not(other)]
    return terms


def _parse_status(key: str, status: PayloadCursor) -> Expr:
    status.only(("comparison", "value"))
    tag = Tag(key, status["value"].enum(SUBSCRIPTION_STATUSES))
    return tag if status["comparison"].enum(("is", "is_not")) == "is" else Not(tag)


def _parse_last_used(filter_: PayloadCursor) -> Expr:
    filter_.only(("comparison", "value"))
    operator = DATE_COMPARE_OPS[filter_["comparison"].enum(DATE_COMPARE_OPS)]
    return Compare(LAST_USED, operator, filter_["value"].instant())


def _parse_attribute(attribute: PayloadCursor, settled: frozenset[str]) -> Expr:
    name = attribute.only((NAME_KEY, "comparison", "value"))[NAME_KEY].string()
    type_, is_settled = own_key_type(name), name in settled
    comparison, value = attribute["comparison"].string(), attribute["value"]
    match comparison:
        case "equals":
            return _parse_equals(type_, value, is_settled)
        case "not_equal" | "does_not_equal":
            return _parse_not_equal(type_, value, is_settled)
        case "includes_value":
            return Tag(type_, value.string())
        case "does_not_include_value":
            return Not(Tag(type_, value.string()))
        case "exists" | "does_not_exist":
            return Has(type_) if comparison == "exists" else Not(Has(type_))
        case "after" | "before":
            return Compare(type_, DATE_COMPARE_OPS[comparison], value.instant())
    if comparison in NUMBER_COMPARE_OPS:
        return _parse_comparison(type_, comparison, value, is_settled)
    if comparison in DAY_COMPARISONS:
        return _parse_days(type_, comparison, attribute)
    if comparison in REGEX_COMPARISONS:
        return _parse_regex(type_, comparison, attribute, is_settled)
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


def _parse_regex(type_: str, comparison: str, attribute: PayloadCursor, is_settled: bool) -> Expr:
    """Parse a regular expression, which is found anywhere in a value and ignores case."""
    patterns = read_regex(attribute["value"].string())
    if patterns is None:
        return _refer_to(attribute)
    matches = any_of(Matches(type_, pattern, ignores_case=True) for pattern in patterns)
    if comparison == "matches_regex":
        return matches
    if is_settled:
        return Not(matches)
    attribute.warn("users without a value do not match, as Braze documents for the filters of its dashboard")
    return all_of([Has(type_), Not(matches)])


def _refer_to(attribute: PayloadCursor) -> Reference:
    """Return the reference of a filter that only Braze can evaluate."""
    return Reference("braze", ATTRIBUTE, attribute.json_text())


def _parse_equals(type_: str, value: PayloadCursor, is_settled: bool) -> Expr:
    match value.value:
        case True:
            return bare(type_)
        case False:
            return Tag(type_, "false")
        case str():
            return Tag(type_, value.string())
    number = Tag(type_, format_number(value.number()))
    return number if value.number() or is_settled else _include_users_without_value(number, value)


def _parse_not_equal(type_: str, value: PayloadCursor, is_settled: bool) -> Expr:
    """Parse not_equal, which "does not have the value" describes: users without one match, except for 0."""
    match value.value:
        case bool():
            if not is_settled:
                value.warn("users without a value are taken to match, which Braze documents for lists only")
            return Not(_parse_equals(type_, value, is_settled))
        case str():
            return Not(_match_in_any_case(type_, value.string()))
    number = value.number()
    if number == 0 and not is_settled:
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


def _parse_comparison(type_: str, comparison: str, value: PayloadCursor, is_settled: bool) -> Expr:
    """Parse a comparison of numbers."""
    number = value.number()
    compare = Compare(type_, NUMBER_COMPARE_OPS[comparison], format_number(number))
    if is_settled:
        return compare
    if comparison == "less_than" or (comparison == "less_than_or_equal_to" and number >= 0):
        return _include_users_without_value(compare, value)
    if comparison != "greater_than" and number <= 0:
        value.warn("users without a value are taken not to match, which is not documented")
    return compare
