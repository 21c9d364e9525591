"""Give a vendor the conditions of its own events that a catalog says are those of the index.

[events.purchase]
at = ["airship"]                    the vendor counts the same events under the same name
names = { airship = "bought" }      or under another one

A vendor that counts events itself has them as references. A condition becomes one only if the catalog names the event
there, so that no request counts what the vendor never saw.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from audience.errors import Problem
from audience.language.ast import Atom, Did, EventFilter, Expr, Not, Reference, all_of, atoms, map_atoms
from audience.language.printer import render
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogEvent
from audience.planning.catalog.vendor_names import vendor_family
from audience.vendors import get_vendor, vendor_names
from audience.vendors.spec import Payload, Vendor, VendorEvents

EVENTS_TABLE = "events"  # the table of a catalog that has events, each in a table of its own
EVENT_KEYS = ("at", "names")
EXAMPLE_HINT = f'write [{EVENTS_TABLE}.purchase] above at = ["airship"]'

KeyedProblem: TypeAlias = tuple[tuple[str, ...], Problem]  # keys below the table of events, and what is wrong there


def find_event_problems(table: Any) -> Iterator[KeyedProblem]:
    """Yield what is wrong with the table of events of a catalog, each with the keys that it is about.

    >>> [(keys, problem.code) for keys, problem in find_event_problems({"purchase": {"at": ["air"]}})]
    [(('purchase', 'at'), 'unknown-vendor')]
    """
    for event, declared in table.items() if isinstance(table, Mapping) else [("", table)]:
        if not isinstance(declared, Mapping):
            name = f"{EVENTS_TABLE}.{event}".rstrip(".")
            yield (event,), Problem("wrong-type", f"{name}: expected the table of an event", hint=EXAMPLE_HINT)
            continue
        for key, value in declared.items():
            yield from (((event, key), problem) for problem in _key_problems(event, key, value))
    if isinstance(table, Mapping):
        yield from _shared_name_problems(table)


def _key_problems(event: str, key: str, value: Any) -> Iterator[Problem]:
    """Yield what is wrong with a key of the table of *event*."""
    name = f"{EVENTS_TABLE}.{event}.{key}"
    if key not in EVENT_KEYS:
        hint = did_you_mean(key, EVENT_KEYS) or f"use one of {', '.join(EVENT_KEYS)}"
        yield Problem("unknown-key", f"unknown key {name}", hint=hint)
    elif key == "at" and not (isinstance(value, list) and all(isinstance(vendor, str) for vendor in value)):
        yield Problem("wrong-type", f"{name}: expected an array of vendors, got {value!r:.60}", hint=EXAMPLE_HINT)
    elif key == "names" and not _are_names(value):
        hint = 'write names = { airship = "bought" }'
        yield Problem("wrong-type", f"{name}: expected a name for each vendor, got {value!r:.60}", hint=hint)
    else:
        for vendor in value:
            yield from _vendor_problems(name, vendor)


def _are_names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) and name for name in value.values())


def _vendor_problems(name: str, vendor: str) -> Iterator[Problem]:
    counting = [each for each in vendor_names() if get_vendor(each).events is not None]
    if vendor not in vendor_names():
        hint = did_you_mean(vendor, counting) or f"use some of {', '.join(counting)}"
        yield Problem("unknown-vendor", f"{name}: unknown vendor {vendor!r}", hint=hint)
    elif vendor not in counting:
        message = f"{name}: {vendor} has no conditions of events"
        yield Problem("no-events", message, hint=f"use some of {', '.join(counting)}")


def _shared_name_problems(table: Mapping[str, Any]) -> Iterator[KeyedProblem]:
    """Yield a problem for each name that two events have at one vendor."""
    owners: dict[tuple[str, str], str] = {}
    for event in _read_wellformed(table):
        for vendor in {**dict.fromkeys(event.at), **event.names}:
            name = event.names.get(vendor, event.name)
            owner = owners.setdefault((vendor, name), event.name)
            if owner != event.name:
                message = f"{owner} and {event.name} are both named {name!r} at {vendor}"
                yield (event.name,), Problem("not-reversible", message, hint="give each event a name of its own")


def _read_wellformed(table: Mapping[str, Any]) -> Iterator[CatalogEvent]:
    """Yield the events of *table* in which nothing is wrong."""
    for event, declared in table.items():
        if isinstance(declared, Mapping) and not any(
            problem for key, value in declared.items() for problem in _key_problems(event, key, value)
        ):
            yield CatalogEvent(event, tuple(declared.get("at", ())), declared.get("names", {}))


def read_events(table: Mapping[str, Any]) -> dict[str, CatalogEvent]:
    """Read the table of events of a catalog, in which no problem was found.

    >>> read_events({"purchase": {"at": ["airship"]}})["purchase"].name_at(("airship",))
    'purchase'
    """
    return {event.name: event for event in _read_wellformed(table)}


def with_declared_events(vendor: Vendor, catalog: Catalog | None, excluded: frozenset[str] = frozenset()) -> Vendor:
    """Return *vendor* with functions that take and return conditions of the events that *catalog* says it counts.

    Args:
        vendor: Vendor, with or without events of its own.
        catalog: Catalog that names the events.
        excluded: Events that the vendor does not count as the index does, whatever the catalog says.
    """
    if vendor.events is None or vendor.read_only_reason or catalog is None:
        return vendor
    family = vendor_family(vendor)
    declared = {name: event.name_at(family) for name, event in catalog.events.items() if name not in excluded}
    names = {name: own for name, own in declared.items() if own is not None}
    if not names:
        return vendor
    refer = partial(_refer_to_event, names, vendor.events)
    recognize = partial(_recognize_event, {own: name for name, own in names.items()}, vendor.events)

    def emit(expr: Expr) -> Payload:
        return vendor.emit(map_atoms(expr, refer))

    def parse(payload: object) -> Expr:
        return map_atoms(vendor.parse(payload), recognize)

    def assumptions(expr: Expr) -> Iterator[Problem]:
        yield from vendor.assumptions(map_atoms(expr, refer))
        counted = dict.fromkeys(
            render(Did(EventFilter(atom.events.name))) for atom in atoms(expr) if isinstance(atom, Did)
        )
        if counted:
            message = f"{vendor.name} counts the events of your index, all of them and no others: {', '.join(counted)}"
            yield Problem("vendor-events", message)

    return replace(vendor, emit=emit, parse=parse, assumptions=assumptions, supported=vendor.supported | {Did})


def _refer_to_event(names: Mapping[str, str], events: VendorEvents, atom: Atom) -> Expr:
    """Return how often a device did something as references to the vendor, or *atom* if the vendor cannot count it."""
    if not isinstance(atom, Did) or atom.events.where or atom.events.window or atom.events.name not in names:
        return atom
    name = names[atom.events.name]
    terms: list[Expr] = [events.write(name, atom.least)] if atom.least else []
    return all_of(terms if atom.most is None else [*terms, Not(events.write(name, atom.most + 1))])


def _recognize_event(names: Mapping[str, str], events: VendorEvents, atom: Atom) -> Expr:
    """Return a reference to the vendor as the condition of an event, or *atom* if it is about none of *names*."""
    counted = events.read(atom) if isinstance(atom, Reference) else None
    if counted is None or counted[0] not in names:
        return atom
    return Did(EventFilter(names[counted[0]]), counted[1])
