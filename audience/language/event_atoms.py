"""Nodes that describe devices by their events: how often they did something, with which values, and when.

Events of one name are selected by their properties, one event at a time, and by a window of days or moments.
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from audience.errors import ExpressionError, Problem
from audience.language.atoms import Between, Compare, Has, Matches, Relative, Tag, Within
from audience.language.junctions import (
    And,
    AtomNode,
    ExprNode,
    Not,
    Or,
    depth_field,
    ensure_expr,
    require_count,
    require_operator,
    set_depth,
    span_field,
)
from audience.language.validation import require_nonempty, type_error
from audience.language.windows import Comparison, Interval, Period, Window, window_times
from audience.span import Span

if TYPE_CHECKING:
    from audience.language.ast import Expr

MAX_TIMES = 10**9  # events of one device
SHORTEST_DAY = len("20261128")

AggregateFunction: TypeAlias = Literal["sum", "min", "max", "avg"]
AGGREGATE_FUNCTIONS: tuple[AggregateFunction, ...] = get_args(AggregateFunction)
MomentFunction: TypeAlias = Literal["first", "last"]
MOMENT_FUNCTIONS: tuple[MomentFunction, ...] = get_args(MomentFunction)
EVENT_FUNCTIONS = ("did", *AGGREGATE_FUNCTIONS, *MOMENT_FUNCTIONS)
AggregateOp: TypeAlias = Literal["=", "<", "<=", ">=", ">"]
AGGREGATE_OPS: tuple[AggregateOp, ...] = get_args(AggregateOp)
EVENT_WINDOW_OPS = ("<", ">", "=")  # before, after and on a day; a comparison with other signs is one of how often
WHERE_HINT = "join conditions of properties with AND, OR and NOT: did(purchase where amount > 20 AND category:shoes)"
PROPERTY_NODES = (Tag, Compare, Within, Between, Matches, Relative, Has)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events of one name in *window* whose properties match *where*.

    Args:
        name: Name of the event.
        where: Expression about properties, in which a tag is a value of a property; None is all events.
        window: Days or moments of the events; None is all that is kept.

    >>> EventFilter("purchase", window=Period(30, "day")).where is None
    True
    """

    name: str
    where: "Expr | None" = None
    window: Window | None = None

    def __post_init__(self) -> None:
        require_nonempty("name of an event", self.name, None)
        if self.where is not None:
            require_properties(ensure_expr(self.where))
        if self.window is not None:
            _require_window(self.window)
        if isinstance(self.window, Comparison):
            require_operator(self.window.operator, EVENT_WINDOW_OPS, None)


def require_properties(where: "Expr") -> None:
    """Raise ExpressionError unless *where* joins conditions of properties with AND, OR and NOT."""
    match where:
        case Not(term=term):
            require_properties(term)
        case And(terms=terms) | Or(terms=terms):
            for term in terms:
                require_properties(term)
        case _ if not isinstance(where, PROPERTY_NODES):
            message = f"{_NODE_LABELS.get(type(where).__name__, 'this')} is no condition of a property"
            raise ExpressionError(Problem("bad-where", message, getattr(where, "span", None), hint=WHERE_HINT))


_NODE_LABELS = {
    "Aggregate": "an aggregate of events",
    "Anniversary": "an anniversary",
    "Did": "an event",
    "EventMoment": "the first or last event",
    "Everyone": "everyone",
    "Except": "EXCEPT",
    "Ids": "a list of ids",
    "Limit": "a limit",
    "Nobody": "nobody",
    "Reference": "a reference",
    "Sample": "a sample",
    "Segment": "a segment",
    "Split": "a split",
    "Threshold": "a threshold",
    "Top": "a limit",
}


def _require_window(window: object) -> None:
    """Raise ExpressionError unless *window* is one, and names no number such as 3, which is how often."""
    if not isinstance(window, Comparison | Interval | Period):
        raise type_error("window of events", "a comparison, an interval or a period", window)
    for time in window_times(window):
        if isinstance(time, str) and time.isdecimal() and len(time) < SHORTEST_DAY:
            hint = "write a day such as 2026-11-28; how often is did(purchase) >= 3"
            raise ExpressionError(Problem("bad-time", f"{time!r} is no day or moment", hint=hint))


