"""Runs as events of an index: whom a run has reached, or may have reached, did `delivered`.

state        devices
-----------  ----------------------------------------------------------------------------------------------------
delivered    the vendor accepted the call, and its time has come
scheduled    the vendor has the call, or it is held, until its time; it counts from the send on, then from that time
in doubt     the reply was lost, or has not come yet
emitted      no call was made yet, and the run is neither finished nor cancelled: it can still reach them

A run is recorded again as it goes on; the newer version replaces the older one. Devices of native requests are those
that the index matches: they are a batch of their own, which keeps its devices while the run goes on.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
import polars as pl

from audience._fs.checksums import hash128, new_hasher
from audience.delivery import runs
from audience.delivery.clock import SYSTEM_CLOCK
from audience.delivery.deliveries import NativeOutcome, iter_run_deliveries, list_native_outcomes
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, has_run
from audience.delivery.ledger.left_out import find_reason
from audience.delivery.run_names import identify_emission, name_emission, name_natives, name_run
from audience.errors import AudienceError, DeliveryError, PlanError, Problem
from audience.index.changes.events.recording import DEFAULT_WAIT_SECONDS, Recording, record_events
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.index.query.events.validation import DELIVERED
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.records.record_files import load_record_list
from audience.index.records.recorded_batches import AT, ID, RecordedBatch, list_parts, list_recorded_batches
from audience.index.schema.columns import IdColumn, rank_id_columns
from audience.index.storage import id_search
from audience.index.storage.bitmaps import rows_to_bitmap
from audience.index.storage.polars_bridge import read_ids_at
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import And, Expr, Split
from audience.language.parser import parse
from audience.progress import Progress, ignore_progress
from audience.requests.campaign import CAMPAIGN_FILE, run_folders
from audience.requests.parts import label_positions
from audience.requests.reader import (
    MESSAGE_FILE,
    RequestFolder,
    has_requests,
    open_requests,
    read_manifest_question,
    read_message,
)
from audience.requests.writer import MANIFEST_FILE

PROPERTIES = ("run", "vendor", "title", "variant", "method", "state")
IDS_PER_SLICE = 1 << 16
STATE_NAMES = {"delivered": "delivered", "scheduled": "scheduled", "in-doubt": "in doubt", "not-sent": "emitted"}
OPEN_STATES = ("not-sent", "scheduled")  # of devices that are not reached yet
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class RecordedRuns:
    """Outcome of recording the runs of a folder.

    Attributes:
        snapshot: Number of the current snapshot of the index.
        counts: Recorded ids by state; empty if all of them were recorded already.
        problems: Why some devices may not be recorded.
    """

    snapshot: int
    counts: Mapping[str, int]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Values that all events of a run share.

    Attributes:
        folder: Folder of the run.
        batch_name: Name of the recorded batch; before the run is created that of the emission.
        emission: Name of the recorded batch of the emission, which the run replaces.
        values: Values of the properties but `method` and `state`.
        digest: Changes whenever an event of the run does.
        is_cancelled: Whether no call will be made any more.
        opened_at: Unix time when the devices that no call was made for were last expected to be reached.
        natives: Native requests.
    """

    folder: Path
    batch_name: str
    emission: str | None
    values: Mapping[str, str | None]
    digest: str
    is_cancelled: bool
    opened_at: float
    natives: tuple[NativeOutcome, ...]


def record_runs(
    index: DeviceIndex, folder: str | Path, *, wait: float = DEFAULT_WAIT_SECONDS, progress: Progress = ignore_progress
) -> RecordedRuns:
    """Record whom the runs of *folder* have reached, or may reach, as events `delivered` of *index*.

    It may be called at any time and again, also for a folder that nothing was sent from yet: then all of its devices
    count as emitted.

    Args:
        index: Index to record in; it moves to the new snapshot.
        folder: Folder of a run or of a campaign.
        wait: Seconds to wait for another writer of the index.
        progress: Progress callback.

    Raises:
        DeliveryError: The folder is damaged, or a copy of a run that still exists.
        PlanError: The index has no column for the ids of a vendor.
        LockedError: Another process changes the index for longer than *wait*.
    """
    counts: dict[str, int] = {}
    problems: list[Problem] = []
    folders = [run_folder for run_folder in run_folders(Path(folder)) if has_requests(run_folder)]
    for run_folder in folders:
        identify_emission(run_folder)

    def make_recording(snapshot: Snapshot) -> Recording:
        index.refresh()
        batches, dropped = list[tuple[RecordedBatch, Iterable[pl.DataFrame]]](), list[str]()
        for run_folder in folders:
            facts = _read_facts(run_folder)
            requests = open_requests(run_folder, progress)
            if requests.id_count:
                column = find_id_column(snapshot.id_columns, requests.vendor.name)
                problems.extend(_unknown_ids_problem(requests, column, snapshot))
                frames = _iter_listed(facts, requests, progress)
                batches.append((_make_batch(facts, column), _count_states(frames, counts)))
            natives = _record_natives(facts, requests, index)
            batches += [] if natives is None else [(natives[0], _count_states(natives[1], counts))]
            dropped += [] if natives is not None else [name_natives(facts.batch_name)]
            if facts.emission is not None and facts.emission != facts.batch_name:
                dropped += [facts.emission, name_natives(facts.emission)]
        return Recording(batches, dropped)

    snapshot = record_events(index.snapshot, make_recording, wait, progress)
    index.refresh()
    return RecordedRuns(snapshot, counts, tuple(problems))


