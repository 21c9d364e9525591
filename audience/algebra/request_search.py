"""Search all requests over a few tags for the smallest exact cover of an expression.

A set of devices is an integer, its truth table: one bit for each combination of tags. With the tags a and b:

    combination    a,b   b   a   -
    a               1    0   1   0     0b1010
    b               1    1   0   0     0b1100
    a OR b          1    1   1   0     0b1110
    a AND NOT b     0    0   1   0     0b0010

Tables are disjoint if they share no bit, `table & ~goal == 0` means that a table is inside the goal, and
`goal & -goal` is the lowest bit of the goal.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import NamedTuple

from audience.algebra.constraints import AttributeConstraints, build_constraint_expr
from audience.algebra.request_shape import SingleOperator, Slots
from audience.language.ast import And, Everyone, Expr, Not, Or, Tag, all_of, any_of


class RequestSearch(NamedTuple):
    """Disjoint *parts* that each fit one request."""

    parts: tuple[Expr, ...]
    is_complete: bool  # the parts make up the whole expression
    is_minimal: bool  # no fewer parts cover as much


def search_requests(
    expr: Expr, tags: list[Tag], shape: Slots | SingleOperator, constraints: AttributeConstraints, deadline: float
) -> RequestSearch:
    """Return the fewest requests over *tags* that cover all of *expr* that requests can express.

    Args:
        expr: Expression over *tags*.
        tags: A few tags; the number of requests grows exponentially with them.
        shape: Shape of one request.
        constraints: Combinations that contradict them are ignored.
        deadline: Time of `time.thread_time()` at which the search for fewer requests ends.
    """
    combination_count = 1 << len(tags)
    tag_tables = {
        tag: sum(1 << row for row in range(combination_count) if row >> position & 1)
        for position, tag in enumerate(tags)
    }
    all_rows = (1 << combination_count) - 1
    exclusions = AttributeConstraints(constraints.exclusive, keys=constraints.keys)
    possible = _truth_table(build_constraint_expr(tags, exclusions), tag_tables, all_rows)
    target = _truth_table(expr, tag_tables, all_rows) & possible
    tables = ((_truth_table(part, tag_tables, all_rows) & possible, part) for part in _iter_requests(tags, shape))
    requests = {table: part for table, part in tables if table and not table & ~target}
    expressible = 0
    for table in requests:
        expressible |= table
    chosen, is_minimal = _find_min_exact_cover(expressible, list(requests), deadline)
    return RequestSearch(tuple(requests[table] for table in chosen), sum(chosen) == target, is_minimal)


def _truth_table(expr: Expr, tag_tables: dict[Tag, int], all_rows: int) -> int:
    match expr:
        case Tag():
            return tag_tables[expr]
        case Not(term=term):
            return all_rows & ~_truth_table(term, tag_tables, all_rows)
        case And(terms=terms):
            table = all_rows
            for term in terms:
                table &= _truth_table(term, tag_tables, all_rows)
            return table
        case Or(terms=terms):
            table = 0
            for term in terms:
                table |= _truth_table(term, tag_tables, all_rows)
            return table
        case Everyone():
            return all_rows
    return 0


def _iter_requests(tags: Sequence[Tag], shape: Slots | SingleOperator) -> Iterator[Expr]:
    """Yield every request over *tags*, longest first, so that the shortest of equivalent requests comes last."""
    return _iter_slot_requests(tags, shape) if isinstance(shape, Slots) else _iter_operator_requests(tags, shape)


def _iter_slot_requests(tags: Sequence[Tag], shape: Slots) -> Iterator[Expr]:
    assignments = product(("any", "all", "none", "unused"), repeat=len(tags))
    for slots in sorted(assignments, key=lambda slots: slots.count("unused")):
        any_tags, all_tags, none_tags = (
            [tag for tag, slot in zip(tags, slots, strict=True) if slot == name] for name in ("any", "all", "none")
        )
        fits = (
            len(any_tags) <= shape.max_any_of
            and len(all_tags) <= shape.max_all_of
            and len(none_tags) <= shape.max_none_of
        )
        is_bounded = any_tags or all_tags or (none_tags and shape.allows_unbounded_not)
        if fits and is_bounded and len(any_tags) != 1:
            yield all_of([*([any_of(any_tags)] if any_tags else []), *all_tags, *map(Not, none_tags)])


def _iter_operator_requests(tags: Sequence[Tag], shape: SingleOperator) -> Iterator[Expr]:
    for count in range(min(len(tags), shape.max_tags), 0, -1):
        for chosen in combinations(tags, count):
            yield any_of(chosen)
            yield all_of(chosen)
            for first in chosen:
                yield all_of([first, *(Not(tag) for tag in chosen if tag != first)])


def _find_min_exact_cover(goal: int, tables: list[int], deadline: float) -> tuple[list[int], bool]:
    """Return the fewest disjoint *tables* that make up *goal*, and whether fewer are proved impossible."""
    tables.sort(key=int.bit_count, reverse=True)
    greedy = _find_greedy_cover(goal, tables)
    is_complete = sum(greedy) == goal  # false if the shape is too narrow for single combinations
    for max_count in range(1, len(greedy) if is_complete else goal.bit_count() + 1):
        try:
            cover = _find_exact_cover(goal, tables, max_count, deadline, set())
        except TimeoutError:
            return greedy, False
        if cover is not None:
            return cover, True
    return greedy, is_complete


def _find_greedy_cover(goal: int, tables: list[int]) -> list[int]:
    """Return disjoint *tables* inside *goal*, each the largest that still fits."""
    chosen = []
    for table in tables:
        if not table & ~goal:
            chosen.append(table)
            goal &= ~table
    return chosen


def _find_exact_cover(
    goal: int, tables: list[int], max_count: int, deadline: float, failed: set[tuple[int, int]]
) -> list[int] | None:
    """Return at most *max_count* disjoint *tables* that make up *goal*, or None if there are none.

    Some table must contain the lowest bit of the goal. Try each of them, and cover the remaining bits recursively.
    *tables* are sorted by size, largest first; *failed* remembers goals without a cover. Raises TimeoutError past
    the deadline.
    """
    if not goal:
        return []
    inside = [table for table in tables if not table & ~goal]
    if max_count == 0 or not inside or (goal, max_count) in failed:
        return None
    if goal.bit_count() > max_count * inside[0].bit_count():
        return None
    if time.thread_time() > deadline:
        raise TimeoutError
    lowest_bit = goal & -goal
    for table in inside:
        if table & lowest_bit:
            cover = _find_exact_cover(goal & ~table, inside, max_count - 1, deadline, failed)
            if cover is not None:
                return [table, *cover]
    failed.add((goal, max_count))
    return None
