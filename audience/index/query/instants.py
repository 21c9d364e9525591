"""Conditions of attributes of instants, with their days and wall-clock times as instants in UTC.

    last_seen = 2026-11-28              last_seen between the start of that day and that of the next one
    last_seen <= 2026-11-28             last_seen < the start of 2026-11-29
    last_seen > "2026-11-28T09:00"      last_seen > "2026-11-28T01:00:00Z", in Asia/Shanghai

A device with several values needs one in the range, so that a day is one range and not two comparisons.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeGuard
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.index.schema.instant_sets import (
    START,
    STOP,
    InstantSet,
    complement,
    instants_before,
    instants_of,
    instants_of_days,
    instants_through,
    intersect,
    subtract,
)
from audience.index.schema.value_types import DATE, TIME, ValueQuery
from audience.language.ast import (
    Anniversary,
    Atom,
    Between,
    Compare,
    Expr,
    Has,
    Tag,
    Within,
    any_of,
    map_operands,
    walk_operands,
)
from audience.language.windows import Comparison
from audience.language.zones import LocalTimeError, format_instant


def to_instants(expr: Expr, roles: Mapping[str, Role], zone: ZoneInfo) -> Expr:
    """Return *expr* with instants in UTC as the operands of attributes of instants, and half-open ranges for days.

    Args:
        expr: Expression without segments.
        roles: Roles of the attributes.
        zone: Time zone of days and of timestamps without a zone.

    Raises:
        ExpressionError: An operand is neither a day nor a timestamp, or clocks of the zone show it twice or never.

    >>> from audience.language.printer import render
    >>> render(to_instants(Compare("seen", "<=", "2026-11-28"), {"seen": "time"}, ZoneInfo("Asia/Shanghai")))
    'seen < "2026-11-28T16:00:00Z"'
    """
    if not any(_is_about_instants(node, roles) for node in walk_operands(expr)):
        return expr

    def convert(atom: Atom) -> Expr:
        return _write_ranges(find_instants(atom, zone), atom) if _is_about_instants(atom, roles) else atom

    return map_operands(expr, convert)


def expand_anniversaries(
    expr: Expr, roles: Mapping[str, Role], zone: ZoneInfo, find_years: Callable[[str], range]
) -> Expr:
    """Return *expr* with the day of every year for the anniversaries of attributes of instants.

    Args:
        expr: Expression with absolute anniversaries.
        roles: Roles of the attributes.
        zone: Time zone of the days.
        find_years: Returns the years in which an attribute may have values.
    """

    def expand(atom: Atom) -> Expr:
        if not isinstance(atom, Anniversary) or roles.get(atom.type) != "time":
            return atom
        assert isinstance(atom.window, Comparison)
        days = [f"{year:04}-{atom.window.time}" for year in find_years(atom.type)]
        return any_of(_write_ranges(instants_of(day, zone), atom) for day in days if DATE.accepts(day))

    has_any = any(isinstance(node, Anniversary) for node in walk_operands(expr))
    return map_operands(expr, expand) if has_any else expr


def _is_about_instants(node: Expr, roles: Mapping[str, Role]) -> TypeGuard[ValueQuery]:
    return isinstance(node, Tag | Compare | Within | Between) and roles.get(node.type) == "time"


def find_instants(atom: ValueQuery, zone: ZoneInfo) -> InstantSet:
    """Return the instants that fit a condition. Raises as `to_instants`.

    >>> find_instants(Compare("seen", ">", "1970-01-01"), ZoneInfo("UTC")) == ((86_400_000_000, STOP),)
    True
    """
    try:
        match atom:
            case Tag(value=value):
                return instants_of(value, zone)
            case Compare(operator="<", value=value):
                return instants_before(value, zone)
            case Compare(operator="<=", value=value):
                return instants_through(value, zone)
            case Compare(operator=">=", value=value):
                return complement(instants_before(value, zone))
            case Compare(value=value):
                return complement(instants_through(value, zone))
            case Within(days=days, day=value):
                return instants_of_days(days, value, zone)
        value = atom.low
        below = instants_before(value, zone) if atom.low_operator == "<=" else instants_through(value, zone)
        value = atom.high
        through = instants_through(value, zone) if atom.high_operator == "<=" else instants_before(value, zone)
        return subtract(through, below)
    except LocalTimeError as error:
        raise ExpressionError(Problem("ambiguous-time", error.message, atom.span, hint=error.hint)) from None
    except ValueError:
        raise ExpressionError(_operand_problem(atom, value)) from None


def are_disjoint(conditions: Iterable[ValueQuery], zone: ZoneInfo) -> bool:
    """Return whether no instant fits all *conditions*. Raises as `to_instants`."""
    common: InstantSet = ((START, STOP),)
    for condition in conditions:
        common = intersect(common, find_instants(condition, zone))
    return not common


def _operand_problem(atom: ValueQuery, value: str) -> Problem:
    from audience.index.schema.value_mistakes import suggest_day  # questions without errors do not need it

    if isinstance(atom, Within):
        message = f"{value!r:.80} is not a day, like 2020-04-08 or 20200408"
    else:
        message = f"{atom.type} is {TIME.example}; {value!r:.80} is not"
    return Problem("bad-value", message, atom.span, hint=suggest_day(atom, value))


def _write_ranges(instants: InstantSet, atom: ValueQuery | Anniversary) -> Expr:
    return any_of(_write_range(start, stop, atom) for start, stop in instants)


def _write_range(start: int, stop: int, atom: ValueQuery | Anniversary) -> Expr:
    type_, span = atom.type, atom.span
    match start, stop:
        case (first, last) if first == START and last == STOP:
            return Has(type_, span=span)
        case (first, last) if first == START:
            return Compare(type_, "<", format_instant(last), span=span)
        case (first, last) if last == STOP:
            return Compare(type_, ">=", format_instant(first), span=span)
        case (first, last) if last == first + 1:
            return Tag(type_, format_instant(first), span=span)
    return Between(type_, format_instant(start), format_instant(stop), "<=", "<", span=span)
