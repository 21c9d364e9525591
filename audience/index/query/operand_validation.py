"""Check the operands of a condition against the type of the values that it compares."""

from datetime import timedelta

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Role
from audience.index.schema.value_types import ValueQuery, parse_bounds, parse_operand, value_type_of
from audience.language.ast import Between, Relative
from audience.language.printer import quote_name, render
from audience.language.windows import Period, format_duration, is_clock_window


def validate_operands(query: ValueQuery, role: Role) -> None:
    """Require that the operands of *query* are values of an attribute or a property of this *role*.

    Raises:
        ExpressionError: They are not.
    """
    if role == "time":
        return  # `to_instants` parses those of instants
    if role == "date" and isinstance(query.written, Relative) and is_clock_window(query.written.window):
        raise ExpressionError(_no_hours_problem(query.written))
    if isinstance(query, Between):
        parse_bounds(query, value_type_of(role))
    else:
        parse_operand(query, value_type_of(role))


def _no_hours_problem(relative: Relative) -> Problem:
    """Return the problem of a moment, or of hours, that the days of an attribute are compared with."""
    message = f"{render(relative)!r:.80}: {relative.type} has days, without hours"
    hint = "write today for now"
    if isinstance(relative.window, Period):
        length = timedelta(**{f"{relative.window.unit}s": relative.window.amount})
        days = -(-length // timedelta(days=1))  # rounded up
        direction = "next " if relative.window.direction == "next" else ""
        hint = f"count days: {quote_name(relative.type)} within {direction}{format_duration(days, 'day')}"
    return Problem("bad-time", message, relative.span, hint=hint)
