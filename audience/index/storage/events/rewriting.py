"""Segments as rows that can be changed, joined and written again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audience.index.schema.columns import Role
from audience.index.storage.events.event_file import EventBatch
from audience.index.storage.events.segment import EventSegment
from audience.index.storage.events.stored_values import StoredValues
from audience.index.storage.events.writer import EventRows, PropertyRows


def load_rows(segment: EventSegment) -> EventRows:
    """Return the events of a segment, those from its first day on."""
    start, stop = segment.row_starts[[0, -1]].tolist()
    codes = segment.load_batch_codes()
    return EventRows(
        segment.event,
        np.repeat(segment.days, np.diff(segment.row_starts)),
        segment.load_numbers(start, stop),
        segment.load_instants(start, stop),
        {name: PropertyRows(each.values(), each.load_codes(start, stop)) for name, each in segment.properties.items()},
        segment.stored.batches,
        None if codes is None else codes[start:stop],
    )


def renumber_batches(rows: EventRows, numbers: Sequence[int], is_coded: bool) -> EventRows:
    """Return *rows* with another number for each batch of their file; with *is_coded*, each row has its number."""
    batches = tuple(dict.fromkeys(numbers[batch] for batch in rows.batches))
    if not is_coded:
        return replace(rows, batches=batches, batch_codes=None)
    if rows.batch_codes is None:
        codes: NDArray[Any] = np.full(len(rows), numbers[rows.batches[0]], dtype=np.uint32)
    else:
        codes = np.array(numbers, dtype=np.uint32)[rows.batch_codes]
    return replace(rows, batches=batches, batch_codes=codes)


def join_batches(files: Iterable[Sequence[EventBatch]]) -> tuple[list[EventBatch], list[list[int]]]:
    """Return the batches of several files that become one, and for each file the new number of each batch.

    Batches whose events are not removed again become one.
    """
    replaceable, numbers = dict[EventBatch, int](), list[list[int]]()
    permanent: list[str] = []
    for file in files:
        numbers.append([])
        for batch in file:
            if batch.is_replaceable:
                number = replaceable.setdefault(batch, len(replaceable) + 1)
            else:
                permanent, number = [*permanent, *batch.names], 0
            numbers[-1].append(number)
    return [EventBatch(tuple(dict.fromkeys(permanent))), *replaceable], numbers


def join_rows(parts: Sequence[EventRows]) -> EventRows:
    """Return the events of several segments of one name, in order."""
    if len(parts) == 1:
        return parts[0]
    names = sorted({name for part in parts for name in part.properties})
    joined = EventRows(
        parts[0].event,
        np.concatenate([part.days for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.instants for part in parts]),
        {name: _join_property([(part.properties.get(name), len(part)) for part in parts]) for name in names},
        tuple(dict.fromkeys(batch for part in parts for batch in part.batches)),
        _join_batch_codes(parts),
    )
    return sort_rows(joined)


def sort_rows(rows: EventRows) -> EventRows:
    """Return *rows* ordered by day, device number and instant."""
    keys = (rows.days - rows.days.min()).astype(np.uint64) << np.uint64(32) | rows.numbers
    order = np.argsort(keys, kind="stable")  # the parts are sorted, which makes this fast
    ordered = keys[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((rows.instants, keys))
    return rows.take(order)


def _join_batch_codes(parts: Sequence[EventRows]) -> NDArray[Any] | None:
    codes = [part.batch_codes for part in parts if part.batch_codes is not None]
    return np.concatenate(codes) if codes else None


def _join_property(parts: Sequence[tuple[PropertyRows | None, int]]) -> PropertyRows:
    """Return one property of several segments; a segment without it has a number of rows that lack it."""
    values, ranks = join_values([part.values for part, _ in parts if part is not None])
    translations = iter(ranks)
    codes = [
        np.zeros(row_count, dtype=np.uint32) if part is None else next(translations)[part.codes]
        for part, row_count in parts
    ]
    return PropertyRows(values, np.concatenate(codes))


def join_values(parts: Sequence[StoredValues]) -> tuple[StoredValues, list[NDArray[np.uint32]]]:
    """Return the distinct values of *parts* in order, and for each part the new code of each code.

    >>> parts = [StoredValues("number", np.array([15, 30]), 1), StoredValues("number", np.array([3]))]
    >>> values, codes = join_values(parts)
    >>> list(values), [each.tolist() for each in codes]
    (['1.5', '3'], [[0, 1, 2], [0, 2]])
    """
    role = parts[0].role
    scaled = _to_one_scale(parts)
    if scaled is not None:
        integers, scale = scaled
        joined = np.unique(np.concatenate(integers))
        codes = [np.searchsorted(joined, each).astype(np.uint32) + np.uint32(1) for each in integers]
        return StoredValues(role, joined, scale), [np.concatenate([[np.uint32(0)], each]) for each in codes]
    texts = [list(part) for part in parts]
    ranks = _rank_texts(role, texts)
    codes = [np.array([0, *(ranks[text] + 1 for text in part)], dtype=np.uint32) for part in texts]
    return StoredValues.of_strings(role, _distinct_texts(ranks)), codes


def _to_one_scale(parts: Sequence[StoredValues]) -> tuple[list[NDArray[np.int64]], int] | None:
    """Return whole numbers as multiples of the smallest unit of all; None if one does not fit."""
    scale = max(part.scale for part in parts)
    scaled = []
    for part in parts:
        if part.integers is None:
            if len(part):
                return None
            scaled.append(np.empty(0, dtype=np.int64))
            continue
        factor = 10 ** (scale - part.scale)
        if len(part) and max(abs(int(part.integers[0])), abs(int(part.integers[-1]))) * factor >= 2**63:
            return None
        scaled.append(part.integers * factor)
    return scaled, scale


def _rank_texts(role: Role, texts: Sequence[Sequence[str]]) -> Mapping[str, int]:
    """Return the rank of each text among all; numbers that are written differently have one rank."""
    distinct = {text for part in texts for text in part}
    if role != "number":
        key = StoredValues(role).value_type.parse
        ordered = sorted(distinct) if role in ("string", "tags") else sorted(sorted(distinct), key=key)
        return {text: rank for rank, text in enumerate(ordered)}
    numbers = {text: StoredValues(role).value_type.parse(text) for text in distinct}
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers.values())))}
    return {text: ranks[number] for text, number in numbers.items()}


def _distinct_texts(ranks: Mapping[str, int]) -> list[str]:
    """Return one text of each rank, in order."""
    by_rank = {rank: text for text, rank in ranks.items()}
    return [by_rank[rank] for rank in range(len(by_rank))]
