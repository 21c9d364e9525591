"""Writer of request folders, which appear complete or not at all.

requests-00001.ndjson   one targeting object a line, at most MAX_LINES_PER_FILE lines
skipped.ndjson          devices without a deliverable id, with the reason, if any
manifest.json           expression, vendor, counts, and the size and XXH128 checksum of every file
emission.json           identity of the folder among the records of an index, once it was recorded there
audit.jsonl             who wrote the requests, sent them, and so on
"""

import pickle
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from dataclasses import replace as replace_fields
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from audience._fs.atomic import atomic_folder, fsync_path, link_or_copy
from audience._fs.checksums import new_hasher
from audience._fs.private_files import create_file
from audience.activity_log import log_activity
from audience.cluster.cluster import Cluster
from audience.errors import Problem
from audience.index.device_index import DeviceIndex
from audience.index.ingest.shared.kept_calls import digest_job, open_kept_calls
from audience.index.query.shared_shards import SnapshotPlace
from audience.index.query.validate import validate_and_expand
from audience.index.records.policies import policies_digest
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Limit, Top
from audience.language.id_files import id_files_json
from audience.language.printer import render
from audience.planning.plans import Plan
from audience.planning.policies import render_with_ids
from audience.progress import Progress, ignore_progress
from audience.requests.audit import AUDIT_FILE, audit_emission, keep_audit
from audience.requests.batching import Batches, batch_audience, divide_batches
from audience.requests.division import DIVIDED, Division
from audience.requests.json_bodies import BodyBlock, make_body_block
from audience.requests.platform_counts import PlatformCount, count_platforms
from audience.requests.shared_listing import EmittedExprs, list_on_cluster
from audience.requests.shared_writing import ListedIds, write_files_on_cluster
from audience.tag_sync.desired import digest_devices
from audience.vendors import get_vendor

MAX_LINES_PER_FILE = 1_000
MANIFEST_FILE, SKIPPED_FILE = "manifest.json", "skipped.ndjson"
EMISSION_FILE = "emission.json"
REQUEST_FILE = "requests-{:05}.ndjson"
KIND = "requests"  # of the folder of what a cluster has finished
OWNED_FILES = frozenset({MANIFEST_FILE, SKIPPED_FILE, EMISSION_FILE, AUDIT_FILE, "requests-*.ndjson"})


@dataclass(frozen=True, slots=True)
class EmitResult:
    """Counts and files of a written request folder.

    Devices that a native request reaches are not included in *id_count*: the vendor finds them itself.

    Attributes:
        expression: Audience as it was written.
        bound: Audience with relative times bound.
        as_of: Moment of the question, in its time zone; None if it is not known.
        timezone: Name of the time zone.
        allow_gaps: Whether events were asked although some of their days are not covered.
        devices: Devices that match the expression.
        id_count: Devices that are listed by id.
        messaged_count: Devices that a send messages: those that are listed, and those that native requests reach.
        skipped_count: Devices without a deliverable id.
        id_files: Path, digest and number of ids of each file that the expression names.
        index: Path of the index, whose policies are checked again before the requests are sent.
        removed: Devices that the policies took out together.
        policies: Policies that applied, each with the devices that it took out.
        caps: Expressions of the caps among them that were given for this plan and are not kept by the index.
        without_policies: Names of the policies of the index that were overridden.
        policies_digest: Digest of the policies of the index; empty if it had none.
        division: How the ids are divided into parts; None if they are not.
        parts: Variant, language and time zone of each part, the positions of its ids, and their number.
        held_out: Devices without a variant, which get nothing and are not among *devices*.
        platforms: Devices that are reached by platform; None if the index does not know it, or none are reached.
        schedule: When the requests are sent, unless the send says it.
        synced: Syncs of tags that the native requests rest on: their applications, snapshots and moments.
        native_exprs: Audiences of the native requests that rest on them, as of the moment of the question.
        snapshot: Number of the snapshot of the index.
        devices_digest: Digest of the devices of that snapshot; None if no request rests on a sync.
    """

    vendor: str
    expression: str
    bound: str
    as_of: str | None
    timezone: str | None
    devices: int
    native: int
    batches: int
    id_count: int
    skipped_count: int
    messaged_count: int
    reasons: tuple[Problem, ...]
    assumptions: tuple[Problem, ...]
    files: tuple[dict[str, Any], ...]
    id_files: tuple[dict[str, Any], ...] = ()
    index: str | None = None
    removed: int = 0
    policies: tuple[dict[str, Any], ...] = ()
    caps: tuple[str, ...] = ()
    without_policies: tuple[str, ...] = ()
    policies_digest: str = ""
    allow_gaps: bool = False
    division: dict[str, Any] | None = None
    parts: tuple[dict[str, Any], ...] = ()
    held_out: int = 0
    platforms: tuple[dict[str, Any], ...] | None = None
    schedule: Mapping[str, Any] = field(default_factory=dict)
    synced: tuple[dict[str, Any], ...] = ()
    native_exprs: tuple[str, ...] = ()
    snapshot: int | None = None
    devices_digest: str | None = None


