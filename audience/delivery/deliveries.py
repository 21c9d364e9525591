"""Deliveries: what became of each id of a run, read from its request folder and its ledger.

The ids are in the request files, in the order of their positions. The ledger has batches, which are ranges of
positions, and the ids that the vendor rejected. Both are read side by side, some ids at a time.
"""

#   positions     0 … 999            1000 … 1999                        2000 … 2007
#   batches       1 delivered        2 rejected → 4 delivered, 5 …      3 not-sent
#   invalid ids                          1003

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from audience.delivery.campaign_runs import require_created_folders
from audience.delivery.clock import SYSTEM_CLOCK, Clock
from audience.delivery.costs import method_by_name
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, Run
from audience.delivery.ledger.left_out import find_reason
from audience.delivery.ledger.workers import require_complete
from audience.errors import DeliveryError, LedgerError, Problem
from audience.language.suggest import did_you_mean
from audience.progress import Progress, ignore_progress
from audience.requests.parts import label_positions
from audience.requests.reader import RequestFolder, open_requests
from audience.vendors import require_delivery

DeliveryState: TypeAlias = Literal["delivered", "scheduled", "rejected", "in-doubt", "not-sent"]
DELIVERY_STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
DELIVERY_SCHEMA = pl.Schema(
    [
        ("id", pl.String),
        ("state", pl.String),
        ("vendor", pl.String),
        ("run", pl.String),
        ("batch", pl.Int64),
        ("message_id", pl.String),
        ("sent_at", pl.Datetime("us", "UTC")),
        ("code", pl.String),
        ("variant", pl.String),
        ("language", pl.String),
    ]
)
BATCH_SCHEMA = pl.Schema(
    {"batch": pl.Int64, "state": pl.String, "sent_at": pl.Float64, "message_id": pl.String, "code": pl.String}
)
IDS_PER_CHUNK = 1 << 16  # ids in memory at once


class IdBatch(NamedTuple):
    """Outcome of the ids [first, stop) of the plan; *sent_at* is a Unix timestamp."""

    number: int
    first: int
    stop: int
    state: DeliveryState
    sent_at: float | None
    message_id: str | None
    code: str | None


class InvalidId(NamedTuple):
    """Outcome of an id that the vendor rejected or policies left out; otherwise as `IdBatch`."""

    position: int
    code: str
    batch: int
    sent_at: float | None
    state: DeliveryState


@dataclass(frozen=True, slots=True)
class NativeOutcome:
    """Outcome of a native request: the vendor finds its devices, so it has no ids."""

    vendor: str
    number: int
    batch: int
    state: DeliveryState
    sent_at: float | None
    message_id: str | None


def load_deliveries(folder: str | Path, states: Collection[str] = DELIVERY_STATES) -> pl.DataFrame:
    """Return the ids of the runs of *folder* that are in one of *states*, in the order of the requests.

    Devices of native requests are not among them; `list_native_outcomes` lists those requests.

    Args:
        folder: Folder of a run or of a campaign.
        states: Any of `delivered`, `scheduled`, `rejected`, `in-doubt` and `not-sent`.

    Returns:
        The columns `id`, `state`, `vendor`, `run`, `batch`, `message_id`, `sent_at`, `code`, the vendor's reason, and
        `variant` and `language`, those of the message that the id is sent.

    Raises:
        DeliveryError: The folder has no run, or is damaged.
    """
    return pl.concat([pl.DataFrame(schema=DELIVERY_SCHEMA), *iter_deliveries(Path(folder), states)])


def iter_deliveries(
    folder: Path, states: Collection[str] = DELIVERY_STATES, progress: Progress = ignore_progress
) -> Iterator[pl.DataFrame]:
    """Yield the rows of `load_deliveries`, some at a time."""
    _validate_states(states)
    for run_folder in require_created_folders(folder):
        for frame in iter_run_deliveries(run_folder, progress):
            yield frame if len(set(states)) == len(DELIVERY_STATES) else frame.filter(pl.col("state").is_in(states))


def list_native_outcomes(folder: Path, clock: Clock = SYSTEM_CLOCK) -> list[NativeOutcome]:
    """Return the native requests of the runs of *folder*."""
    outcomes = []
    for run_folder in require_created_folders(folder):
        with Ledger(run_folder / LEDGER_FILE, write=False) as ledger:
            vendor = ledger.load_run().vendor
            outcomes += [NativeOutcome(vendor, *row) for row in ledger.query("list_native_outcomes", now=clock.wall())]
    return outcomes


