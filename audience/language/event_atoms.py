"""Nodes that describe devices by their events: how often they did something, with which values, and when.

Events of one name are selected by their properties, one event at a time, and by a window of days or moments.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from audience.errors import ExpressionError, Problem
from audience.language.junctions import AtomNode, ensure_expr, require_count, require_operator, span_field
from audience.language.validation import require_nonempty, type_error
from audience.language.windows import Comparison, Interval, Period, Window
from audience.span import Span

if TYPE_CHECKING:
    from audience.language.ast import Expr

MAX_TIMES = 10**9  # events of one device

AggregateFunction: TypeAlias = Literal["sum", "min", "max", "avg"]
AGGREGATE_FUNCTIONS: tuple[AggregateFunction, ...] = get_args(AggregateFunction)
MomentFunction: TypeAlias = Literal["first", "last"]
MOMENT_FUNCTIONS: tuple[MomentFunction, ...] = get_args(MomentFunction)
AggregateOp: TypeAlias = Literal["=", "<", "<=", ">=", ">"]
AGGREGATE_OPS: tuple[AggregateOp, ...] = get_args(AggregateOp)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events of one name, those in *window* of which the properties fit *where*.

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
            ensure_expr(self.where)
        if self.window is not None and not isinstance(self.window, Comparison | Interval | Period):
            raise type_error("window of events", "a comparison, an interval or a period", self.window)

    def without_window(self) -> "EventFilter":
        """Return the filter of the same events at all times."""
        return replace(self, window=None)


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

    def __post_init__(self) -> None:
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

    def __post_init__(self) -> None:
        if self.function not in AGGREGATE_FUNCTIONS:
            raise type_error("function", f"one of {', '.join(AGGREGATE_FUNCTIONS)}", self.function)
        require_nonempty("name of a property", self.property, self.span)
        require_operator(self.operator, AGGREGATE_OPS, self.span)
        require_nonempty("number", self.value, self.span)


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

    def __post_init__(self) -> None:
        if self.function not in MOMENT_FUNCTIONS:
            raise type_error("function", f"one of {', '.join(MOMENT_FUNCTIONS)}", self.function)
        if self.events.window is not None:
            raise type_error(f"events of {self.function}()", "no window of their own", self.events.window)
        if not isinstance(self.window, Comparison | Interval | Period):
            raise type_error("window", "a comparison, an interval or a period", self.window)
