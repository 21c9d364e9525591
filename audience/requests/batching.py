"""Batches of device ids, each within the limits of one request."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import accumulate, pairwise

import polars as pl

from audience.argument_types import check_arguments
from audience.counts import format_count
from audience.errors import Problem
from audience.index.query.deliverable_ids import select_deliverable_rows
from audience.index.query.device_set import DeviceSet
from audience.index.query.evaluate import choose_rows
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import IdColumn
from audience.index.storage import polars_bridge
from audience.index.storage.bitmaps import RowNumbers
from audience.index.storage.id_arrays import IDS_PER_SLICE, iter_slices
from audience.index.storage.shard import Shard
from audience.language.ast import Expr, Limit, Top
from audience.requests.dividing import DividedDevices, divide_devices, select_with_variant
from audience.requests.division import Division
from audience.requests.json_bodies import BodyBlock, iter_body_blocks, iter_id_lists
from audience.requests.parts import Part
from audience.vendors import get_vendor
from audience.vendors.spec import Payload, Vendor

SKIPPED_SCHEMA = {"device": pl.String, "reason": pl.String, "message": pl.String}
SIMPLE_REPR_PATTERN = "^[ -&(-[\\]-~]*$"  # strings whose `repr` is the string in single quotes


@dataclass(frozen=True, slots=True)
class ReasonCounts:
    """Number of skipped devices and the message of the first one, by reason, in the order of the devices."""

    by_reason: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "ReasonCounts":
        """Return the counts of some skipped devices."""
        grouped = frame.group_by("reason", maintain_order=True).agg(pl.len(), pl.first("message"))
        return cls({reason: (count, message) for reason, count, message in grouped.iter_rows()})


def add_reasons(counts: ReasonCounts, more: ReasonCounts) -> ReasonCounts:
    """Return the sum of both counts by reason; the message of a reason is that of *counts*, which came first."""
    added = dict(counts.by_reason)
    for reason, (count, message) in more.by_reason.items():
        before, first_message = added.get(reason, (0, message))
        added[reason] = before + count, first_message
    return ReasonCounts(added)


def describe_reasons(counts: ReasonCounts, device_count: int) -> list[Problem]:
    """Return a problem for each reason, with the number of devices among all, and the first id."""
    return [
        Problem(reason, f"{count:,} of {format_count(device_count, 'device')} skipped: {message}")
        for reason, (count, message) in counts.by_reason.items()
    ]


@dataclass(frozen=True)
class Batches:
    """Devices of an audience with an id that *vendor* accepts, divided into request bodies, and the skipped devices.

    The number of bodies is known before the first one is built; ids are read while the bodies are iterated. No body
    has ids of two parts.

    Attributes:
        vendor: The vendor.
        deliverable: Devices with an id that it accepts.
        skipped_devices: Devices without one.
        divided: The deliverable devices in parts; None if they are one.
    """

    vendor: Vendor
    deliverable: DeviceSet
    skipped_devices: DeviceSet
    divided: DividedDevices | None = None

    def __len__(self) -> int:
        """Return the number of bodies."""
        return sum(-(-len(devices) // self.vendor.max_ids) for devices in self._device_sets)

    @property
    def _device_sets(self) -> Sequence[DeviceSet]:
        return [self.deliverable] if self.divided is None else [part.devices for part in self.divided.parts]

    @property
    def notes(self) -> tuple[Problem, ...]:
        """Return what becomes of devices whose language or time zone is not known."""
        return () if self.divided is None else self.divided.notes

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts with the positions of their ids; devices that are not divided are one."""
        if self.divided is None:
            return (Part(first=0, stop=len(self.deliverable)),)
        stops = [*accumulate((len(part.devices) for part in self.divided.parts), initial=0)]
        return tuple(
            Part(first=first, stop=stop, variant=part.variant, language=part.language, zone=part.zone)
            for part, (first, stop) in zip(self.divided.parts, pairwise(stops), strict=True)
        )

    def __iter__(self) -> Iterator[Payload]:
        """Yield targeting objects of at most `vendor.max_ids` ids; every id is in exactly one."""
        for chunk in self.id_chunks():
            yield self.vendor.target_ids(chunk)

    def id_chunks(self) -> Iterator[list[str]]:
        """Yield the ids of each body."""
        column = find_id_column(self.deliverable.snapshot.id_columns, self.vendor.name)
        return (
            ids
            for devices in self._device_sets
            for ids in iter_id_lists(devices.shard_rows, column, self.vendor.max_ids)
        )

    def json_blocks(self) -> Iterator[BodyBlock]:
        """Yield the bodies as JSON, many at once."""
        return (block for devices in self._device_sets for block in iter_json_blocks(devices, self.vendor))

    def json_bodies(self) -> Iterator[bytes]:
        """Yield each body as JSON."""
        return (body for block in self.json_blocks() for body in block.iter_bodies())

    @cached_property
    def ids(self) -> pl.Series:
        """Return all deliverable ids, in the order of the bodies."""
        ids = [devices.ids(self.vendor.name) for devices in self._device_sets]
        return pl.concat(ids) if ids else self.deliverable.ids(self.vendor.name)

    @cached_property
    def skipped_frame(self) -> pl.DataFrame:
        """Return all skipped devices, each by an id that it does have, with the reason."""
        return pl.concat([pl.DataFrame(schema=SKIPPED_SCHEMA), *self.iter_skipped()])

    def iter_skipped(self) -> Iterator[pl.DataFrame]:
        """Yield the skipped devices in chunks, each by an id that it does have, with the reason."""
        for shard, rows in self.skipped_devices.shard_rows:
            yield from iter_skipped_rows(shard, rows, self.skipped_devices.snapshot.id_columns, self.vendor)

    def skipped_problems(self) -> list[Problem]:
        """Return a problem for each reason, with the number of devices and the first id."""
        reasons = reduce(add_reasons, map(ReasonCounts.of, self.iter_skipped()), ReasonCounts())
        return describe_reasons(reasons, len(self.deliverable) + len(self.skipped_devices))