def record_emitted(
    index: DeviceIndex, folder: str | Path, *, wait: float = DEFAULT_WAIT_SECONDS, progress: Progress = ignore_progress
) -> RecordedRuns:
    """Record that the devices of a folder of requests may be reached from now on, before anything is sent from it.

    They count as delivered until the run is recorded as finished or cancelled, so that of two runs that are emitted
    side by side, the second does not see the devices of the first as free. Arguments and errors are as for
    `record_runs`.
    """
    return record_runs(index, folder, wait=wait, progress=progress)


def drop_emissions(index: DeviceIndex, folder: str | Path, *, wait: float = DEFAULT_WAIT_SECONDS) -> None:
    """Remove from *index* what is recorded of requests in *folder* that were never sent, so that it counts no more.

    Args:
        index: Index that they are recorded in; it moves to the new snapshot.
        folder: Folder of requests or of a campaign.
        wait: Seconds to wait for another writer of the index.

    Raises:
        LockedError: Another process changes the index for longer than *wait*.
    """
    names = [name_emission(run_folder) for run_folder in run_folders(Path(folder)) if not has_run(run_folder)]
    known = [name for name in names if name is not None]
    dropped = Recording(dropped=[*known, *map(name_natives, known)])
    record_events(index.snapshot, lambda snapshot: dropped, wait, ignore_progress)
    index.refresh()


def _read_facts(folder: Path) -> RunFacts:
    question, emission = read_manifest_question(folder), name_emission(folder)
    emitted_at = (folder / MANIFEST_FILE).stat().st_mtime
    values: dict[str, str | None] = {"run": _name_run(folder), "variant": _find_variant(question["bound"])}
    if not has_run(folder):
        requests = open_requests(folder)
        values |= {"vendor": requests.vendor.name, "title": None}
        natives = tuple(
            NativeOutcome(requests.vendor.name, number, 0, "not-sent", None, None)
            for number in range(requests.native_count)
        )
        digest = hash128(orjson.dumps([values, requests.digest, emitted_at]))
        assert emission is not None
        return RunFacts(folder, emission, emission, values, digest, False, emitted_at, natives)
    runs.reject_copy(folder)
    natives = tuple(list_native_outcomes(folder))
    with Ledger(folder / LEDGER_FILE, write=False) as ledger, ledger.read_transaction():
        run = ledger.load_run()
        [(started_at,)] = ledger.query("load_last_start")
        opened_at = max(emitted_at, run.created_at, started_at or 0)
        values |= {"vendor": run.vendor, "title": read_message(folder / MESSAGE_FILE).title}
        is_cancelled = run.cancelled_at is not None
        digest = _digest_outcomes(ledger, [values, is_cancelled], opened_at, SYSTEM_CLOCK.wall())
    return RunFacts(folder, name_run(run.id), emission, values, digest, is_cancelled, opened_at, natives)


def _digest_outcomes(ledger: Ledger, values: list[object], opened_at: float, now: float) -> str:
    """Return a digest of the outcomes of all ids; the moment *opened_at* matters while any was not sent."""
    hasher, is_open = new_hasher(), False
    hasher.update(orjson.dumps(values))
    for row in ledger.iterate("list_id_outcomes", now=now):
        hasher.update(orjson.dumps(row))
        is_open |= any(state in row for state in OPEN_STATES)
    for row in ledger.iterate("list_invalid_id_outcomes"):
        hasher.update(orjson.dumps(row))
    for row in ledger.iterate("list_native_outcomes", now=now):
        hasher.update(orjson.dumps(row))
    if is_open:
        hasher.update(orjson.dumps(opened_at))
    return hasher.hexdigest()