def write_requests(
    plan: Plan,
    index: DeviceIndex,
    folder: Path,
    *,
    division: Division | None = None,
    schedule: Mapping[str, Any] | None = None,
    replace: bool = False,
    progress: Progress = ignore_progress,
    cluster: Cluster | None = None,
) -> EmitResult:
    """Write the requests of *plan* into the new *folder*, with ids from *index*.

    Args:
        plan: The plan.
        index: Index of its devices.
        folder: Folder to write.
        division: How the devices are divided into parts, as `divide_by` returns it; all of them are sent by ids then.
        schedule: When they are sent, unless the send says it, as a JSON object of the manifest.
        replace: Whether a folder that nothing was sent from is replaced.
        progress: Progress callback.
        cluster: Processes that write the bodies of ids; None for this one. The files are the same.

    Raises:
        OutputError: The folder exists or cannot be written. Nothing is left there.
        PlanError: The devices cannot be divided.
        ClusterError: The cluster is lost. Nothing is left there; the same emission goes on from the files that were
            finished.
    """
    with atomic_folder(folder, owned_patterns=OWNED_FILES, replace=replace) as draft:
        keep_emission(folder, draft)
        return fill_request_folder(
            plan,
            index,
            draft,
            division=division,
            schedule=schedule,
            progress=progress,
            cluster=cluster,
            kept_beside=folder,
        )


def fill_request_folder(
    plan: Plan,
    index: DeviceIndex,
    folder: Path,
    *,
    division: Division | None = None,
    schedule: Mapping[str, Any] | None = None,
    progress: Progress = ignore_progress,
    cluster: Cluster | None = None,
    kept_beside: Path | None = None,
) -> EmitResult:
    """Write the requests of *plan* into the empty *folder*; arguments are as for `write_requests`.

    What processes of a cluster have finished is beside *kept_beside* until all of it is; by default, beside *folder*.
    """
    plan = replace_fields(plan, index=index)
    if division is not None:
        plan = plan.sent_by_ids(DIVIDED)
    device_count = index.count(plan.target, **plan.question, cluster=cluster)
    if device_count == 0:  # an empty audience needs no requests, native ones neither
        plan = replace_fields(plan, native=(), by_ids=None)
    if cluster is not None and division is None and is_shareable(plan):
        listing = _write_shared_listing(plan, index.snapshot, folder, kept_beside or folder, cluster, progress)
        return _write_manifest(plan, listing, device_count, folder, schedule=schedule)
    batches, held_out = None, 0
    if plan.by_ids is not None:
        batches = batch_audience(plan.by_ids, plan.vendor, partial(index.resolve, **plan.question))
    if batches is not None and division is not None:
        divided = divide_batches(batches, division)
        held_out = len(batches.deliverable) - len(divided.deliverable)
        remaining = min(device_count - held_out, len(divided.deliverable) + len(divided.skipped_devices))
        batches, held_out, device_count = divided, device_count - remaining, remaining
    return write_plan(
        plan,
        batches,
        device_count,
        folder,
        progress,
        division=division,
        schedule=schedule,
        held_out=held_out,
    )


def is_shareable(plan: Plan) -> bool:
    """Return whether the processes of a cluster can write the requests of *plan*.

    Which devices a limit has depends on all shards, and native requests alone fill a file rarely.
    """
    return not isinstance(plan.by_ids, Limit | Top) and len(plan.native) < MAX_LINES_PER_FILE


def keep_emission(folder: Path, draft: Path) -> None:
    """Copy the identity and the audit of the *folder* that *draft* replaces, so that its records are replaced too."""
    if (folder / EMISSION_FILE).is_file():
        (draft / EMISSION_FILE).write_bytes((folder / EMISSION_FILE).read_bytes())
    keep_audit(folder, draft)


def write_plan(
    plan: Plan,
    batches: Batches | None,
    device_count: int,
    folder: Path,
    progress: Progress,
    *,
    division: Division | None = None,
    schedule: Mapping[str, Any] | None = None,
    held_out: int = 0,
) -> EmitResult:
    """Write the native requests of *plan* and its *batches* into *folder*."""
    listing = _write_listing(plan, batches, folder, progress)
    return _write_manifest(plan, listing, device_count, folder, division=division, schedule=schedule, held_out=held_out)


