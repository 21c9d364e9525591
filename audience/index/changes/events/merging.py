"""Join small files of events, so that a feed of small batches does not pile them up.

When several files have about the same size, they are joined. So an event is written again only when its file becomes
several times larger. What one addition writes is bounded by a multiple of what it adds.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from audience.index.ingest.events import spool
from audience.index.ingest.events.event_changes import EventChanges
from audience.index.query.event_stats import live_numbers
from audience.index.storage.bitmaps import BitMap, bitmap_to_rows, rows_to_bitmap
from audience.index.storage.events.event_file import OpenEventFile
from audience.index.storage.events.writer import EventRows
from audience.index.storage.shard import Shard

GROWTH = 4  # so many files of one size class are joined; each class is so many times larger than the one before
SMALL_BATCH_BYTES = 1 << 20  # of an addition that may join more than it adds
MAX_JOINED_BYTES = 1 << 26  # of the files that such an addition joins


def merge_small_files(changes: EventChanges, added_bytes: int) -> None:
    """Join files of one size after an addition of *added_bytes*, in work that is small beside it, or small at all."""
    budget = MAX_JOINED_BYTES if added_bytes <= SMALL_BATCH_BYTES else added_bytes
    for partition in sorted({file.directory.partition for file in changes.files}):
        while files := plan_merge([each for each in changes.files if each.directory.partition == partition], budget):
            budget -= sum(file.entry.nbytes for file in files)
            changes.rewrite_files(files)


def plan_merge(files: Sequence[OpenEventFile], budget: int) -> list[OpenEventFile]:
    """Return the files of the smallest size class of which there are several, and all smaller ones, within *budget*."""
    by_size = sorted(files, key=lambda file: file.entry.nbytes)
    low = 1
    while by_size and low <= by_size[-1].entry.nbytes:
        joined = [file for file in by_size if file.entry.nbytes < low * GROWTH]
        of_class = [file for file in joined if file.entry.nbytes >= low]
        if len(of_class) >= GROWTH:
            fits = sum(file.entry.nbytes for file in joined) <= budget
            return joined if fits and _count_rows(joined) <= spool.MAX_FILE_EVENTS else []
        low *= GROWTH
    return []


def compact_events(changes: EventChanges, shards: Sequence[Shard]) -> None:
    """Join consecutive files as far as they fit in one, and drop the events of devices that are not there."""
    live = live_numbers(shards)
    files = sorted(changes.files, key=_order_of)
    groups = list[list[OpenEventFile]]()
    for file in files:
        if not groups or not _is_joinable(groups[-1], file):
            groups.append([])
        groups[-1].append(file)
    for group in groups:
        live_in_group = live.in_partition(group[0].directory.partition)
        if len(group) > 1 or _has_removed(changes, group[0], live_in_group):
            changes.rewrite_files(group, partial(keep_numbers, numbers=live_in_group))


def _order_of(file: OpenEventFile) -> tuple[int, int, int, str]:
    return file.directory.partition, file.entry.first_day, file.entry.last_day, file.entry.name


def _is_joinable(files: Sequence[OpenEventFile], file: OpenEventFile) -> bool:
    is_same = files[0].directory.partition == file.directory.partition
    return is_same and _count_rows([*files, file]) <= spool.MAX_FILE_EVENTS


def keep_numbers(rows: EventRows, numbers: BitMap) -> EventRows:
    """Return the events of the devices with *numbers*."""
    distinct = np.unique(rows.numbers)
    removed = rows_to_bitmap(distinct) - numbers
    return rows.take(~np.isin(rows.numbers, bitmap_to_rows(removed))) if removed else rows


def _has_removed(changes: EventChanges, file: OpenEventFile, live: BitMap) -> bool:
    """Return whether a file has events that are not kept, or of devices that are not there."""
    segments = changes.open_segments(file)
    if sum(segment.row_count for segment in segments) < file.entry.row_count:
        return True
    days = ((segment, day) for segment in segments for day in range(len(segment.days)))
    return any(not segment.load_day_devices(day) <= live for segment, day in days)


def _count_rows(files: Sequence[OpenEventFile]) -> int:
    return sum(file.entry.row_count for file in files)