def _name_run(folder: Path) -> str:
    """Return the name of the folder, or that of its campaign."""
    folder = folder.resolve()
    return folder.parent.name if (folder.parent / CAMPAIGN_FILE).is_file() else folder.name


def _find_variant(text: str | None) -> str | None:
    """Return the variant of the split in an audience, if it is of one variant.

    >>> _find_variant("male AND split(a:50%, b:50%, summer) = a")
    'a'
    """
    expr = parse(text) if text and "split" in text else None
    terms: Iterable[Expr | None] = expr.terms if isinstance(expr, And) else [expr]
    variants = [term.variant for term in terms if isinstance(term, Split) and term.variant is not None]
    return variants[0] if len(variants) == 1 else None


def _make_batch(facts: RunFacts, column: IdColumn) -> RecordedBatch:
    return RecordedBatch(facts.batch_name, facts.digest, DELIVERED, column.stored_name, PROPERTIES)


def _iter_listed(facts: RunFacts, requests: RequestFolder, progress: Progress) -> Iterator[pl.DataFrame]:
    """Yield the events of the ids that the requests list."""
    if has_run(facts.folder):
        frames = iter_run_deliveries(facts.folder, progress)
        states = {"delivered", "scheduled", "in-doubt", *(() if facts.is_cancelled else ("not-sent",))}
    else:
        frames, states = _iter_emitted(requests), {"not-sent"}
    for frame in frames:
        counted = frame.filter(pl.col("state").is_in(states), ~_is_left_out(frame))
        is_open = counted["state"].is_in(OPEN_STATES)
        sent_at = counted["sent_at"].to_physical().zip_with(~is_open, pl.Series([None], dtype=pl.Int64))
        at = sent_at.fill_null(_to_microseconds(facts.opened_at))
        states_of_ids = counted["state"].replace(STATE_NAMES)
        variants = counted["variant"] if _has_variants(requests) else None
        yield _make_events(facts, counted["id"], at, states_of_ids, "ids", variants)


def _has_variants(requests: RequestFolder) -> bool:
    return requests.division is not None and requests.division.split is not None


def _is_left_out(frame: pl.DataFrame) -> pl.Series:
    """Return which ids are never sent, because they do not fit the policies."""
    if "code" not in frame.columns:
        return pl.repeat(False, len(frame), eager=True)
    own_codes = [code for code in frame["code"].drop_nulls().unique() if find_reason(code) is not None]
    return (frame["state"] == "not-sent") & frame["code"].is_in(own_codes).fill_null(False)


