"""Selectors of attributes, in both directions.

    expression                        selector
    city:Rome                         equals "Rome"
    size:12                           equals 12: what looks like a number is one
    joined:2020-04-08                 equals "2020-04-08", by the precision year_month_day
    size > 12, size < 12              greater, less
    size >= 12                        OR of greater and equals
    joined >= 2020-04-08              after "2020-04-08", which includes that moment
    joined <= 2020-04-08T12:00:00     before "2020-04-08T12:00:00", likewise
    joined within 7 days of DAY       range of seven whole days
    NOT has(city)                     is_empty

What only Airship can evaluate is a reference: parts of texts, the order of texts, ranges of moments, JSON attributes,
and dates that are counted from the time of sending.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeAlias

from audience.errors import Problem
from audience.language.ast import (
    MAX_WITHIN_DAYS,
    Atom,
    Compare,
    CompareOp,
    Expr,
    Has,
    Not,
    Or,
    Reference,
    Tag,
    Within,
    any_of,
)
from audience.language.printer import render
from audience.span import Span
from audience.vendors.airship.names import (
    BUILTIN_KEYS,
    DEFAULT_GROUP,
    GROUP_PREFIX,
    LIMITS,
    VERSION_TYPES,
    attribute_type,
    find_attribute,
)
from audience.vendors.payload_reader import PayloadCursor, format_number
from audience.vendors.spec import Payload

AttributeAtom: TypeAlias = Tag | Compare | Within | Has

SELECTOR_KEYS = ("attribute", "operator", "value", "precision", "relative_to", "where")
OPERATORS = ("equals", "contains", "less", "greater", "is_empty", "before", "after", "range")
NUMBER_OPERATORS: dict[str, CompareOp] = {"greater": ">", "less": "<"}
OPERATORS_BY_COMPARE_OP = {operator: name for name, operator in NUMBER_OPERATORS.items()}
DATE_OPERATORS: dict[str, CompareOp] = {"after": ">=", "before": "<="}
DAY_PRECISION = "year_month_day"
UNIT_PRECISIONS = ("years", "months", "days", "hours", "minutes")
DAY_FORMAT = re.compile(r"\d{4}-\d\d-\d\d")


def parse_attribute(selector: PayloadCursor) -> Expr:
    """Parse the selector of an attribute; one that only Airship can evaluate is a reference.

    >>> from audience.language.printer import render
    >>> render(parse_attribute(PayloadCursor({"attribute": "size", "operator": "less", "value": 12})))
    'size < 12'
    >>> render(parse_attribute(PayloadCursor({"attribute": "item", "operator": "is_empty"})))
    'NOT has(item)'
    """
    name = selector.only(SELECTOR_KEYS)["attribute"].string()
    selector["attribute"].check_limit(LIMITS["attribute_characters"], len(name), "characters", "a shorter name")
    if selector["where"].value is not None:
        return _refer_to(selector)
    type_, operator = attribute_type(name), selector.require("operator").enum(OPERATORS)
    if operator == "is_empty":
        return Not(Has(type_))
    expr = _parse_comparison(type_, operator, selector)
    return _refer_to(selector) if expr is None else expr


def _refer_to(selector: PayloadCursor) -> Reference:
    return Reference("airship", "attribute", selector.json_text())


def _parse_comparison(type_: str, operator: str, selector: PayloadCursor) -> Expr | None:
    """Parse a comparison with a value; None if only Airship can evaluate it."""
    value = selector.require("value", "only is_empty needs no value")
    if operator in DATE_OPERATORS and type_ not in BUILTIN_KEYS:
        return _parse_date_comparison(type_, operator, selector)
    if operator == "range" and type_ not in BUILTIN_KEYS:
        return _parse_range(type_, value)
    precision = selector["precision"].value
    if selector["relative_to"].value is not None or precision not in (None, DAY_PRECISION):
        return None
    text = _parse_day(value) if precision == DAY_PRECISION else _parse_value(type_, value)
    if text is None:
        return None
    if operator == "equals":
        return Tag(type_, text)
    has_order = type_ in VERSION_TYPES or (type_ not in BUILTIN_KEYS and parse_number(text) is not None)
    return Compare(type_, NUMBER_OPERATORS[operator], text) if operator in NUMBER_OPERATORS and has_order else None


def _parse_value(type_: str, value: PayloadCursor) -> str | None:
    """Return a text or number as the value of a tag; None if the tag would be written as another value."""
    if isinstance(value.value, str):
        text = value.string()
        is_text = type_ in BUILTIN_KEYS or (parse_number(text) is None and not DAY_FORMAT.fullmatch(text))
        return text if is_text else None
    return None if type_ in BUILTIN_KEYS else format_number(value.number())


def _parse_day(value: PayloadCursor) -> str | None:
    """Return a day; None if it is `now` or no day of the calendar."""
    moment = _parse_moment(value.value)
    return value.value if moment is not None and DAY_FORMAT.fullmatch(value.value) else None


def _parse_date_comparison(type_: str, operator: str, selector: PayloadCursor) -> Expr | None:
    """Parse before and after a moment, both of which include it; None if it is counted from the time of sending."""
    value, precision = selector["value"], selector["precision"]
    moment = _parse_moment(value.value)
    if isinstance(value.value, str) and moment is None and value.value != "now" and not value.value.isdecimal():
        hint = "write it like 2019-07-22T13:17:55, in UTC, or a number of units"
        value.fail("unknown-value", f"expected an ISO 8601 date, found {value.value!r}", hint)
    if moment is None or selector["relative_to"].value is not None or precision.value not in (None, *UNIT_PRECISIONS):
        return None
    if precision.value is not None:
        precision.warn("a precision beside a date has no documented meaning; it is ignored")
    names_day = operator == "after" and DAY_FORMAT.fullmatch(value.string())
    return Compare(type_, DATE_OPERATORS[operator], moment.date().isoformat() if names_day else moment.isoformat())


def _parse_range(type_: str, value: PayloadCursor) -> Within | None:
    """Parse a range of whole days, whose end is not part of it; None if it is one of moments."""
    bounds = [_parse_moment(bound) for bound in value.string().split("/")]
    match bounds:
        case [datetime() as start, datetime() as end] if start < end:
            days = (end - start).days
            is_whole = start.time() == end.time() == time.min and days <= MAX_WITHIN_DAYS
            return Within(type_, days, (end - timedelta(days=1)).date().isoformat()) if is_whole else None
    value.fail("unknown-value", f"expected two dates, found {value.value!r}", "write it like 2019-03-01/2019-05-11")


def _parse_moment(value: Any) -> datetime | None:
    """Return a date or moment of ISO 8601 in UTC, without a zone; a day begins at midnight. None if it is neither."""
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError):
        return None


def parse_number(text: str) -> float | None:
    """Return the number that is written as *text*, or None if the number would be written otherwise.

    >>> parse_number("12"), parse_number("2.5"), parse_number("012"), parse_number("1.0"), parse_number("Rome")
    (12, 2.5, None, None, None)
    """
    for number_type in (int, float):
        try:
            number = number_type(text)
            if format_number(number) == text:
                return number
        except (ValueError, OverflowError):  # no number, or not a finite one
            continue
    return None


def join_strict_and_equals(terms: Sequence[Expr]) -> Expr:
    """Return the union of *terms*, with >= for a greater and an equals of one value, and <= for less and equals.

    >>> join_strict_and_equals([Compare("age", ">", "17"), Tag("age", "17")])
    Compare(type='age', operator='>=', value='17')
    """
    union = any_of(terms)
    operands = list(dict.fromkeys(union.terms)) if isinstance(union, Or) else [union]
    for strict in [
        term for term in operands if isinstance(term, Compare) and term.operator in NUMBER_OPERATORS.values()
    ]:
        equals = Tag(strict.type, strict.value)
        if equals in operands:
            operator: CompareOp = ">=" if strict.operator == ">" else "<="
            operands[operands.index(strict)] = Compare(strict.type, operator, strict.value)
            operands.remove(equals)
    return any_of(operands)


# Writing. -----------------------------------------------------------------------------------------------------------


def emit_attribute(atom: AttributeAtom) -> Payload:
    """Return the selector of *atom*, for which there are no problems; that of `has` is the NOT of one."""
    selector = {"attribute": find_attribute(atom.type)}
    match atom:
        case Has():
            return {"NOT": emit_is_empty(atom)}
        case Tag(type=type_, value=value):
            precision = {"precision": DAY_PRECISION} if type_ not in BUILTIN_KEYS and is_day(value) else {}
            return {**selector, "operator": "equals", "value": _format_value(type_, value), **precision}
        case Compare(type=type_, operator=">=" | "<=" as operator, value=value) if _has_numbers(type_, value):
            return {"OR": [emit_attribute(Compare(type_, _strict(operator), value)), emit_attribute(Tag(type_, value))]}
        case Compare(type=type_, operator=operator, value=value) if _has_numbers(type_, value):
            name = OPERATORS_BY_COMPARE_OP[operator]
            return {**selector, "operator": name, "value": _format_value(type_, value)}
        case Within(days=days, day=day):
            end = datetime.fromisoformat(day) + timedelta(days=1)
            start = end - timedelta(days=days)
            return {**selector, "operator": "range", "value": f"{start.isoformat()}/{end.isoformat()}"}
        case Compare(operator=operator, value=value):
            return {**selector, "operator": "after" if operator == ">=" else "before", "value": value}


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as the conditions that Airship has in its place: >= and <= of numbers are two.

    >>> view_atom(Compare("age", ">=", "17"))
    Or(terms=(Compare(type='age', operator='>', value='17'), Tag(type='age', value='17')))
    """
    match atom:
        case Compare(type=type_, operator=">=" | "<=" as operator, value=value) if _has_numbers(type_, value):
            return any_of([Compare(type_, _strict(operator), value), Tag(type_, value)])
    return atom