def count_states(frames: Iterator[pl.DataFrame], counts: dict[tuple[str, str], int]) -> Iterator[pl.DataFrame]:
    """Yield *frames*, and add the number of ids of each vendor and state to *counts*."""
    for frame in frames:
        for vendor, state, count in frame.group_by("vendor", "state", maintain_order=True).len().iter_rows():
            counts[vendor, state] = counts.get((vendor, state), 0) + count
        yield frame


def iter_run_deliveries(
    folder: Path, progress: Progress = ignore_progress, clock: Clock = SYSTEM_CLOCK
) -> Iterator[pl.DataFrame]:
    """Yield the rows of `load_deliveries` for the run in *folder* itself.

    All of them are of one state of the ledger, also while workers are sending. Raises DeliveryError if the ledger
    misses calls: who was reached by them would be listed as not sent.
    """
    with Ledger(folder / LEDGER_FILE, write=False) as ledger, ledger.read_transaction():
        require_complete(ledger)
        run = ledger.load_run()
        requests = open_requests(folder, progress)
        _require_same_plan(folder, run, requests)
        reader = OutcomeReader(ledger, run, requests, clock)
        size = max(1, IDS_PER_CHUNK // requests.vendor.max_ids) * requests.vendor.max_ids  # whole requests
        for first in range(0, run.id_count, size):
            stop = min(first + size, run.id_count)
            yield reader.read(first, stop)
            progress("reading deliveries", stop, run.id_count)


class OutcomeReader:
    """Reader of the outcomes of rising positions."""

    def __init__(self, ledger: Ledger, run: Run, requests: RequestFolder, clock: Clock):
        self._path = ledger.path
        self._run = run
        self._requests = requests
        self._batches = RangeReader(map(IdBatch._make, ledger.iterate("list_id_outcomes", now=clock.wall())))
        self._invalid_ids = map(InvalidId._make, ledger.iterate("list_invalid_id_outcomes"))
        self._next_invalid = next(self._invalid_ids, None)
        method = method_by_name(require_delivery(requests.vendor), run.method)
        self._ids_per_message = requests.vendor.max_ids if method.message_per_target else None
        self._sent_before: dict[int, int] = {}  # ids of a batch in earlier chunks, by the number of the batch

    def read(self, first: int, stop: int) -> pl.DataFrame:
        """Return the outcomes of the positions [first, stop)."""
        batches, invalid = self._batches.overlapping(first, stop), self._take_invalid(stop)
        batch_at = _locate_batches(batches, first, stop)
        self._require_outcomes(batch_at, len(batches), invalid, first)
        rows = [(each.number, each.state, each.sent_at, each.message_id, each.code) for each in batches]
        table = pl.DataFrame([*rows, (None,) * len(BATCH_SCHEMA)], schema=BATCH_SCHEMA, orient="row")
        frame = table.select(pl.all().gather(batch_at))
        if self._ids_per_message is not None:
            frame = frame.with_columns(
                self._split_message_ids(batches, batch_at, invalid, first, self._ids_per_message)
            )
        if invalid:
            frame = _override(frame, invalid, first)
        return frame.select(
            pl.Series("id", self._requests.ids_between(first, stop), dtype=pl.String),
            "state",
            pl.lit(self._run.vendor).alias("vendor"),
            pl.lit(self._run.id).alias("run"),
            "batch",
            "message_id",
            (pl.col("sent_at") * 1_000_000).cast(pl.Int64).cast(pl.Datetime("us", "UTC")),
            "code",
            *label_positions(self._requests.parts, first, stop),
        )

    def _take_invalid(self, stop: int) -> list[InvalidId]:
        taken = []
        while self._next_invalid is not None and self._next_invalid.position < stop:
            taken.append(self._next_invalid)
            self._next_invalid = next(self._invalid_ids, None)
        return taken

    def _require_outcomes(
        self, batch_at: NDArray[np.int64], batch_count: int, invalid: Sequence[InvalidId], first: int
    ) -> None:
        """Raise LedgerError if an id is in no batch; only ids that the vendor rejected are left out of the parts."""
        without_batch = batch_at == batch_count
        without_batch[[each.position - first for each in invalid]] = False
        if without_batch.any():
            position = first + int(np.argmax(without_batch))
            raise LedgerError(Problem("bad-ledger", f"{self._path}: no batch has the id at position {position:,}"))

    def _split_message_ids(
        self,
        batches: Sequence[IdBatch],
        batch_at: NDArray[np.int64],
        invalid: Sequence[InvalidId],
        first: int,
        ids_per_message: int,
    ) -> pl.Series:
        """Return the message of each id where a call has created one for each request in it.

        A request has the ids that were valid when the call was made: all but those that earlier calls have found out,
        and those that policies have left out.
        """
        message_ids = np.array([*(each.message_id for each in batches), None], dtype=object)[batch_at]
        found_before = {
            each.position - first: each.batch if find_reason(each.code) is None else None for each in invalid
        }
        for number, batch in enumerate(batches):
            at = np.flatnonzero(batch_at == number)
            at = at[[found_before.get(position, batch.number) == batch.number for position in at.tolist()]]
            before = self._sent_before.get(batch.number, 0)
            self._sent_before[batch.number] = before + len(at)
            if batch.message_id is not None and "," in batch.message_id:
                own = np.array(batch.message_id.split(","), dtype=object)
                message_ids[at] = own[(before + np.arange(len(at))) // ids_per_message]
        return pl.Series("message_id", message_ids.tolist(), dtype=pl.String)


class RangeReader:
    """Reader of batches that are disjoint and in rising order."""

    def __init__(self, batches: Iterator[IdBatch]):
        self._batches = batches
        self._pending: list[IdBatch] = []

    def overlapping(self, first: int, stop: int) -> list[IdBatch]:
        """Return the batches with any of the positions [first, stop); *first* is not below that of an earlier call."""
        self._pending = [batch for batch in self._pending if batch.stop > first]
        while not self._pending or self._pending[-1].stop < stop:
            batch = next(self._batches, None)
            if batch is None:
                break
            self._pending.append(batch)
        return [batch for batch in self._pending if batch.first < stop]


def _locate_batches(batches: Sequence[IdBatch], first: int, stop: int) -> NDArray[np.int64]:
    """Return for each position the number of its batch in *batches*, or their count if none has it.

    >>> batch = IdBatch(1, 5, 7, "delivered", 0.0, "m", None)
    >>> _locate_batches([batch], 4, 8).tolist()
    [1, 0, 0, 1]
    """
    starts = np.array([max(batch.first, first) - first for batch in batches], dtype=np.int64)
    lengths = np.array([min(batch.stop, stop) - first for batch in batches], dtype=np.int64) - starts
    number_of = np.repeat(np.arange(len(batches)), lengths)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    located = np.full(stop - first, len(batches), dtype=np.int64)
    located[np.repeat(starts, lengths) + within] = number_of
    return located


def _override(frame: pl.DataFrame, invalid: Sequence[InvalidId], first: int) -> pl.DataFrame:
    """Return *frame* with the outcomes of the ids that the vendor rejected or policies left out."""
    at = [each.position - first for each in invalid]
    values: Mapping[str, Sequence[object]] = {
        "state": [each.state for each in invalid],
        "code": [each.code for each in invalid],
        "batch": [each.batch for each in invalid],
        "sent_at": [each.sent_at for each in invalid],
        "message_id": [None] * len(invalid),
    }
    return frame.with_columns(
        frame[name].scatter(at, pl.Series(column, dtype=BATCH_SCHEMA[name])) for name, column in values.items()
    )


def _require_same_plan(folder: Path, run: Run, requests: RequestFolder) -> None:
    if run.plan_digest != requests.digest:
        message = f"{folder}: the requests are not those that the run was created with"
        hint = "restore the folder; the positions in the ledger are those of other ids"
        raise DeliveryError(Problem("other-plan", message, hint=hint))


def _validate_states(states: Collection[str]) -> None:
    for state in states:
        if state not in DELIVERY_STATES:
            hint = did_you_mean(state, DELIVERY_STATES) or f"use {', '.join(DELIVERY_STATES)}"
            raise DeliveryError(Problem("bad-option", f"unknown state {state!r}", hint=hint))
