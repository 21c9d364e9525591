"""Forget a person in request folders, ledgers, logs and syncs of tags."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import polars as pl

from audience.delivery.campaign_runs import CAMPAIGN_RUN_FILE
from audience.delivery.ledger import transitions
from audience.delivery.ledger.connection import LEDGER_FILE, Ledger, has_run, redact_ledger
from audience.delivery.ledger.workers import list_workers, reap_dead_workers
from audience.errors import DeliveryError, Problem
from audience.index.ingest.shared.kept_calls import list_unfinished_jobs, remove_unfinished_job
from audience.index.storage.snapshot import Snapshot
from audience.index.storage.write_lock import lock_for_update
from audience.requests.audit import AUDIT_FILE
from audience.requests.campaign import CAMPAIGN_FILE
from audience.requests.reader import MESSAGE_FILE
from audience.requests.redaction import (
    RedactedFolder,
    Redaction,
    compile_ids,
    find_redaction,
    make_placeholder,
    redact_json_file,
    redact_json_lines,
    redact_log,
    redact_requests,
)
from audience.requests.writer import MANIFEST_FILE, SKIPPED_FILE
from audience.tag_sync.changes import forget_untagged
from audience.tag_sync.storage import list_states, load_state, save_state

COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")  # the first bytes of their formats


@dataclass(frozen=True, slots=True)
class Finding:
    """Place where ids were found: how many, and what was done, or would be."""

    place: str
    kind: str
    found: int
    done: str


def list_request_folders(folder: Path) -> list[Path]:
    """Return the folders of requests in *folder* or below it.

    Raises:
        DeliveryError: There is none.
    """
    manifests = sorted(file for file in folder.rglob(MANIFEST_FILE) if _is_of_requests(file))
    if not manifests and not (folder / CAMPAIGN_FILE).is_file():
        hint = "pass folders that `audience emit` or `audience campaign` wrote, or a folder above them"
        raise DeliveryError(Problem("no-requests", f"{folder} has no request folder", hint=hint))
    return [file.parent for file in manifests]


def _is_of_requests(manifest: Path) -> bool:
    try:
        return "vendor" in orjson.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return False


def require_idle(folders: Sequence[Path]) -> None:
    """Raise DeliveryError if a worker sends from one of *folders*."""
    for folder in filter(has_run, folders):
        with Ledger(folder / LEDGER_FILE, write=False) as ledger:
            if any(worker.is_alive for worker in list_workers(ledger)):
                hint = f"wait until it ends, or stop it and run `audience cancel {folder}`"
                raise DeliveryError(Problem("active-run", f"{folder}: a worker is sending from here", hint=hint))


def require_plain_logs(files: Sequence[Path]) -> None:
    """Raise DeliveryError if a log cannot be read, or is compressed."""
    for file in files:
        try:
            with file.open("rb") as stream:
                start = stream.read(8)
        except OSError as error:
            raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}")) from error
        if start.startswith(COMPRESSED):
            message = f"{file} is compressed, so that ids in it cannot be found"
            raise DeliveryError(Problem("compressed-log", message, hint="decompress it first"))


def forget_in_unfinished_jobs(
    roots: Sequence[Path], indexes: Sequence[Snapshot], *, dry_run: bool, wait: float = 0
) -> list[Finding]:
    """Remove what lost commands on a cluster have left, which may have ids: beside indexes, in *roots* and beside them.

    The next such command starts from its beginning.

    Args:
        roots: Folders of requests, or above such folders.
        indexes: Indexes of this machine.
        dry_run: Only look.
        wait: Seconds to wait for another writer of an index.

    Raises:
        OutputError: A command is under way, or its folder cannot be removed.
        LockedError: Another process changes the index.
    """
    beside_roots = [job for root in roots for job in _list_jobs_in(root)]
    found = list(beside_roots)
    for index in indexes:
        place = Path(index.storage.location).absolute()
        jobs = list_unfinished_jobs(place.parent, place.name)
        found += jobs
        if jobs and not dry_run:
            with lock_for_update(index.storage, "forget", wait):
                _remove_jobs(jobs)
    if not dry_run:
        _remove_jobs(job for job in beside_roots if job.exists())
    return [Finding(str(job), "unfinished command", 1, "removed") for job in dict.fromkeys(found)]


def _list_jobs_in(root: Path) -> list[Path]:
    place = root.absolute()
    folders = [place, *(folder for folder in place.rglob("*") if folder.is_dir() and not folder.is_symlink())]
    jobs = [job for folder in folders for job in list_unfinished_jobs(folder)]
    outermost = [job for job in jobs if not any(other in job.parents for other in jobs)]
    return [*list_unfinished_jobs(place.parent, place.name), *outermost]


def _remove_jobs(jobs: Iterable[Path]) -> None:
    for job in jobs:
        remove_unfinished_job(job)


def forget_in_logs(files: Sequence[Path], ids: Collection[str], *, dry_run: bool) -> list[Finding]:
    """Replace *ids* in logs, where they are whole words."""
    pattern = compile_ids(ids)
    counts = {file: redact_log(file, pattern, write=not dry_run) for file in files}
    return [Finding(str(file), "log", count, "replaced in their lines") for file, count in counts.items() if count]


def forget_in_folders(root: Path, folders: Sequence[Path], ids: Collection[str], *, dry_run: bool) -> list[Finding]:
    """Remove *ids* from request folders and ledgers, and from the files of a campaign above them.

    Raises:
        DeliveryError: A folder is damaged, or a native request names an id. Earlier folders are done then.
    """
    if not dry_run:
        for redaction in filter(None, map(find_redaction, folders)):
            _finish_redaction(redaction)
    redacted = [redact_requests(folder, ids, keeps_positions=has_run(folder)) for folder in folders]
    findings = [
        finding
        for folder, found in zip(folders, redacted, strict=True)
        for finding in _forget_in_folder(folder, found, ids, dry_run=dry_run)
    ]
    pattern = compile_ids(ids)
    for file in _iter_campaign_files(root):
        if count := redact_json_file(file, pattern, write=not dry_run):
            findings.append(Finding(str(file), "campaign", count, "replaced"))
    return findings


def forget_in_syncs(index: Snapshot, ids: Collection[str], *, dry_run: bool, wait: float = 0) -> list[Finding]:
    """Remove *ids* from the states of syncs of tags, where no tag is left at the vendor.

    An id with tags is kept until a sync has removed them: without it the vendor would have them for ever, and native
    requests would reach the device.
    """
    storage, wanted = index.storage, pl.Series("id", [*ids], dtype=pl.String)
    findings = []
    for facts in list_states(storage):
        state = load_state(storage, facts.application)
        remaining = forget_untagged(state, wanted) if facts.started is None and not facts.is_copy else state
        removed, left = (int(each.known.ids.is_in(wanted.implode()).sum()) for each in (state, remaining))
        place = f"{storage.location}: tags of {facts.application.family} at {facts.application.host}"
        if removed > left:
            findings.append(Finding(place, "sync", removed - left, "removed"))
            if not dry_run:
                save_state(storage, remaining, wait=wait)
        if left:
            done = "left: `audience sync` removes their tags at the vendor, then run `audience forget` again"
            findings.append(Finding(place, "sync", left, done))
    return findings


def _iter_campaign_files(root: Path) -> Iterator[Path]:
    for campaign in sorted(root.rglob(CAMPAIGN_FILE)):
        for name in (CAMPAIGN_FILE, CAMPAIGN_RUN_FILE, SKIPPED_FILE):
            if (campaign.parent / name).is_file():
                yield campaign.parent / name


def _forget_in_folder(
    folder: Path, redacted: RedactedFolder | None, ids: Collection[str], *, dry_run: bool
) -> Iterator[Finding]:
    positions = {} if redacted is None else redacted.positions
    if redacted is not None:
        done = "replaced by placeholders, which are not sent" if has_run(folder) else "removed from the requests"
        yield Finding(str(folder), "requests", len(positions) + redacted.mentions, done)
    if has_run(folder):
        in_ledger = _forget_in_ledger(folder, redacted, ids, dry_run=dry_run)
        if in_ledger:
            yield Finding(str(folder / LEDGER_FILE), "ledger", in_ledger, "replaced by placeholders")
    elif redacted is not None and not dry_run:
        redacted.replace_files().close()
    audit = folder / AUDIT_FILE
    if audit.is_file() and (count := redact_json_lines(audit, compile_ids(ids), write=not dry_run)):
        yield Finding(str(audit), "audit", count, "replaced in its expressions")
    if (folder / MESSAGE_FILE).is_file() and compile_ids(ids).search((folder / MESSAGE_FILE).read_bytes()):
        yield Finding(str(folder / MESSAGE_FILE), "message", 1, "left: the message itself names the id")


def _forget_in_ledger(folder: Path, redacted: RedactedFolder | None, ids: Collection[str], *, dry_run: bool) -> int:
    """Remove ids from a ledger, and write the redacted requests with it. Return how many rows named an id."""
    path, pattern = folder / LEDGER_FILE, compile_ids(ids)
    if dry_run:
        with Ledger(path, write=False) as ledger:
            texts = ledger.query("list_redactable_texts")
        return sum(bool(pattern.search(text.encode())) for (text,) in texts)
    with Ledger(path) as ledger, ledger.transaction():
        reap_dead_workers(ledger)
    redaction = None if redacted is None else redacted.replace_files()
    count = _redact_ledger(path, redaction, pattern)
    if redaction is not None:
        redaction.close()
    return count


def _finish_redaction(redaction: Redaction) -> None:
    """Finish a change of a request folder and its ledger that was interrupted."""
    redaction.finish()
    if has_run(redaction.folder):
        _redact_ledger(redaction.folder / LEDGER_FILE, redaction, compile_ids(()))
    redaction.close()


def _redact_ledger(path: Path, redaction: Redaction | None, pattern: re.Pattern[bytes]) -> int:
    """Remove ids from a ledger: those of *redaction*, others by *pattern*. Return how many rows named an id."""
    positions = () if redaction is None else redaction.positions
    count = redact_ledger(
        path,
        plan_digest=None if redaction is None else redaction.digest,
        placeholders={position: make_placeholder(position) for position in positions},
        pattern=pattern,
    )
    with Ledger(path) as ledger, ledger.transaction():
        transitions.reject_emptied_batches(ledger, ledger.load_run().created_at)
    return count