def _strict(operator: CompareOp) -> CompareOp:
    return ">" if operator == ">=" else "<"


def emit_is_empty(has: Has) -> Payload:
    """Return the selector of devices without a value of an attribute."""
    return {"attribute": find_attribute(has.type), "operator": "is_empty"}


def _format_value(type_: str, value: str) -> str | float:
    number = None if type_ in BUILTIN_KEYS else parse_number(value)
    return value if number is None else number


def _has_numbers(type_: str, value: str) -> bool:
    """Return whether *value* is compared by greater, less and equals."""
    return type_ in VERSION_TYPES or (type_ not in BUILTIN_KEYS and parse_number(value) is not None)


def is_day(value: str) -> bool:
    """Return whether *value* is a day of the calendar."""
    return bool(DAY_FORMAT.fullmatch(value)) and _parse_moment(value) is not None


def has_number(atom: AttributeAtom) -> bool:
    """Return whether *atom* is about a number."""
    return isinstance(atom, Tag | Compare) and parse_number(atom.value) is not None


def has_moment(atom: AttributeAtom) -> bool:
    """Return whether *atom* is about days or a moment."""
    match atom:
        case Within():
            return True
        case Compare(value=value):
            return parse_number(value) is None
        case Tag(value=value):
            return is_day(value)
    return False


