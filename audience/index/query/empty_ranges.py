"""Find comparisons that no single value meets at once, such as `age < 10 AND age > 20`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo

from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import ExpressionError, Problem
from audience.index.query.instants import are_disjoint
from audience.index.schema.columns import Role
from audience.index.schema.value_types import (
    DATE,
    NUMBER,
    VERSION,
    SortKey,
    ValueType,
    parse_operand,
    value_type_of,
)
from audience.language.ast import And, Between, Compare, CompareOp, Expr, Limit, Not, Top, Within, walk
from audience.language.printer import render
from audience.language.zones import UTC_ZONE

OneSided: TypeAlias = Compare | Within
NEGATED_OPS: Mapping[CompareOp, CompareOp] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
Bound: TypeAlias = tuple[SortKey, int]  # a key; 1 just above it, -1 just below it


def find_empty_ranges(
    expr: Expr, roles: Mapping[str, Role], multi_valued: frozenset[str], zone: ZoneInfo = UTC_ZONE
) -> Iterator[Problem]:
    """Yield a problem for each range, or AND of comparisons of one attribute, that no single value meets.

    Args:
        expr: Expression to search.
        roles: Types of the attributes that are known. The type of another one is guessed from the operands.
        multi_valued: Attributes of which a device may have several values, on both sides of such a range.
        zone: Time zone of the days of instants.

    >>> from audience.language.parser import parse
    >>> [problem.code for problem in find_empty_ranges(parse("age < 10 AND age > 20"), {}, frozenset())]
    ['empty-range']
    >>> list(find_empty_ranges(parse("age > 10 AND age < 20"), {}, frozenset()))
    []
    """
    for node in walk(simplify(nnf(expr))):
        match node:
            case Between() if _is_empty([node], roles, zone):
                yield _build_problem([node])
            case And():
                for type_, conditions in _group_conditions(node).items():
                    is_reported = any(
                        isinstance(each, Between) and _is_empty([each], roles, zone) for each in conditions
                    )
                    if type_ not in multi_valued and not is_reported and _is_empty(conditions, roles, zone):
                        yield _build_problem(conditions)
            case Limit(term=term) | Top(term=term):
                yield from find_empty_ranges(term, roles, multi_valued, zone)


def _group_conditions(node: And) -> dict[str, list[OneSided | Between]]:
    groups: dict[str, list[OneSided | Between]] = {}
    for term in node.terms:
        if isinstance(term, Compare | Within | Between):
            groups.setdefault(term.type, []).append(term)
    for term in node.terms:
        match term:
            case Not(term=Compare(type=type_) as compared) if type_ in groups:  # a value of the attribute exists
                groups[type_].append(replace(compared, operator=NEGATED_OPS[compared.operator]))
    return {type_: conditions for type_, conditions in groups.items() if len(conditions) > 1}


def _value_type_of(conditions: Sequence[OneSided], roles: Mapping[str, Role]) -> ValueType | None:
    """Return the type of an attribute: the known one, or the first that all operands are values of."""
    type_ = conditions[0].type
    candidates = [value_type_of(roles[type_])] if type_ in roles else [NUMBER, DATE, VERSION]
    return next((candidate for candidate in candidates if _accepts_operands(candidate, conditions)), None)


def _accepts_operands(value_type: ValueType, conditions: Sequence[OneSided]) -> bool:
    try:
        for condition in conditions:
            parse_operand(condition, value_type)
    except ExpressionError:
        return False
    return value_type.is_ordered


def _is_empty(conditions: Sequence[OneSided | Between], roles: Mapping[str, Role], zone: ZoneInfo) -> bool:
    """Return whether the highest lower bound of *conditions* is above their lowest upper bound."""
    if roles.get(conditions[0].type) == "time":
        with suppress(ExpressionError):
            return are_disjoint(conditions, zone)
        return False
    comparisons = [comparison for condition in conditions for comparison in _as_comparisons(condition)]
    value_type = _value_type_of(comparisons, roles)
    if value_type is None:
        return False
    lower = [bound for comparison in comparisons if (bound := _lower_bound(comparison, value_type))]
    upper = [bound for comparison in comparisons if (bound := _upper_bound(comparison, value_type))]
    return bool(lower and upper) and max(lower) > min(upper)


def _as_comparisons(condition: OneSided | Between) -> list[OneSided]:
    """Return the two comparisons that one value meets if it is in a range."""
    if not isinstance(condition, Between):
        return [condition]
    low_operator: CompareOp = ">=" if condition.low_operator == "<=" else ">"
    return [
        Compare(condition.type, low_operator, condition.low),
        Compare(condition.type, condition.high_operator, condition.high),
    ]


def _lower_bound(condition: OneSided, value_type: ValueType) -> Bound | None:
    key = parse_operand(condition, value_type)
    match condition:
        case Within(days=days):
            return key - timedelta(days=min(days, key.toordinal()) - 1), 0
        case Compare(operator=">"):
            return key, 1
        case Compare(operator=">="):
            return key, 0
    return None


def _upper_bound(condition: OneSided, value_type: ValueType) -> Bound | None:
    key = parse_operand(condition, value_type)
    match condition:
        case Within() | Compare(operator="<="):
            return key, 0
        case Compare(operator="<"):
            return key, -1
    return None


def _build_problem(conditions: Sequence[OneSided | Between]) -> Problem:
    texts = [render(condition) for condition in conditions]
    if len(texts) == 1:
        message, hint = f"no value is in the range of {texts[0]!r}", "exchange its ends"
    else:
        message, hint = f"no value is both {' and '.join(texts)}", "join them with OR, or turn a comparison round"
    return Problem("empty-range", message, conditions[-1].span, hint=hint)
