"""Found devices → bodies of ids, each within what one request takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from audience.errors import Problem
from audience.index.query.device_set import DeviceSet, find_id_column
from audience.index.storage import polars_bridge
from audience.index.storage.shard import Shard
from audience.requests.deliverable_ids import select_deliverable_rows
from audience.requests.json_bodies import (
    IDS_PER_SLICE,
    BodyBlock,
    BodyRows,
    iter_body_blocks,
    iter_id_lists,
    slice_rows,
)
from audience.vendors import get_vendor
from audience.vendors.spec import Payload, Vendor

SKIPPED_SCHEMA = {"device": pl.String, "reason": pl.String, "message": pl.String}
SIMPLE_REPR_PATTERN = "^[ -&(-[\\]-~]*$"  # texts that Python shows as they are, between single quotes


@dataclass(frozen=True)
class Batches:
    """The devices that *vendor* can be told, by their ids, and those *left* out; each of the others is in one body.

    How many there are is known before the first body is made; the ids are read as the bodies are asked for.
    """

    vendor: Vendor
    deliverable: DeviceSet
    skipped_devices: DeviceSet

    def __len__(self) -> int:
        """How many bodies there are."""
        return -(-len(self.deliverable) // self.vendor.max_ids)

    def __iter__(self) -> Iterator[Payload]:
        """Targeting objects of at most the vendor's number of ids; every id stands in exactly one."""
        for chunk in self.id_chunks():
            yield self.vendor.target_ids(chunk)

    def id_chunks(self) -> Iterator[list[str]]:
        """The ids of each body."""
        return iter_id_lists(
            self.deliverable.shard_rows,
            find_id_column(self.deliverable.snapshot.id_column_names, self.vendor.name),
            self.vendor.max_ids,
        )

    def json_blocks(self) -> Iterator[BodyBlock]:
        """The bodies as JSON, many at once."""
        return iter_json_blocks(self.deliverable, self.vendor)

    def json_bodies(self) -> Iterator[bytes]:
        """Each body as JSON."""
        return (body for block in self.json_blocks() for body in block.iter_bodies())

    @cached_property
    def ids(self) -> pl.Series:
        """All ids that can be told, at once."""
        return self.deliverable.ids(self.vendor.name)

    @cached_property
    def skipped_frame(self) -> pl.DataFrame:
        """All devices that are left out, at once, each by an id that it does have, with the reason."""
        return pl.concat([pl.DataFrame(schema=SKIPPED_SCHEMA), *self.iter_skipped()])

    def iter_skipped(self) -> Iterator[pl.DataFrame]:
        """The same, some at a time."""
        for shard, rows in self.skipped_devices.shard_rows:
            for some in slice_rows(rows, IDS_PER_SLICE):
                yield _describe_skipped(shard, some, self.skipped_devices.snapshot.id_column_names, self.vendor)

    def skipped_problems(self) -> list[Problem]:
        """What cannot be told, counted, with the first id of each reason."""
        return [
            Problem(
                reason,
                f"{count:,} of {len(self.deliverable) + len(self.skipped_devices):,} devices are left out: {message}",
            )
            for reason, (count, message) in self._reason_counts.items()
        ]

    @cached_property
    def _reason_counts(self) -> dict[str, tuple[int, str]]:
        counts: dict[str, tuple[int, str]] = {}
        for frame in self.iter_skipped():
            found = frame.group_by("reason", maintain_order=True).agg(pl.len(), pl.first("message"))
            for reason, count, message in found.iter_rows():
                before, first = counts.get(reason, (0, message))
                counts[reason] = before + count, first
        return counts


def batch_ids(devices: DeviceSet, vendor: str) -> Batches:
    """Sort the devices of *crowd* into those whose ids *vendor* can carry and those whose it cannot.

    Raises PlanError where it is not clear which ids are the vendor's, or where it is only read from.
    """
    to = get_vendor(vendor, can="emit")
    told = select_deliverable_devices(devices, to)
    return Batches(to, told, devices - told)


def iter_id_payloads(devices: DeviceSet, vendor: str) -> Iterator[Payload]:
    """The bodies alone."""
    return iter(batch_ids(devices, vendor))


def select_deliverable_devices(crowd: DeviceSet, vendor: Vendor) -> DeviceSet:
    """Return the devices of *crowd* whose id at *to* may stand in its id lists."""
    column = find_id_column(crowd.snapshot.id_column_names, vendor.name)
    pairs = zip(crowd.snapshot.shards, crowd.bitmaps, strict=True)
    return DeviceSet([select_deliverable_rows(shard, column, rows, vendor) for shard, rows in pairs], crowd.snapshot)


def iter_json_blocks(crowd: DeviceSet, vendor: Vendor) -> Iterator[BodyBlock]:
    """Yield the JSON bodies of *crowd* in blocks; every id must be deliverable at *to*."""
    return iter_body_blocks(crowd.shard_rows, find_id_column(crowd.snapshot.id_column_names, vendor.name), vendor)


def iter_json_bodies(crowd: DeviceSet, vendor: str) -> Iterator[bytes]:
    """Yield the JSON bodies of *crowd* for *vendor*, each with at most the vendor's number of ids.

    Devices without a deliverable id are skipped; `batches` lists them with the reason. Raises PlanError if no column
    of ids belongs to *vendor*.
    """
    to = get_vendor(vendor, can="emit")
    return (
        body for block in iter_json_blocks(select_deliverable_devices(crowd, to), to) for body in block.iter_bodies()
    )


def _describe_skipped(shard: Shard, rows: BodyRows, id_columns: Sequence[str], vendor: Vendor) -> pl.DataFrame:
    """The devices at *rows*, each by an id that it does have, with the reason why *to* cannot be told its own."""
    ids = polars_bridge.arrow_to_series(shard.take_ids(find_id_column(id_columns, vendor.name), rows))
    named = [polars_bridge.arrow_to_series(shard.take_ids(name, rows)) for name in id_columns if name.startswith("id:")]
    devices = pl.select(pl.coalesce(named)).to_series()
    missing = _quote_ids(devices) + f" has no id at {vendor.name}"
    found = pl.DataFrame({"device": devices, "reason": "missing-id", "message": missing}, schema=SKIPPED_SCHEMA)
    there = ids.is_not_null().arg_true()
    if not len(there):
        return found
    problems = [problem for identifier in ids.gather(there) if (problem := vendor.id_problem(identifier))]
    reasons = found["reason"].scatter(there, [problem.code for problem in problems])
    messages = found["message"].scatter(there, [problem.message for problem in problems])
    return found.with_columns(reasons, messages)


def _quote_ids(ids: pl.Series) -> pl.Series:
    """Each of *texts* as Python shows it."""
    odd = ~ids.str.contains(SIMPLE_REPR_PATTERN)
    shown = "'" + ids + "'"
    return shown.scatter(odd.arg_true(), [repr(text) for text in ids.filter(odd)]) if odd.any() else shown