@check_arguments
def batch_ids(devices: DeviceSet, vendor: str) -> Batches:
    """Divide *devices* into those with an id that *vendor* accepts and those without.

    Raises:
        PlanError: More than one column could hold the vendor's ids, or the vendor can only be read.
    """
    target = get_vendor(vendor, can="emit")
    deliverable = select_deliverable_devices(devices, target)
    return Batches(target, deliverable, devices - deliverable)


def batch_audience(expr: Expr, vendor: str, resolve: Callable[[Expr], DeviceSet]) -> Batches:
    """Divide the devices of *expr* into batches; a limit chooses among the devices that *vendor* can reach.

    Devices that the limit would choose if the vendor could reach them are among the skipped ones.

    Args:
        expr: Audience, with segments expanded and relative times bound.
        vendor: Name of the vendor.
        resolve: Returns the devices of an expression in the index.
    """
    if not isinstance(expr, Limit | Top):
        return batch_ids(resolve(expr), vendor)
    target = get_vendor(vendor, can="emit")
    reachable = select_deliverable_devices(resolve(expr.term), target)
    return Batches(target, choose_among(expr, reachable), resolve(expr) - reachable)


def divide_batches(batches: Batches, division: Division) -> Batches:
    """Return *batches* in parts, without the devices that have no variant.

    Raises:
        PlanError: The devices cannot be divided.
    """
    deliverable = select_with_variant(batches.deliverable, division)
    return Batches(
        batches.vendor,
        deliverable,
        select_with_variant(batches.skipped_devices, division),
        divide_devices(deliverable, division),
    )


def choose_among(limit: Limit | Top, devices: DeviceSet) -> DeviceSet:
    """Return those of *devices* that *limit* chooses, whatever its own term is."""
    snapshot = devices.snapshot
    return DeviceSet(choose_rows(limit, devices.bitmaps, snapshot.shards), snapshot)


def select_deliverable_devices(devices: DeviceSet, vendor: Vendor) -> DeviceSet:
    """Return the devices with an id that *vendor* accepts in its id lists."""
    snapshot = devices.snapshot
    column = find_id_column(snapshot.id_columns, vendor.name)
    pairs = zip(snapshot.shards, devices.bitmaps, strict=True)
    return DeviceSet([select_deliverable_rows(shard, column, bitmap, vendor) for shard, bitmap in pairs], snapshot)


def iter_json_blocks(devices: DeviceSet, vendor: Vendor) -> Iterator[BodyBlock]:
    """Yield the JSON bodies of *devices* in blocks; every id must be deliverable at *vendor*."""
    return iter_body_blocks(devices.shard_rows, find_id_column(devices.snapshot.id_columns, vendor.name), vendor)


def iter_json_bodies(devices: DeviceSet, vendor: str) -> Iterator[bytes]:
    """Yield the JSON bodies of *devices* for *vendor*, each with at most the vendor's number of ids.

    Devices without a deliverable id are skipped; `batches` lists them with the reason.

    Raises:
        PlanError: No column of ids belongs to *vendor*.
    """
    target = get_vendor(vendor, can="emit")
    blocks = iter_json_blocks(select_deliverable_devices(devices, target), target)
    return (body for block in blocks for body in block.iter_bodies())


def iter_skipped_rows(
    shard: Shard, rows: RowNumbers, id_columns: Sequence[IdColumn], vendor: Vendor
) -> Iterator[pl.DataFrame]:
    """Yield the devices at *rows*, which *vendor* cannot reach, in chunks, each by an id that it does have."""
    for chunk in iter_slices(rows, IDS_PER_SLICE):
        yield _describe_skipped(shard, chunk, id_columns, vendor)


def _describe_skipped(shard: Shard, rows: RowNumbers, id_columns: Sequence[IdColumn], vendor: Vendor) -> pl.DataFrame:
    """Return the devices at *rows*, each by an id that it does have, with the reason why *vendor* cannot reach it."""
    own_ids = polars_bridge.arrow_to_series(shard.take_ids(find_id_column(id_columns, vendor.name), rows))
    all_ids = [
        polars_bridge.arrow_to_series(shard.take_ids(column, rows)) for column in id_columns if column.is_device_id
    ]
    devices = pl.select(pl.coalesce(all_ids)).to_series()
    messages = _quote_ids(devices) + f" has no id at {vendor.name}"
    skipped = pl.DataFrame({"device": devices, "reason": "missing-id", "message": messages}, schema=SKIPPED_SCHEMA)
    has_id = own_ids.is_not_null().arg_true()
    if not len(has_id):
        return skipped
    problems = [problem for id_ in own_ids.gather(has_id) if (problem := vendor.id_problem(id_))]
    return skipped.with_columns(
        skipped["reason"].scatter(has_id, [problem.code for problem in problems]),
        skipped["message"].scatter(has_id, [problem.message for problem in problems]),
    )


def _quote_ids(ids: pl.Series) -> pl.Series:
    """Return the `repr` of each id."""
    quoted = "'" + ids + "'"
    needs_escape = ~ids.str.contains(SIMPLE_REPR_PATTERN)
    if not needs_escape.any():
        return quoted
    return quoted.scatter(needs_escape.arg_true(), [repr(id_) for id_ in ids.filter(needs_escape)])