@dataclass(frozen=True, slots=True)
class _Listing:
    """Requests that were written: their files, and the devices that are listed by id.

    Attributes:
        files: Entries of the manifest.
        batches: Number of bodies with ids.
        id_count: Number of ids.
        skipped_count: Number of devices without a deliverable id.
        problems: What becomes of devices whose language or time zone is not known, and of those that are skipped.
        parts: Parts, if the ids are divided.
        platforms: Devices that are reached, by platform.
    """

    files: tuple[dict[str, Any], ...]
    batches: int = 0
    id_count: int = 0
    skipped_count: int = 0
    problems: tuple[Problem, ...] = ()
    parts: tuple[dict[str, Any], ...] = ()
    platforms: tuple[PlatformCount, ...] | None = None


def _write_listing(plan: Plan, batches: Batches | None, folder: Path, progress: Progress) -> _Listing:
    """Write the files of requests in this process."""
    files = _write_request_files(folder, plan, batches, progress)
    if batches is None:
        return _Listing(tuple(files), platforms=_count_platforms(plan, batches))
    if batches.skipped_devices:
        files.append(write_skipped(folder / SKIPPED_FILE, batches.iter_skipped()))
    return _Listing(
        tuple(files),
        len(batches),
        len(batches.deliverable),
        len(batches.skipped_devices),
        (*batches.notes, *batches.skipped_problems()),
        tuple(list_parts(batches)),
        _count_platforms(plan, batches),
    )


