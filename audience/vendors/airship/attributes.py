"""Selectors of attributes, in both directions.

    expression                        selector
    city:Rome                         equals "Rome"
    size:12                           equals 12: what looks like a number is one
    joined:2020-04-08                 equals "2020-04-08", by the precision year_month_day
    size > 12, size < 12              greater, less
    size >= 12                        OR of greater and equals
    size between 12 and 15            AND of both ends: a device has one value
    NOT has(city)                     is_empty

Those of dates are in `dates`. What only Airship can evaluate is a reference: parts of texts, whose case may or may not
count, the order of texts, JSON attributes, and months and years that are counted from the time of sending.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from audience.errors import Problem
from audience.language.ast import (
    Anniversary,
    Atom,
    Between,
    Compare,
    CompareOp,
    Expr,
    Has,
    Not,
    Or,
    Reference,
    Tag,
    Within,
    all_of,
    any_of,
)
from audience.language.printer import render
from audience.span import Span
from audience.vendors.airship.dates import (
    DATE_OPERATORS,
    DAY_FORMAT,
    DAY_PRECISION,
    MONTH_DAY_PRECISION,
    date_problems,
    emit_date,
    is_day,
    parse_calendar_day,
    parse_date_comparison,
    parse_range,
    view_date,
    view_range,
    within_problems,
)
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
from audience.vendors.relative_times import split_range
from audience.vendors.spec import Payload

SelectorAtom: TypeAlias = Tag | Compare | Between | Within | Anniversary | Has

SELECTOR_KEYS = ("attribute", "operator", "value", "precision", "relative_to", "where")
OPERATORS = ("equals", "contains", "less", "greater", "is_empty", "before", "after", "range")
NUMBER_OPERATORS: dict[str, CompareOp] = {"greater": ">", "less": "<"}
OPERATORS_BY_COMPARE_OP = {operator: name for name, operator in NUMBER_OPERATORS.items()}


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
        return parse_date_comparison(type_, operator, selector)
    if operator == "range" and type_ not in BUILTIN_KEYS:
        return parse_range(type_, value)
    precision = selector["precision"].value
    if selector["relative_to"].value is not None:
        return None
    if precision in (DAY_PRECISION, MONTH_DAY_PRECISION):
        is_own = type_ not in BUILTIN_KEYS
        return parse_calendar_day(type_, value, precision) if operator == "equals" and is_own else None
    text = _parse_value(type_, value) if precision is None else None
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


def emit_attribute(atom: SelectorAtom) -> Payload:
    """Return the selector of *atom*, which `view_atom` has returned; `has` becomes the NOT of a selector."""
    selector = {"attribute": find_attribute(atom.type)}
    match atom:
        case Has():
            return {"NOT": emit_is_empty(atom)}
        case Tag(type=type_, value=value):
            precision = {"precision": DAY_PRECISION} if type_ not in BUILTIN_KEYS and is_day(value) else {}
            return {**selector, "operator": "equals", "value": _format_value(type_, value), **precision}
        case Compare(type=type_, operator=operator, value=value) if _has_numbers(type_, value):
            name = OPERATORS_BY_COMPARE_OP[operator]
            return {**selector, "operator": name, "value": _format_value(type_, value)}
        case Compare() | Between() | Within() | Anniversary():
            return {**selector, **emit_date(atom)}


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as the conditions that Airship has in its place: >= and <= of numbers are two.

    >>> view_atom(Compare("age", ">=", "17"))
    Or(terms=(Compare(type='age', operator='>', value='17'), Tag(type='age', value='17')))
    """
    match atom:
        case Compare(type=type_, operator=operator, value=value) if _has_numbers(type_, value):
            if operator in NUMBER_OPERATORS.values():
                return atom
            return any_of([Compare(type_, _strict(operator), value), Tag(type_, value)])
        case Compare():
            return atom if any(_comparison_problems(atom)) else view_date(atom)
        case Between() if any(_range_problems(atom)):
            return atom
        case Between(type=type_, low=low):
            return all_of(map(view_atom, split_range(atom))) if _has_numbers(type_, low) else view_range(atom)
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


def has_number(atom: SelectorAtom) -> bool:
    """Return whether *atom* is about a number."""
    match atom:
        case Tag(value=value) | Compare(value=value) | Between(low=value):
            return parse_number(value) is not None
    return False


def has_moment(atom: SelectorAtom) -> bool:
    """Return whether *atom* is about days or a moment."""
    match atom:
        case Within() | Anniversary():
            return True
        case Compare(value=value) | Between(low=value):
            return parse_number(value) is None
        case Tag(value=value):
            return is_day(value)
    return False


def attribute_problems(atom: SelectorAtom) -> Iterator[Problem]:
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
        case Between():
            yield from _range_problems(atom)
        case Within() | Anniversary() if atom.type in BUILTIN_KEYS:
            yield Problem("no-ranges", f"{render(atom)!r}: Airship's own {atom.type} is no date", atom.span)
        case Within():
            yield from within_problems(atom)
        case Anniversary() if not atom.is_absolute:
            yield Problem("no-time", f"{render(atom)!r}: Airship's day of now is of no documented zone", atom.span)


def _unknown_type_problem(atom: SelectorAtom) -> Problem:
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
    is_moment = compare.written is not None
    if _has_numbers(compare.type, compare.value) and not is_moment:
        return
    if compare.type in BUILTIN_KEYS:
        message = f"{render(compare)!r}: Airship compares numbers, dates and versions only"
        yield Problem("no-ranges", message, compare.span)
    else:
        yield from date_problems(compare)


def _range_problems(between: Between) -> Iterator[Problem]:
    low, high = split_range(between)
    yield from dict.fromkeys([*_comparison_problems(low), *_comparison_problems(high)])
    if (parse_number(low.value) is None) != (parse_number(high.value) is None) and low.type not in VERSION_TYPES:
        message = f"{render(between)!r}: one end is a number and the other is none"
        yield Problem("no-ranges", message, between.span)


def _length_problems(text: str, limit_name: str, span: Span | None) -> Iterator[Problem]:
    limit = LIMITS[limit_name]
    if limit.is_exceeded_by(len(text)):
        yield Problem("name-too-long", f"{text!r} has {len(text)} characters; the maximum is {limit.maximum}", span)
