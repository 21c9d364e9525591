"""Find likely mistakes in conditions about events: windows that no event is in, and `where` that no event fits."""

from collections.abc import Iterator
from datetime import UTC

from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.event_windows import WindowRange, find_window_range
from audience.errors import ComplexityError, Problem
from audience.index.query.empty_ranges import find_empty_ranges
from audience.language.as_of import AsOf
from audience.language.ast import EventAtom, EventMoment, Everyone, Expr, Nobody, walk, walk_operands
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.windows import Window
from audience.language.zones import count_microseconds


def find_event_mistakes(expr: Expr, asked: AsOf) -> Iterator[Problem]:
    """Yield a problem for each window in which no event can be, and each `where` that no event or every one fits.

    Args:
        expr: Expression with relative times bound.
        asked: Moment of the question; events after it are not known.

    >>> from audience.language.as_of import read_as_of
    >>> from audience.language.parser import parse
    >>> expr = parse("did(a) from 2026-11-11 to 2026-11-01 OR did(a where x:1 AND x:2) OR did(a) after 2026-11-28")
    >>> [problem.code for problem in find_event_mistakes(expr, read_as_of("2026-11-28T09:00"))]
    ['empty-window', 'empty-where', 'future-window']
    """
    atoms = dict.fromkeys(node for node in walk_operands(expr) if isinstance(node, EventAtom))
    for atom in atoms:
        window = atom.window if isinstance(atom, EventMoment) else atom.events.window
        yield from _find_window_mistakes(atom, window, asked)
        if atom.events.where is not None:
            yield from _find_where_mistakes(atom, atom.events.where)


def _find_window_mistakes(atom: EventAtom, window: Window | None, asked: AsOf) -> Iterator[Problem]:
    found = find_window_range(window)
    if found is None:
        return
    if found.low is not None and found.high is not None and found.high.shift(1).is_at_most(found.low):
        message = f"the window of {render(atom)!r:.100} ends before it begins"
        yield Problem("empty-window", message, atom.span, hint="write the earlier end first")
    elif _is_in_future(found, asked):
        message = f"the window of {render(atom)!r:.100} begins after {asked}, where no event is yet"
        yield Problem("future-window", message, atom.span, hint="write a day that has been, or ask --as-of a later one")


def _is_in_future(window: WindowRange, asked: AsOf) -> bool:
    match window.low:
        case None:
            return False
        case low if low.scale == "day":
            return low.units > asked.local_time.toordinal()
        case low:
            return low.scale == "instant" and low.units > count_microseconds(asked.moment.astimezone(UTC))


def _find_where_mistakes(atom: EventAtom, where: Expr) -> Iterator[Problem]:
    """Yield a problem if no event fits *where*, or every one; an event has one value of a property."""
    types = frozenset(node.type for node in walk(where) if hasattr(node, "type")) - {UNTYPED}
    constraints = AttributeConstraints(exclusive=types)
    span, text = atom.span, render(where)
    try:
        if find_partition_violation(Nobody(), [where], constraints) is None:
            hint = "an event has one value of a property: join values with OR"
            yield Problem("empty-where", f"no event fits {text!r:.100}", span, hint=hint)
        elif find_partition_violation(Everyone(), [where], constraints) is None:
            yield Problem("empty-where", f"every event fits {text!r:.100}", span, hint="leave where out")
        else:
            yield from find_empty_ranges(where, {}, frozenset())
    except ComplexityError as error:
        yield from error.problems
