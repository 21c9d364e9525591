"""Compare an audience in two snapshots: which devices came, went and stayed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audience.counts import format_count
from audience.errors import ExpressionError
from audience.html_table import format_html_table
from audience.index.query.device_set import DeviceSet
from audience.index.query.resolve import resolve_rows
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap
from audience.index.storage.device_numbers import NumberSet
from audience.index.storage.kept_snapshots import open_kept_snapshot
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.segments import expand_segments


@dataclass(frozen=True, slots=True, repr=False)
class Diff:
    """Devices of an audience in two snapshots, compared by their numbers, which no two devices ever have.

    Attributes:
        came: Devices that match in the second snapshot only, in that snapshot.
        went: Devices that match in the first snapshot only, in that snapshot.
        stayed: Devices that match in both, in the second snapshot.
        added: Those of `came` that the first snapshot does not have at all.
        removed: Those of `went` that the second snapshot does not have at all.
    """

    came: DeviceSet
    went: DeviceSet
    stayed: DeviceSet
    added: DeviceSet
    removed: DeviceSet

    @property
    def from_(self) -> int:
        """Return the number of the first snapshot."""
        return self.went.snapshot.manifest.number

    @property
    def to(self) -> int:
        """Return the number of the second snapshot."""
        return self.came.snapshot.manifest.number

    def __repr__(self) -> str:
        counts = f"{len(self.came):,} came, {len(self.went):,} went, {len(self.stayed):,} stayed"
        return f"<Diff of snapshots {self.from_} and {self.to}: {counts}>"

    def _repr_html_(self) -> str:
        rows = [
            ("came", f"{len(self.came):,}, {len(self.added):,} of them new in the index"),
            ("went", f"{len(self.went):,}, {len(self.removed):,} of them no longer in the index"),
            ("stayed", format_count(len(self.stayed), "device")),
            ("snapshots", f"{self.from_}, {self.to}"),
        ]
        return format_html_table("Diff", rows)


def diff_snapshots(expr: Expr, snapshot: Snapshot, from_: int, to: int, asked: AsOf) -> Diff:
    """Compare the devices of *expr* in two kept snapshots, asked at one moment, with the segments of *snapshot*.

    Args:
        expr: Expression.
        snapshot: Snapshot that is open, whose segments count.
        from_: Number of the first snapshot.
        to: Number of the second snapshot.
        asked: When and where the expression is asked, of both.

    Raises:
        InvalidIndexError: A snapshot is not kept.
        ExpressionError: A snapshot cannot answer *expr*.
    """
    expanded = expand_segments(expr, snapshot.segments)
    first = open_kept_snapshot(snapshot, from_)
    second = open_kept_snapshot(snapshot, to)
    before, after = _find_numbers(expanded, first, asked), _find_numbers(expanded, second, asked)
    came, went = after - before, before - after
    return Diff(
        came=_select_devices(came, second),
        went=_select_devices(went, first),
        stayed=_select_devices(before & after, second),
        added=_select_devices(came - _list_numbers(first, [shard.live_rows for shard in first.shards]), second),
        removed=_select_devices(went - _list_numbers(second, [shard.live_rows for shard in second.shards]), first),
    )


def _find_numbers(expr: Expr, snapshot: Snapshot, asked: AsOf) -> NumberSet:
    """Return the numbers of the devices of *expr*. Raises ExpressionError, naming the snapshot, if it cannot answer."""
    try:
        return _list_numbers(snapshot, resolve_rows(expr, snapshot, asked))
    except ExpressionError as error:
        number = snapshot.manifest.number
        problems = (replace(each, message=f"snapshot {number}: {each.message}") for each in error.problems)
        raise ExpressionError(*problems) from None


def _list_numbers(snapshot: Snapshot, rows_by_shard: Sequence[BitMap]) -> NumberSet:
    return NumberSet.union(
        shard.numbers.to_set(rows) for shard, rows in zip(snapshot.shards, rows_by_shard, strict=True)
    )


def _select_devices(numbers: NumberSet, snapshot: Snapshot) -> DeviceSet:
    """Return the devices of *snapshot* with these numbers."""
    wanted = numbers.to_array()
    rows = [rows_to_bitmap(np.sort(shard.rows_of_numbers(wanted)[0])) for shard in snapshot.shards]
    return DeviceSet(rows, snapshot)