def attribute_problems(atom: AttributeAtom) -> Iterator[Problem]:
    """Yield the reasons why no selector of an attribute means *atom*."""
    name = find_attribute(atom.type)
    if name is None:
        yield _unknown_type_problem(atom)
        return
    yield from _length_problems(name, "attribute_characters", atom.span)
    match atom:
        case Tag(type=type_, value=value, span=span):
            yield from _length_problems(value, "value_characters", span)
            if type_ not in BUILTIN_KEYS and DAY_FORMAT.fullmatch(value) and not is_day(value):
                yield Problem("illegal-name", f"{render(atom)!r}: {value} is not a day of the calendar", span)
        case Compare():
            yield from _comparison_problems(atom)
        case Within(days=days, day=day):
            if atom.type in BUILTIN_KEYS or not is_day(day) or not _has_days_before(day, days):
                message = f"{render(atom)!r}: Airship has ranges of days of the calendar only"
                yield Problem("no-ranges", message, atom.span)


def _has_days_before(day: str, days: int) -> bool:
    """Return whether the calendar has *days* days up to *day* and the day after it."""
    return days <= date.fromisoformat(day).toordinal() < date.max.toordinal()


def _unknown_type_problem(atom: AttributeAtom) -> Problem:
    if atom.type == f"{GROUP_PREFIX}{DEFAULT_GROUP}":
        message = f"{render(atom)!r}: Airship uses the group {DEFAULT_GROUP!r} for untyped tags"
        return Problem("illegal-name", message, atom.span, hint="write the tag without a type")
    if isinstance(atom, Tag):
        message = f"{render(atom)!r}: Airship has no attribute {atom.type} of its own"
        hint = f"give it a name in a catalog: 'attribute.{atom.type}:{{value}}' is an attribute that you set"
        return Problem("no-name", message, atom.span, hint=hint)
    message = f"{render(atom)!r}: {atom.type} is not an attribute at Airship"
    code = "no-existence" if isinstance(atom, Has) else "no-ranges"
    return Problem(code, message, atom.span, hint="only attributes are compared and empty, not tags")


def _comparison_problems(compare: Compare) -> Iterator[Problem]:
    if _has_numbers(compare.type, compare.value):
        return
    moment = _parse_moment(compare.value)
    if moment is None or compare.type in BUILTIN_KEYS:
        message = f"{render(compare)!r}: Airship compares numbers, dates and versions only"
        yield Problem("no-ranges", message, compare.span)
    elif is_day(compare.value) and compare.operator != ">=":
        message = f"{render(compare)!r}: Airship compares moments, of which a day has many"
        yield Problem("no-ranges", message, compare.span, hint=_moment_hint(compare))
    elif not is_day(compare.value) and moment.isoformat() != compare.value:
        hint = f'write "{moment.isoformat()}", which is UTC'
        yield Problem("no-ranges", f"{render(compare)!r}: Airship compares moments of UTC", compare.span, hint=hint)
    elif compare.operator not in DATE_OPERATORS.values():
        message = f"{render(compare)!r}: before and after of Airship include the moment itself"
        yield Problem("no-ranges", message, compare.span, hint="use <= or >=")


def _moment_hint(compare: Compare) -> str:
    """Return what to write instead of a comparison with a whole day.

    >>> _moment_hint(Compare("joined", ">", "2020-05-04"))
    'write joined >= 2020-05-05'
    """
    day = date.fromisoformat(compare.value)
    if compare.operator == ">" and day < date.max:
        return f"write {compare.type} >= {day + timedelta(days=1)}"
    last_day = day - timedelta(days=1) if compare.operator == "<" and day > date.min else day
    return f'write {compare.type} <= "{last_day}T23:59:59"'


def _length_problems(text: str, limit_name: str, span: Span | None) -> Iterator[Problem]:
    limit = LIMITS[limit_name]
    if limit.is_exceeded_by(len(text)):
        yield Problem("name-too-long", f"{text!r} has {len(text)} characters; the maximum is {limit.maximum}", span)