def _iter_emitted(requests: RequestFolder) -> Iterator[pl.DataFrame]:
    size = max(1, IDS_PER_SLICE // requests.vendor.max_ids) * requests.vendor.max_ids
    for first in range(0, requests.id_count, size):
        stop = min(first + size, requests.id_count)
        ids = requests.ids_between(first, stop)
        yield pl.DataFrame(
            {"id": ids, "state": ["not-sent"] * len(ids), "sent_at": [None] * len(ids)},
            schema={"id": pl.String, "state": pl.String, "sent_at": pl.Datetime("us", "UTC")},
        ).hstack(label_positions(requests.parts, first, stop))


def _make_events(
    facts: RunFacts, ids: pl.Series, at: pl.Series, states: pl.Series, method: str, variants: pl.Series | None = None
) -> pl.DataFrame:
    """Return events; *variants* are those of the ids, if they differ."""
    shared = {**facts.values, "method": method}
    events = pl.DataFrame({ID: ids, AT: at, "state": states}).with_columns(
        pl.lit(value, dtype=pl.String).alias(name) for name, value in shared.items()
    )
    return events if variants is None else events.with_columns(variants.alias("variant"))


def _to_microseconds(seconds: float) -> int:
    return round(seconds * MICROSECONDS)


def _count_states(frames: Iterable[pl.DataFrame], counts: dict[str, int]) -> Iterator[pl.DataFrame]:
    """Yield *frames*, and add the number of ids in each state to *counts*."""
    for frame in frames:
        for state, count in frame["state"].value_counts(sort=True).iter_rows():
            counts[state] = counts.get(state, 0) + count
        yield frame


def _unknown_ids_problem(requests: RequestFolder, column: IdColumn, snapshot: Snapshot) -> list[Problem]:
    """Return a problem if no device has any of the first ids: the index may be another one."""
    ids = pl.Series("id", requests.ids_between(0, min(requests.id_count, requests.vendor.max_ids))).unique()
    if any(len(id_search.find_in_column(shard, column, ids)) for shard in snapshot.shards):
        return []
    message = f"no device of {snapshot.location} has any of the first {len(ids):,} ids of {requests.folder}"
    return [Problem("unknown-devices", message, hint="check that the index is the one that the requests are from")]


# Native requests. -----------------------------------------------------------------------------------------------------


def _record_natives(
    facts: RunFacts, requests: RequestFolder, index: DeviceIndex
) -> tuple[RecordedBatch, Iterable[pl.DataFrame]] | None:
    """Return the events of the devices that native requests have reached, or may reach; None if there are none."""
    outcome = _join_outcomes(facts)
    if outcome is None:
        return None
    state, at = outcome
    column, slices = _find_native_ids(facts, requests, index)
    digest = hash128(orjson.dumps([facts.values, state, at]))
    batch = RecordedBatch(name_natives(facts.batch_name), digest, DELIVERED, column.stored_name, PROPERTIES)
    return batch, (
        _make_events(facts, ids, pl.repeat(at, len(ids), eager=True), pl.repeat(state, len(ids), eager=True), "native")
        for ids in slices
    )


def _join_outcomes(facts: RunFacts) -> tuple[str, int] | None:
    """Return the state and the moment of all native devices; None if no request can reach any.

    Which device belongs to which request is not known, so a device counts as in doubt if the requests differ.
    """
    reaching = [each for each in facts.natives if each.state not in ("rejected", *_cancelled_states(facts))]
    if not reaching:
        return None
    states = {each.state for each in facts.natives}
    state = STATE_NAMES[reaching[0].state] if len(states) == 1 else "in doubt"
    moments = [each.sent_at for each in reaching if each.sent_at is not None and each.state not in OPEN_STATES]
    return state, _to_microseconds(max(moments, default=facts.opened_at))


def _cancelled_states(facts: RunFacts) -> tuple[str, ...]:
    return ("not-sent",) if facts.is_cancelled else ()


def _find_native_ids(
    facts: RunFacts, requests: RequestFolder, index: DeviceIndex
) -> tuple[IdColumn, Iterator[pl.Series]]:
    """Return the ids of the devices of native requests: those of an older version, or those that the index matches."""
    storage = index.snapshot.storage
    listed = load_record_list(storage)
    recorded = list_recorded_batches(listed)
    for name in (facts.batch_name, facts.emission):
        batch = None if name is None else recorded.get(name_natives(name))
        if batch is not None:
            parts = list_parts(storage, listed, batch.name)
            return IdColumn.from_stored_name(batch.id_column), (part.read_rows()[ID] for part in parts)
    devices = _match_natives(facts.folder, requests, index)
    column = _choose_column(index.snapshot, requests.vendor.name)
    return column, _iter_ids(devices, column)


def _match_natives(folder: Path, requests: RequestFolder, index: DeviceIndex) -> DeviceSet:
    """Return the devices of the audience, without those that the requests list by id."""
    question = read_manifest_question(folder)
    text = question["bound"] or question["expression"]
    assert text is not None
    try:
        devices = index.resolve(parse(text), as_of=question["as_of"], timezone=question["timezone"])
    except AudienceError as error:
        message = f"{folder}: the devices of its native requests cannot be found in {index.folder}"
        hint = "record them in the index that they were emitted from, as it was then; or send with --by-ids"
        raise DeliveryError(Problem("unknown-devices", message, hint=hint), *error.problems) from error
    if not requests.id_count:
        return devices
    column = find_id_column(index.snapshot.id_columns, requests.vendor.name)
    bitmaps = list(devices.bitmaps)
    for frame in _iter_emitted(requests):
        for number, shard in enumerate(index.snapshot.shards):
            found = id_search.find_in_column(shard, column, frame["id"].unique())
            bitmaps[number] = bitmaps[number] - rows_to_bitmap(found["row"].unique().sort().to_numpy())
    return DeviceSet(bitmaps, index.snapshot)


def _choose_column(snapshot: Snapshot, vendor: str) -> IdColumn:
    """Return the column of the vendor's ids, or the first one: a native request needs none."""
    try:
        return find_id_column(snapshot.id_columns, vendor)
    except PlanError:
        return rank_id_columns(snapshot.id_columns)[0]


def _iter_ids(devices: DeviceSet, column: IdColumn) -> Iterator[pl.Series]:
    for shard, rows in devices.shard_rows:
        for start in range(0, len(rows), IDS_PER_SLICE):
            yield read_ids_at(shard, column, rows[start : start + IDS_PER_SLICE]).drop_nulls().rename(ID)
