"""Check conditions about events against the events of an index, and write them as they are evaluated.

The events of an index, their properties, and the days that it has all events of are known. A window that reaches
outside these days is refused: whoever has not opened anything within two weeks would be everyone when the events
stopped coming a month ago.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError, Problem
from audience.index.query.events.rows import FLAG
from audience.index.query.events.windows import InstantWindow, day_of, find_window_instants, to_date
from audience.index.query.instants import to_instants
from audience.index.query.operand_validation import validate_operands
from audience.index.schema.columns import TEXT_ROLES, Role
from audience.index.schema.instant_sets import START, STOP, InstantSet, instants_of
from audience.index.schema.value_types import value_type_of
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import (
    Aggregate,
    AttributeAtom,
    Between,
    Compare,
    EventAtom,
    EventFilter,
    EventMoment,
    Expr,
    Has,
    Matches,
    Tag,
    Within,
    walk_operands,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import quote_name, render
from audience.language.suggest import did_you_mean
from audience.language.validation import join_some

DELIVERED = "delivered"  # what was sent, recorded as it goes: complete at any time, and empty before the first run
DELIVERED_PROPERTIES: Mapping[str, Role] = dict.fromkeys(
    ("run", "vendor", "title", "variant", "state", "method"), "string"
)


def list_events(log: EventLog) -> list[str]:
    """Return the names of the events that can be asked about."""
    return list(dict.fromkeys([*log.names(), DELIVERED]))


def list_properties(event: str, log: EventLog) -> dict[str, Role]:
    """Return the properties of an event with their roles, by name."""
    return {**(DELIVERED_PROPERTIES if event == DELIVERED else {}), **log.properties(event)}


def validate_event(atom: EventAtom, snapshot: Snapshot) -> None:
    """Require that the index has the event and the properties that *atom* names, with values that can be compared.

    Raises:
        ExpressionError: It has not.
    """
    log, name = snapshot.events, atom.events.name
    if name not in (known := list_events(log)):
        events = [event for event in known if event != DELIVERED]
        hint = f"it has {join_some(events)}" if events else "add events with `audience events add`"
        hint = did_you_mean(name, known) or hint
        raise ExpressionError(Problem("unknown-event", f"this index has no events {name!r}", atom.span, hint=hint))
    properties = list_properties(name, log)
    if isinstance(atom, Aggregate):
        _require_numbers(atom, properties)
    if atom.events.where is not None:
        for condition in walk_operands(atom.events.where):
            if isinstance(condition, AttributeAtom):
                _require_property(condition, name, properties, snapshot)
                _validate_condition(condition, name, properties)


def _require_numbers(atom: Aggregate, properties: Mapping[str, Role]) -> None:
    """Require that the property that *atom* aggregates has numbers."""
    name = atom.events.name
    role = properties.get(atom.property)
    if role == "number":
        return
    numbers = [f"{atom.function}({name}.{other})" for other, kind in properties.items() if kind == "number"]
    if role is None:
        hint = did_you_mean(atom.property, properties) or (f"write {numbers[0]}" if numbers else None)
        raise ExpressionError(_unknown_property(atom.property, name, properties, atom, hint))
    message = f"{atom.property} of {name} is not a number"
    hint = f"write {numbers[0]}" if numbers else f"add the events with --number {quote_name(atom.property)}"
    raise ExpressionError(Problem("no-number", message, atom.span, hint=hint))


def _unknown_property(
    property_: str, event: str, properties: Mapping[str, Role], atom: Expr, hint: str | None
) -> Problem:
    known = f"they have {join_some(list(properties))}" if properties else "they have no properties"
    message = f"events {event!r} have no property {property_!r}"
    return Problem("unknown-property", message, getattr(atom, "span", None), hint=hint or known)


def _require_property(condition: AttributeAtom, event: str, properties: Mapping[str, Role], snapshot: Snapshot) -> None:
    """Refuse an attribute of devices in the place of a property."""
    if condition.type != UNTYPED and condition.type in snapshot.roles and condition.type not in properties:
        hint = f"{condition.type} is an attribute of devices: write AND {render(condition)} outside the brackets"
        raise ExpressionError(_unknown_property(condition.type, event, properties, condition, hint))


def _validate_condition(condition: AttributeAtom, event: str, properties: Mapping[str, Role]) -> None:
    if condition.type == UNTYPED:
        _validate_flag(condition, event, properties)
        return
    role = properties.get(condition.type)
    if role is None or role == FLAG:
        hint = did_you_mean(condition.type, properties) if role is None else f"write {quote_name(condition.type)}"
        if isinstance(condition, Compare) and condition.value in properties:
            hint = f"write {quote_name(condition.value)} first"
        raise ExpressionError(_unknown_property(condition.type, event, properties, condition, hint))
    match condition:
        case Has():
            return
        case Matches() if role not in TEXT_ROLES:
            message = f"{render(condition)!r:.80}: the values of {condition.type} are not text"
            raise ExpressionError(Problem("no-text", message, condition.span, hint="compare them with < = >"))
        case Matches():
            return
        case Compare() | Within() | Between() if not value_type_of(role).is_ordered:
            message = f"{render(condition)!r:.80}: the values of {condition.type} have no order"
            hint = f"add the events with --number or --date {quote_name(condition.type)}"
            raise ExpressionError(Problem("no-order", message, condition.span, hint=hint))
        case Tag() | Compare() | Within() | Between():
            validate_operands(condition, role)


def _validate_flag(condition: AttributeAtom, event: str, properties: Mapping[str, Role]) -> None:
    """Require that a bare word names a Boolean property."""
    if not isinstance(condition, Tag) or properties.get(condition.value) == FLAG:
        return
    role = properties.get(condition.value)
    name = quote_name(condition.value)
    if role is None:
        hint = did_you_mean(condition.value, properties)
        raise ExpressionError(_unknown_property(condition.value, event, properties, condition, hint))
    message = f"{condition.value} of {event} is not true or false"
    hint = f"write {name} = 1 for one value, {render(Has(condition.value))} for any"
    hint = hint if role == "number" else hint.replace(" = 1", ":…")
    raise ExpressionError(Problem("property-as-tag", message, condition.span, hint=hint))


def expand_event(atom: EventAtom, snapshot: Snapshot, zone: ZoneInfo) -> EventAtom:
    """Return *atom* as it is evaluated: with instants in UTC for days and times of *zone*.

    Raises:
        ExpressionError: A window has no meaning in *zone*, or ends before it starts.
    """
    events = atom.events
    where = events.where
    if where is not None:
        where = to_instants(where, list_properties(events.name, snapshot.events), zone)
    window = events.window
    if window is not None:
        window = InstantWindow.of(find_window_instants(window, zone, atom.span))
    expanded = replace(atom, events=EventFilter(events.name, where, window))
    if isinstance(expanded, EventMoment):
        return replace(expanded, window=InstantWindow.of(find_window_instants(expanded.window, zone, atom.span)))
    return expanded


def require_coverage(expr: Expr, asked: AsOf, snapshot: Snapshot) -> None:
    """Require that the index has all events that *expr*, which is expanded, asks about.

    The day on which it is asked may be missing.

    Raises:
        ExpressionError: A window reaches outside the days that the index covers.
    """
    for node in walk_operands(expr):
        if isinstance(node, EventAtom) and node.events.name != DELIVERED:
            _require_covered(node, asked, snapshot)


def _require_covered(atom: EventAtom, asked: AsOf, snapshot: Snapshot) -> None:
    needed = _needed_instants(atom)
    if not needed:
        return
    zone, name = snapshot.zone, atom.events.name
    first, stop = needed[0][0], needed[-1][1]
    first_day = None if first == START else day_of(first, zone)
    coverage = snapshot.events.coverage(name)
    if coverage.first_day is not None and (first_day is None or first_day < coverage.first_day):
        since = f"are kept from {to_date(coverage.first_day)} on"
        reach = "it asks about earlier ones" if first_day is None else f"it asks about {to_date(first_day)} and later"
        raise ExpressionError(_not_covered(atom, f"{since}, and {reach}", None))
    today = asked.local_time.date()
    asked_day = max(day_of(instants_of(today.isoformat(), asked.zone)[-1][1] - 1, zone), _day_of(asked, zone))
    last_day = asked_day if stop == STOP else day_of(stop - 1, zone)
    covered_to = coverage.last_day
    if covered_to is not None and covered_to >= _day_of(asked, zone) - 1:
        covered_to = max(covered_to, asked_day)
    if covered_to is None or last_day > covered_to:
        until = "cover no day" if coverage.last_day is None else f"end with {to_date(coverage.last_day)}"
        reason = f"{until}, and it asks about {to_date(last_day)}"
        raise ExpressionError(_not_covered(atom, reason, to_date(last_day)))


def _needed_instants(atom: EventAtom) -> InstantSet:
    """Return the instants whose events decide *atom*; none if everything that is kept is asked about."""
    window = atom.window if isinstance(atom, EventMoment) else atom.events.window
    if window is None:
        return ()
    assert isinstance(window, InstantWindow), "the window was not expanded"
    if not isinstance(atom, EventMoment) or not window.instants:
        return window.instants
    first, stop = window.instants[0][0], window.instants[-1][1]
    return ((START, stop),) if atom.function == "first" else ((first, STOP),)


def _day_of(asked: AsOf, zone: ZoneInfo) -> int:
    return asked.moment.astimezone(zone).date().toordinal() - date(1970, 1, 1).toordinal()


def _not_covered(atom: EventAtom, reason: str, last_day: date | None) -> Problem:
    hint = "allow gaps to ask about the events that are there (--allow-gaps)"
    if last_day is not None:
        hint += f"; if none are missing, add them with --covers-to {last_day}"
    name = atom.events.name
    return Problem("not-covered", f"the events {name!r} {reason}", atom.span, hint=hint)