def _set_event_depth(node: ExprNode, events: EventFilter) -> None:
    """Set the depth of a node above the conditions of its events."""
    set_depth(node, () if events.where is None else (events.where,))


def read_number(text: str) -> Decimal | None:
    """Return the number that *text* is, or None if it is not one.

    >>> read_number("1e3"), read_number("ten"), read_number("inf"), read_number("１８")
    (Decimal('1E+3'), None, None, None)
    """
    if not text.isascii():  # Decimal reads digits of all scripts, which no vendor does
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _require_filter(events: EventFilter) -> EventFilter:
    if not isinstance(events, EventFilter):
        raise type_error("events", "an EventFilter", events)
    return events


@dataclass(frozen=True, slots=True)
class Did(AtomNode):
    """Devices with at least *least* and at most *most* of some events; a device without any has none of them.

    Args:
        events: Events that are counted.
        least: Least number of events.
        most: Largest number of events; None is any number.

    >>> Did(EventFilter("purchase"), least=3)
    Did(events=EventFilter(name='purchase', where=None, window=None), least=3, most=None)
    """

    events: EventFilter
    least: int = 1
    most: int | None = None
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        _set_event_depth(self, _require_filter(self.events))
        require_count(self.least, 0, MAX_TIMES, self.span)
        if self.most is not None:
            require_count(self.most, self.least, MAX_TIMES, self.span)
        elif not self.least:
            hint = "write everyone for all devices"
            problem = Problem("bad-count", "every device did it 0 times or more", self.span, hint=hint)
            raise ExpressionError(problem)


@dataclass(frozen=True, slots=True)
class Aggregate(AtomNode):
    """Devices for which the sum, minimum, maximum or average of a property of some events compares with *value*.

    The sum of no events is 0. A device without any value has no minimum, maximum or average, and is not among the
    devices.

    Args:
        function: `sum`, `min`, `max` or `avg`.
        events: Events whose property is aggregated.
        property: Name of a property with numbers.
        operator: `=`, `<`, `<=`, `>=` or `>`.
        value: Number to compare with, as it is written.
    """

    function: AggregateFunction
    events: EventFilter
    property: str
    operator: AggregateOp
    value: str
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        _set_event_depth(self, _require_filter(self.events))
        if self.function not in AGGREGATE_FUNCTIONS:
            raise type_error("function", f"one of {', '.join(AGGREGATE_FUNCTIONS)}", self.function)
        require_nonempty("name of a property", self.property, self.span)
        if "." in self.property:
            hint = "the name of a property is what follows the last dot: sum(purchase.amount)"
            raise ExpressionError(Problem("bad-event", f"{self.property!r:.60} has a dot", self.span, hint=hint))
        require_operator(self.operator, AGGREGATE_OPS, self.span)
        require_nonempty("number", self.value, self.span)
        if read_number(self.value) is None:
            hint = f"write a number: {self.function}({self.events.name}.{self.property}) {self.operator} 100"
            raise ExpressionError(Problem("bad-event", f"{self.value!r:.60} is not a number", self.span, hint=hint))


@dataclass(frozen=True, slots=True)
class EventMoment(AtomNode):
    """Devices whose first or last event is in *window*; a device without any event is not among them.

    Args:
        function: `first` or `last`, among all events that are kept.
        events: Events among which the first or last is meant, without a window of their own.
        window: Days or moments.
    """

    function: MomentFunction
    events: EventFilter
    window: Window
    span: Span | None = span_field()
    depth: int = depth_field()

    def __post_init__(self) -> None:
        _set_event_depth(self, _require_filter(self.events))
        if self.function not in MOMENT_FUNCTIONS:
            raise type_error("function", f"one of {', '.join(MOMENT_FUNCTIONS)}", self.function)
        if self.events.window is not None:
            raise type_error(f"events of {self.function}()", "no window of their own", self.events.window)
        _require_window(self.window)