def _write_shared_listing(
    plan: Plan, snapshot: Snapshot, folder: Path, kept_beside: Path, cluster: Cluster, progress: Progress
) -> _Listing:
    """Let the processes of *cluster* write the files of requests."""
    by_ids = None if plan.by_ids is None else validate_and_expand(plan.by_ids, snapshot, plan.as_of)
    target = validate_and_expand(plan.target, snapshot, plan.as_of) if plan.native else None
    if by_ids is None and target is None:
        return _write_listing(plan, None, folder, progress)
    exprs, place = EmittedExprs(by_ids, target, plan.vendor), SnapshotPlace.of(snapshot)
    native = [orjson.dumps(payload) + b"\n" for payload in plan.native]
    max_ids = get_vendor(plan.vendor, can="emit").max_ids
    digest = digest_job(repr(place), pickle.dumps((exprs, native)), max_ids, MAX_LINES_PER_FILE)
    with open_kept_calls(kept_beside, digest, KIND) as kept:
        found = list_on_cluster(exprs, snapshot, kept, cluster)
        if by_ids is None:
            return _Listing(tuple(_write_request_files(folder, plan, None, progress)), platforms=found.platforms)
        ids, listed = ListedIds(place, by_ids, plan.vendor), found.listed
        written = write_files_on_cluster(
            ids, listed, native, REQUEST_FILE.format, MAX_LINES_PER_FILE, kept, cluster, progress
        )
        for file in written:
            link_or_copy(file.path, folder / file.path.name)
        files = [file.entry for file in written]
        if found.skipped_count:
            files.append(_write_checksummed(folder / SKIPPED_FILE, found.iter_skipped()))
    id_count = sum(listed)
    return _Listing(
        tuple(files),
        -(-id_count // max_ids),
        id_count,
        found.skipped_count,
        tuple(found.skipped_problems()),
        platforms=found.platforms,
    )


def _write_manifest(
    plan: Plan,
    listing: _Listing,
    device_count: int,
    folder: Path,
    *,
    division: Division | None = None,
    schedule: Mapping[str, Any] | None = None,
    held_out: int = 0,
) -> EmitResult:
    """Write the manifest of the requests of *plan* into *folder*, and log and audit them."""
    result = EmitResult(
        vendor=plan.vendor,
        expression=render(plan.written or plan.expr),
        bound=render(plan.expr),
        as_of=None if plan.as_of is None else plan.as_of.local_time.isoformat(timespec="seconds"),
        timezone=None if plan.as_of is None else plan.as_of.zone.key,
        devices=device_count,
        native=len(plan.native),
        batches=listing.batches,
        id_count=listing.id_count,
        skipped_count=listing.skipped_count,
        messaged_count=device_count - listing.skipped_count if plan.native else listing.id_count,
        reasons=(*plan.reasons, *listing.problems),
        assumptions=plan.assumptions,
        files=listing.files,
        id_files=tuple(id_files_json(plan.expr)),
        index=None if plan.index is None else plan.index.snapshot.location,
        removed=plan.removed,
        allow_gaps=plan.as_of is not None and plan.as_of.allow_gaps,
        policies=tuple(policy.to_json() for policy in plan.policies),
        caps=tuple(render_with_ids(each.policy.fitting) for each in plan.policies if not each.is_standing),
        without_policies=plan.without_policies,
        policies_digest="" if plan.index is None else policies_digest(plan.index.snapshot.storage),
        division=None if division is None else division.to_json(),
        parts=listing.parts,
        held_out=held_out,
        platforms=None if listing.platforms is None else tuple(each.to_json() for each in listing.platforms),
        schedule=dict(schedule or {}),
        synced=tuple(each.to_json() for each in plan.synced) if plan.native else (),
        native_exprs=tuple(map(render_with_ids, plan.request_exprs)) if plan.native and plan.synced else (),
        snapshot=None if plan.index is None else plan.index.snapshot.manifest.number,
        devices_digest=digest_devices(plan.index.snapshot.manifest) if plan.index and plan.synced else None,
    )
    manifest = build_manifest(result)
    (folder / MANIFEST_FILE).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    audit_emission(folder, manifest, plan.written or plan.expr, plan.expr)
    log_activity(
        "requests-written",
        vendor=result.vendor,
        devices=result.devices,
        native=result.native,
        batches=result.batches,
        ids=result.id_count,
        skipped=result.skipped_count,
        parts=len(manifest.get("parts", ())) or None,
    )
    return result


def list_parts(batches: Batches | None) -> list[dict[str, Any]]:
    """Return the parts of *batches* as JSON data; nothing if they are not divided."""
    return [] if batches is None or batches.divided is None else [part.to_json() for part in batches.parts]


def _count_platforms(plan: Plan, batches: Batches | None) -> tuple[PlatformCount, ...] | None:
    """Return the devices that the requests reach by platform."""
    if plan.native and plan.index is not None:
        devices = plan.index.resolve(plan.target, **plan.question)
        reached = devices if batches is None else devices - batches.skipped_devices
    elif batches is not None:
        reached = batches.deliverable
    else:
        return None
    return count_platforms(reached)


def first_request_file(folder: Path) -> Path:
    """Return the first of the request files in *folder*."""
    return folder / REQUEST_FILE.format(1)


def write_skipped(path: Path, frames: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Write the skipped devices; return the manifest entry of the file."""
    return _write_checksummed(path, ((frame.write_ndjson().encode(), len(frame)) for frame in frames))


def build_manifest(result: EmitResult) -> dict[str, Any]:
    """Return the content of the manifest."""
    return {
        **asdict(result),
        "reasons": _problems_to_json(result.reasons),
        "assumptions": _problems_to_json(result.assumptions),
    }


def _problems_to_json(problems: Iterable[Problem]) -> list[dict[str, str]]:
    return [{"code": problem.code, "message": problem.message} for problem in problems]


def _write_request_files(folder: Path, plan: Plan, batches: Batches | None, progress: Progress) -> list[dict[str, Any]]:
    """Write all request files; each but the last is synced while the next one is built, the last with the folder."""
    native_block = make_body_block(list(map(orjson.dumps, plan.native)), 0)
    numbered_lines = _split_by_file(chain([native_block], _iter_id_blocks(batches, progress)))
    entries: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as executor:
        syncs: list[Future[None]] = []
        for number, pieces in groupby(numbered_lines, key=itemgetter(0)):
            if entries:
                syncs.append(executor.submit(fsync_path, folder / entries[-1]["name"]))
            file = folder / REQUEST_FILE.format(number)
            entries.append(_write_checksummed(file, ((lines, count) for _, lines, count in pieces)))
        for sync in syncs:
            sync.result()
    return entries


def _iter_id_blocks(batches: Batches | None, progress: Progress) -> Iterator[BodyBlock]:
    """Yield the bodies of ids and report the number of ids written."""
    if batches is None:
        return
    done, total = 0, len(batches.deliverable)
    for block in batches.json_blocks():
        yield block
        done += block.id_count
        progress("writing ids", done, total)


def _split_by_file(blocks: Iterable[BodyBlock]) -> Iterator[tuple[int, memoryview, int]]:
    """Yield file number, lines and line count, with as many lines at once as belong to one file."""
    lines_done = 0
    for block in blocks:
        data, start, line = memoryview(block.data), 0, 0
        while line < len(block.ends):
            file_number, lines_in_file = divmod(lines_done, MAX_LINES_PER_FILE)
            count = min(MAX_LINES_PER_FILE - lines_in_file, len(block.ends) - line)
            stop = block.ends[line + count - 1]
            yield file_number + 1, data[start:stop], count
            lines_done, line, start = lines_done + count, line + count, stop


def _write_checksummed(path: Path, pieces: Iterable[tuple[bytes | memoryview, int]]) -> dict[str, Any]:
    """Write *pieces* with their line counts; return the manifest entry of the file."""
    hasher, line_count, size = new_hasher(), 0, 0
    with create_file(path) as stream:
        for data, count in pieces:
            hasher.update(data)
            stream.write(data)
            line_count, size = line_count + count, size + len(data)
    return {"name": path.name, "lines": line_count, "bytes": size, "xxh128": hasher.hexdigest()}
