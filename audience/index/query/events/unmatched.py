"""Find conditions about events that no device fits: legal, but often mistakes."""

from collections.abc import Iterator

from audience.errors import Problem
from audience.index.query.counting import count_devices
from audience.index.query.events.rows import find_value_ranges
from audience.index.query.events.validation import DELIVERED
from audience.index.query.validate import validate_and_expand
from audience.index.storage.events.segment import EventProperty
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Aggregate, Did, EventAtom, Tag, walk_operands
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.suggest import did_you_mean

MAX_SEARCHED_VALUES = 10_000  # for a hint


def find_unmatched_events(atom: EventAtom, snapshot: Snapshot, asked: AsOf) -> Iterator[Problem]:
    """Yield a problem for each value in *atom*, which is bound, that no event has; else one if no device fits it."""
    if atom.events.name == DELIVERED:  # nobody, until something is sent
        return
    found = list(_find_unknown_values(atom, snapshot, asked))
    yield from found
    is_about_some = not isinstance(atom, Aggregate) and not (isinstance(atom, Did) and atom.most is not None)
    if not found and is_about_some and count_devices(atom, snapshot, asked) == 0:
        yield Problem("no-device", f"no device fits {render(atom)!r}", atom.span)


def _find_unknown_values(atom: EventAtom, snapshot: Snapshot, asked: AsOf) -> Iterator[Problem]:
    expanded = validate_and_expand(atom, snapshot, asked)
    assert isinstance(expanded, EventAtom)
    for condition in () if expanded.events.where is None else walk_operands(expanded.events.where):
        if not isinstance(condition, Tag) or condition.type == UNTYPED:
            continue
        properties = [
            values
            for segment in snapshot.events.segments(atom.events.name)
            if (values := segment.properties.get(condition.type)) is not None
        ]
        if any(start < stop for values in properties for start, stop in find_value_ranges(condition, values)):
            continue
        hint = did_you_mean(condition.value, _list_values(properties))
        message = f"no event {atom.events.name!r} has {render(condition)!r}"
        yield Problem("no-device", message, condition.span or atom.span, hint=hint)


def _list_values(properties: list[EventProperty]) -> list[str]:
    texts = [values.values() for values in properties]
    if sum(map(len, texts)) > MAX_SEARCHED_VALUES:
        return []
    return list(dict.fromkeys(text for values in texts for text in values))
