"""Found devices → bodies of ids, each within what one request takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from audience.errors import Problem
from audience.index.query.device_set import Crowd, id_column
from audience.index.storage import polars_bridge
from audience.index.storage.shard import Shard
from audience.requests.deliverable_ids import carried
from audience.requests.json_bodies import AT_ONCE, Block, Rows, blocks, lists, stretches
from audience.vendors import sendable
from audience.vendors.spec import Payload, Vendor

SKIPPED = {"device": pl.String, "reason": pl.String, "message": pl.String}
QUOTED = "^[ -&(-[\\]-~]*$"  # texts that Python shows as they are, between single quotes


@dataclass(frozen=True)
class Batches:
    """The devices that *vendor* can be told, by their ids, and those *left* out; each of the others is in one body.

    How many there are is known before the first body is made; the ids are read as the bodies are asked for.
    """

    vendor: Vendor
    told: Crowd
    left: Crowd

    def __len__(self) -> int:
        """How many bodies there are."""
        return -(-len(self.told) // self.vendor.batch)

    def __iter__(self) -> Iterator[Payload]:
        """Targeting objects of at most the vendor's number of ids; every id stands in exactly one."""
        for chunk in self.chunks():
            yield self.vendor.listing(chunk)

    def chunks(self) -> Iterator[list[str]]:
        """The ids of each body."""
        return lists(self.told.parts, id_column(self.told.snapshot.ids, self.vendor.name), self.vendor.batch)

    def blocks(self) -> Iterator[Block]:
        """The bodies as JSON, many at once."""
        return iter_blocks(self.told, self.vendor)

    def bodies(self) -> Iterator[bytes]:
        """Each body as JSON."""
        return (body for block in self.blocks() for body in block.bodies())

    @cached_property
    def ids(self) -> pl.Series:
        """All ids that can be told, at once."""
        return self.told.tokens(self.vendor.name)

    @cached_property
    def skipped(self) -> pl.DataFrame:
        """All devices that are left out, at once, each by an id that it does have, with the reason."""
        return pl.concat([pl.DataFrame(schema=SKIPPED), *self.left_out()])

    def left_out(self) -> Iterator[pl.DataFrame]:
        """The same, some at a time."""
        for shard, rows in self.left.parts:
            for some in stretches(rows, AT_ONCE):
                yield _skipped(shard, some, self.left.snapshot.ids, self.vendor)

    def problems(self) -> list[Problem]:
        """What cannot be told, counted, with the first id of each reason."""
        return [
            Problem(reason, f"{count:,} of {len(self.told) + len(self.left):,} devices are left out: {message}")
            for reason, (count, message) in self._counts.items()
        ]

    @cached_property
    def _counts(self) -> dict[str, tuple[int, str]]:
        counts: dict[str, tuple[int, str]] = {}
        for frame in self.left_out():
            found = frame.group_by("reason", maintain_order=True).agg(pl.len(), pl.first("message"))
            for reason, count, message in found.iter_rows():
                before, first = counts.get(reason, (0, message))
                counts[reason] = before + count, first
        return counts


def batches(crowd: Crowd, vendor: str) -> Batches:
    """Sort the devices of *crowd* into those whose ids *vendor* can carry and those whose it cannot.

    Raises PlanError where it is not clear which ids are the vendor's, or where it is only read from.
    """
    to = sendable(vendor)
    told = select_deliverable(crowd, to)
    return Batches(to, told, crowd.without(told))


def bodies(crowd: Crowd, vendor: str) -> Iterator[Payload]:
    """The bodies alone."""
    return iter(batches(crowd, vendor))


def select_deliverable(crowd: Crowd, to: Vendor) -> Crowd:
    """Return the devices of *crowd* whose id at *to* may stand in its id lists."""
    column = id_column(crowd.snapshot.ids, to.name)
    pairs = zip(crowd.snapshot.shards, crowd.found, strict=True)
    return Crowd([carried(shard, column, rows, to) for shard, rows in pairs], crowd.snapshot)


def iter_blocks(crowd: Crowd, to: Vendor) -> Iterator[Block]:
    """Yield the JSON bodies of *crowd* in blocks; every id must be deliverable at *to*."""
    return blocks(crowd.parts, id_column(crowd.snapshot.ids, to.name), to)


def iter_bodies(crowd: Crowd, vendor: str) -> Iterator[bytes]:
    """Yield the JSON bodies of *crowd* for *vendor*, each with at most the vendor's number of ids.

    Devices without a deliverable id are skipped; `batches` lists them with the reason. Raises PlanError if no column
    of ids belongs to *vendor*.
    """
    to = sendable(vendor)
    return (body for block in iter_blocks(select_deliverable(crowd, to), to) for body in block.bodies())


def _skipped(shard: Shard, rows: Rows, columns: Sequence[str], to: Vendor) -> pl.DataFrame:
    """The devices at *rows*, each by an id that it does have, with the reason why *to* cannot be told its own."""
    ids = polars_bridge.to_series(shard.texts(id_column(columns, to.name), rows))
    named = [polars_bridge.to_series(shard.texts(name, rows)) for name in columns if name.startswith("id:")]
    devices = pl.select(pl.coalesce(named)).to_series()
    missing = _shown(devices) + f" has no id at {to.name}"
    found = pl.DataFrame({"device": devices, "reason": "missing-id", "message": missing}, schema=SKIPPED)
    there = ids.is_not_null().arg_true()
    if not len(there):
        return found
    problems = [problem for identifier in ids.gather(there) if (problem := to.uncarriable(identifier))]
    reasons = found["reason"].scatter(there, [problem.code for problem in problems])
    messages = found["message"].scatter(there, [problem.message for problem in problems])
    return found.with_columns(reasons, messages)


def _shown(texts: pl.Series) -> pl.Series:
    """Each of *texts* as Python shows it."""
    odd = ~texts.str.contains(QUOTED)
    shown = "'" + texts + "'"
    return shown.scatter(odd.arg_true(), [repr(text) for text in texts.filter(odd)]) if odd.any() else shown
