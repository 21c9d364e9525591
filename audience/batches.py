"""Found devices → bodies of ids, each within what one request takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from audience.errors import Problem
from audience.index import Crowd
from audience.vendors import vendor as vendor_record
from audience.vendors.base import SPACE, Payload, Vendor


@dataclass(frozen=True, slots=True)
class Batches:
    """The ids that *vendor* can be told, and those it cannot with the reason of each."""

    vendor: Vendor
    ids: pl.Series
    skipped: pl.DataFrame

    def __len__(self) -> int:
        """How many bodies there are."""
        return -(-len(self.ids) // self.vendor.batch)

    def __iter__(self) -> Iterator[Payload]:
        """Targeting objects of at most the vendor's number of ids; every id stands in exactly one."""
        for chunk in self.chunks():
            yield self.vendor.listing(chunk)

    def chunks(self) -> Iterator[list[str]]:
        """The ids of each body."""
        for start in range(0, len(self.ids), self.vendor.batch):
            yield self.ids.slice(start, self.vendor.batch).to_list()

    def problems(self) -> list[Problem]:
        """What cannot be told, counted, with the first id of each reason."""
        counts = self.skipped.group_by("reason", maintain_order=True).agg(pl.len(), pl.first("message"))
        return [
            Problem(reason, f"{count:,} of {len(self.ids) + len(self.skipped):,} devices are left out: {message}")
            for reason, count, message in counts.iter_rows()
        ]


def batches(crowd: Crowd, vendor: str) -> Batches:
    """Sort the ids of *crowd* into those that *vendor* can carry and those that it cannot.

    Raises PlanError where it is not clear which ids are the vendor's.
    """
    to = vendor_record(vendor)
    ids = crowd.tokens(vendor)
    wrong = _suspects(ids, to)
    if not wrong.any():
        return Batches(to, ids, pl.DataFrame(schema=SKIPPED))
    return Batches(to, ids.filter(~wrong), _skipped(crowd, ids, wrong, to))


SKIPPED = {"device": pl.String, "reason": pl.String, "message": pl.String}


def bodies(crowd: Crowd, vendor: str) -> Iterator[Payload]:
    """The bodies alone."""
    return iter(batches(crowd, vendor))


def _suspects(ids: pl.Series, to: Vendor) -> pl.Series:
    """Which ids cannot be carried, a column at a time; `Vendor.uncarriable` says why, one at a time."""
    wrong = ids.is_null()
    if to.id_length is not None:
        wrong |= (ids.str.len_chars() > to.id_length).fill_null(False)
    if to.id_forbids:
        wrong |= (ids != ids.str.strip_chars(SPACE)).fill_null(False)
    for char in to.id_forbids:
        wrong |= ids.str.contains(char, literal=True).fill_null(False)
    return wrong


def _skipped(crowd: Crowd, ids: pl.Series, wrong: pl.Series, to: Vendor) -> pl.DataFrame:
    """Each device that is left out, by an id that it does have, with the reason."""
    frame = crowd.to_frame()
    named = pl.coalesce(pl.col(name.partition(":")[2]) for name in crowd.snapshot.ids if name.startswith("id:"))
    devices = frame.select(named).to_series()
    rows = []
    for device, identifier in zip(devices.filter(wrong), ids.filter(wrong), strict=True):
        problem = _why(device, identifier, to)
        rows.append((device, problem.code, problem.message))
    return pl.DataFrame(rows, schema=SKIPPED, orient="row")


def _why(device: str, identifier: str | None, to: Vendor) -> Problem:
    if identifier is None:
        return Problem("missing-id", f"{device!r} has no id at {to.name}")
    problem = to.uncarriable(identifier)
    assert problem is not None, f"{identifier!r} was suspected"
    return problem
