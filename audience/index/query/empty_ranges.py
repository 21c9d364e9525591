"""Find comparisons that no single value meets at once, such as `age < 10 AND age > 20`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.index.schema.value_types import DATE, NUMBER, VERSION, SortKey, ValueType, parse_operand, value_type_of
from audience.language.ast import And, Compare, CompareOp, Expr, Not, Within, walk
from audience.language.printer import render

Condition: TypeAlias = Compare | Within
NEGATED_OPS: Mapping[CompareOp, CompareOp] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
Bound: TypeAlias = tuple[SortKey, int]  # a key; 1 just above it, -1 just below it


def find_empty_ranges(expr: Expr, roles: Mapping[str, Role], multi_valued: frozenset[str]) -> Iterator[Problem]:
    """Yield a problem for each AND of comparisons of one attribute that no single value meets.

    Args:
        expr: Expression to search.
        roles: Types of the attributes that are known. The type of another one is guessed from the operands.
        multi_valued: Attributes of which a device may have several values, on both sides of such a range.

    >>> from audience.language.parser import parse
    >>> [problem.code for problem in find_empty_ranges(parse("age < 10 AND age > 20"), {}, frozenset())]
    ['empty-range']
    >>> list(find_empty_ranges(parse("age > 10 AND age < 20"), {}, frozenset()))
    []
    """
    for node in walk(simplify(nnf(expr))):
        if not isinstance(node, And):
            continue
        for type_, conditions in _group_conditions(node).items():
            value_type = _value_type_of(type_, conditions, roles)
            if type_ not in multi_valued and value_type is not None and _is_empty(conditions, value_type):
                yield _build_problem(conditions)


def _group_conditions(node: And) -> dict[str, list[Condition]]:
    groups: dict[str, list[Condition]] = {}
    for term in node.terms:
        if isinstance(term, Compare | Within):
            groups.setdefault(term.type, []).append(term)
    for term in node.terms:
        match term:
            case Not(term=Compare(type=type_) as compared) if type_ in groups:  # a value of the attribute exists
                groups[type_].append(replace(compared, operator=NEGATED_OPS[compared.operator]))
    return {type_: conditions for type_, conditions in groups.items() if len(conditions) > 1}


def _value_type_of(type_: str, conditions: Sequence[Condition], roles: Mapping[str, Role]) -> ValueType | None:
    """Return the type of an attribute: the known one, or the first that all operands are values of."""
    candidates = [value_type_of(roles[type_])] if type_ in roles else [NUMBER, DATE, VERSION]
    return next((candidate for candidate in candidates if _accepts_operands(candidate, conditions)), None)


def _accepts_operands(value_type: ValueType, conditions: Sequence[Condition]) -> bool:
    try:
        for condition in conditions:
            parse_operand(condition, value_type)
    except ExpressionError:
        return False
    return value_type.is_ordered


def _is_empty(conditions: Sequence[Condition], value_type: ValueType) -> bool:
    """Return whether the highest lower bound of *conditions* is above their lowest upper bound."""
    lower = [bound for condition in conditions if (bound := _lower_bound(condition, value_type))]
    upper = [bound for condition in conditions if (bound := _upper_bound(condition, value_type))]
    return bool(lower and upper) and max(lower) > min(upper)


def _lower_bound(condition: Condition, value_type: ValueType) -> Bound | None:
    key = parse_operand(condition, value_type)
    match condition:
        case Within(days=days):
            return value_type.first_key(key - timedelta(days=min(days, key.toordinal()) - 1)), 0
        case Compare(operator=">"):
            return value_type.last_key(key), 1
        case Compare(operator=">="):
            return value_type.first_key(key), 0
    return None


def _upper_bound(condition: Condition, value_type: ValueType) -> Bound | None:
    key = parse_operand(condition, value_type)
    match condition:
        case Within() | Compare(operator="<="):
            return value_type.last_key(key), 0
        case Compare(operator="<"):
            return value_type.first_key(key), -1
    return None


def _build_problem(conditions: Sequence[Condition]) -> Problem:
    message = f"no value is both {' and '.join(render(condition) for condition in conditions)}"
    hint = "join them with OR, or turn a comparison round"
    return Problem("empty-range", message, conditions[-1].span, hint=hint)
