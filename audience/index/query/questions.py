"""When and where an expression is asked of an index: its relative times are bound to that moment, in that zone."""

from datetime import datetime

from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Between, Compare, EventAtom, Expr, Tag, Within, walk_operands
from audience.language.binding import bind, is_relative
from audience.language.segments import expand_segments


def read_question(
    as_of: datetime | str | None, timezone: str | None, allow_gaps: bool, snapshot: Snapshot
) -> AsOf | None:
    """Return when and where a question is asked, None without arguments: relative times alone need the clock then.

    Raises:
        ExpressionError: The moment or the time zone is invalid.
    """
    if as_of is None and timezone is None and not allow_gaps:
        return None
    return read_as_of(as_of, timezone, snapshot.timezone, allow_gaps)


def bind_segments(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> Expr:
    """Return *expr* with saved expressions for segments, and with absolute times for relative ones.

    Args:
        expr: Expression.
        snapshot: Snapshot with the segments and the time zone.
        as_of: When and where the expression is asked. None is now, in the time zone of the index.

    Raises:
        ExpressionError: A segment is not saved, or a day is out of the calendar.
    """
    expanded = expand_segments(expr, snapshot.segments)
    if not is_relative(expanded):
        return expanded
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    return bind(expanded, asked.moment, asked.zone)


def depends_on_question(expr: Expr, snapshot: Snapshot) -> bool:
    """Return whether the devices of *expr* may depend on when it is asked, or in which time zone.

    They do if a time is relative, or if a day or a timestamp is compared with instants, such as those of events.
    """
    expanded = expand_segments(expr, snapshot.segments)
    return is_relative(expanded) or any(
        isinstance(node, EventAtom)
        or (isinstance(node, Tag | Compare | Within | Between) and snapshot.roles.get(node.type) == "time")
        for node in walk_operands(expanded)
    )
