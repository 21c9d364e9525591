"""Write moments as OneSignal's filters that count from the moment of sending.

    last_session within 36 hours    last_session < with hours_ago 36; a session is never later than now
    last_session < 36 hours ago     last_session > with hours_ago 36
    seen > 36 hours ago             time_elapsed_lt 129600: the key holds a moment as seconds of Unix time
    seen within 36 hours            time_elapsed_lt 129600 and time_elapsed_gt 0
    seen within next 36 hours       time_elapsed_gt -129600 and time_elapsed_lt 0

Days of the calendar have no such filters: they begin at midnight.
"""

from collections.abc import Iterator
from dataclasses import replace

from audience.errors import Problem
from audience.language.ast import Atom, Between, Compare, CompareOp, Expr, all_of
from audience.language.printer import render
from audience.vendors.onesignal.fields import FIELDS_BY_TYPE, SESSION_TYPES, field_of, key_of
from audience.vendors.payload_reader import format_number
from audience.vendors.relative_times import (
    MINUTES_PER_HOUR,
    counts_from_now,
    find_minutes,
    is_past_period,
    split_range,
)
from audience.vendors.spec import Payload

SECONDS_PER_MINUTE = 60
MINUTES_OF_DECIMAL_HOURS = 3  # a number of minutes has hours with an end after the decimal point if it is a multiple


def is_time(atom: Atom) -> bool:
    """Return whether *atom* is written by a filter on time, if at all."""
    return counts_from_now(atom) or (isinstance(atom, Compare | Between) and atom.type in SESSION_TYPES)


def emit_time(atom: Compare | Between) -> list[Payload]:
    """Return the filters for *atom*, for which there are no problems; all of them must hold."""
    if atom.type in SESSION_TYPES:
        return [_emit_session(atom)]
    compares = split_range(atom) if isinstance(atom, Between) else [atom]
    return [_emit_elapsed(compare) for compare in compares]


def _emit_session(atom: Compare | Between) -> Payload:
    compare = _view_period(atom) if isinstance(atom, Between) else atom
    minutes = find_minutes(compare)
    assert minutes is not None, f"checked by time_problems: {atom!r}"
    relation = "<" if compare.operator == ">" else ">"
    hours = format_number(-minutes / MINUTES_PER_HOUR)
    return {"field": FIELDS_BY_TYPE[compare.type], "relation": relation, "hours_ago": hours}


def _emit_elapsed(compare: Compare) -> Payload:
    minutes = find_minutes(compare)
    assert minutes is not None, f"checked by time_problems: {compare!r}"
    relation = "time_elapsed_lt" if compare.operator.startswith(">") else "time_elapsed_gt"
    value = str(-minutes * SECONDS_PER_MINUTE)
    return {"field": "tag", "key": key_of(compare.type), "relation": relation, "value": value}


def view_time(atom: Compare | Between) -> Expr:
    """Return *atom* as the comparisons that OneSignal has in its place.

    Those of a key are strict: that no device has the very moment of sending is an assumption.
    """
    if isinstance(atom, Compare):
        return atom
    if atom.type in SESSION_TYPES:
        return _view_period(atom) if is_past_period(atom) else atom
    return all_of(map(_exclude_now, split_range(atom)))


def _exclude_now(compare: Compare) -> Compare:
    """Return *compare* without the moment of sending itself, if that is its bound."""
    is_now = find_minutes(compare) == 0
    operator: CompareOp = "<" if compare.operator.startswith("<") else ">"
    return replace(compare, operator=operator) if is_now else compare


def _view_period(between: Between) -> Compare:
    """Return a period up to now as a comparison: no session is later than now."""
    return split_range(between)[0]


# Why a moment cannot be written. ------------------------------------------------------------------------------------


def time_problems(atom: Compare | Between) -> Iterator[Problem]:
    """Yield why no filter counts to the bounds of *atom*."""
    if atom.type in SESSION_TYPES:
        yield from _session_problems(atom)
    elif field_of(atom.type) is not None:
        message = f"{_name(atom)}: OneSignal counts hours of sessions and of keys, not of {atom.type}"
        yield Problem("no-ranges", message, atom.span)
    elif (hint := _find_inexact_end(atom)) is not None:
        message = f"{_name(atom)}: OneSignal counts more or less than a time ago, without the moment itself"
        yield Problem("no-ranges", message, atom.span, hint=hint)


def _name(atom: Compare | Between) -> str:
    """Return the text of *atom* as it was written, in quotes."""
    return repr(render(atom.written or atom))


def _session_problems(atom: Compare | Between) -> Iterator[Problem]:
    compare = split_range(atom)[0] if isinstance(atom, Between) else atom
    minutes = find_minutes(compare)
    is_period = is_past_period(atom) if isinstance(atom, Between) else atom.operator in ("<", ">")
    if minutes is None or not is_period or minutes > 0 or (minutes == 0 and compare.operator == ">"):
        message = f"{_name(atom)}: OneSignal counts hours back from the moment of sending"
        hint = f"write {atom.type} within 36 hours, or {atom.type} < 36 hours ago"
        yield Problem("no-ranges", message, atom.span, hint=hint)
    elif minutes % MINUTES_OF_DECIMAL_HOURS:
        message = f"{_name(atom)}: {-minutes} minutes are no decimal number of hours"
        yield Problem("no-ranges", message, atom.span, hint=f"use a multiple of {MINUTES_OF_DECIMAL_HOURS} minutes")


def _find_inexact_end(atom: Compare | Between) -> str | None:
    """Return what to write for a bound of *atom* that includes its moment; None if there is no such."""
    compares = split_range(atom) if isinstance(atom, Between) else [atom]
    for compare in compares:
        is_now_of_period = isinstance(atom, Between) and find_minutes(compare) == 0
        if compare.operator in ("<=", ">=") and not is_now_of_period:
            return f"write {compare.operator[0]} instead of {compare.operator}"
    return None
