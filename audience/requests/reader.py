"""Reader of request folders; every file is verified before a request is sent."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from audience._fs.checksums import hash64, new_hasher
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.messages import Message, message_document, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.division import Division
from audience.requests.emitted_syncs import SyncedRequests, read_synced_requests
from audience.requests.json_bodies import extract_ids
from audience.requests.parts import Line, Part, PartLines
from audience.requests.platform_counts import PlatformCount
from audience.requests.writer import MANIFEST_FILE
from audience.vendors import get_vendor
from audience.vendors.payload_reader import reject_duplicate_keys
from audience.vendors.spec import Payload, Vendor

MESSAGE_FILE = "message.json"
REDACTION_FILE = "redaction.json"  # what `audience forget` has begun to change and not finished
MESSAGE_HINT = 'pass a JSON file with a message, for example {"title": "Hi", "body": "there"}'
READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class EmittedPolicies:
    """Policies under which requests were emitted.

    Attributes:
        index: Path of the index that has them; None if the manifest does not have it.
        names: Names of the policies of the index that applied.
        caps: Caps of these requests alone.
        without: Names of the policies that were overridden.
        timezone: Name of the time zone whose days they mean; None is that of the index.
        allow_gaps: Whether events are asked although some of their days are not covered.
    """

    index: str | None = None
    names: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    timezone: str | None = None
    allow_gaps: bool = False


@dataclass(frozen=True)
class RequestFolder:
    """Requests of a plan: the native ones, then lines with ids, `vendor.max_ids` in each but the last of a part.

    Attributes:
        line_starts: Offsets of the lines in each file, followed by the size of the file.
        line_checksums: Checksums of the lines in each file.
        file_stops: Number of lines up to the end of each file.
        digest: Checksum of the manifest, which identifies the whole folder.
        parts: Parts of the ids, in their order; a folder that is not divided has one.
        policies: Policies that applied.
        division: How the ids were divided; None if they were not.
        platforms: Devices by platform; None if they are not known.
        schedule: When its runs are sent, if they do not say it themselves, as a JSON object.
        synced: Syncs of tags that the native requests rest on; None if they rest on none.
        messaged_count: Devices that a send messages.
        skipped_count: Devices of the audience without an id at the vendor.
    """

    folder: Path
    vendor: Vendor
    expression: str
    device_count: int
    native_count: int
    id_count: int
    messaged_count: int
    digest: str
    files: tuple[Path, ...]
    line_starts: tuple[tuple[int, ...], ...]
    line_checksums: tuple[tuple[int, ...], ...]
    file_stops: tuple[int, ...]
    parts: tuple[Part, ...]
    policies: EmittedPolicies = EmittedPolicies()
    division: Division | None = None
    platforms: tuple[PlatformCount, ...] | None = None
    schedule: Mapping[str, Any] = field(default_factory=dict)
    synced: SyncedRequests | None = None
    skipped_count: int = 0

    def native_payload(self, number: int) -> Payload:
        """Return the native request with this *number*; raise DeliveryError if the file was changed."""
        payload: Payload = orjson.loads(self._read_line(number))
        return payload

    def ids_between(self, first: int, stop: int) -> list[str]:
        """Return the ids of the plan from *first* up to *stop*; raise DeliveryError if a file was changed."""
        ids: list[str] = []
        for line in self._lines.overlapping(first, stop):
            in_line = self._ids_in_line(line)
            ids += in_line[max(first - line.first, 0) : stop - line.first]
        return ids

    @cached_property
    def _lines(self) -> PartLines:
        return PartLines(self.parts, self.vendor.max_ids)

    def _ids_in_line(self, line: Line) -> list[str]:
        body = self._read_line(self.native_count + line.number)
        ids, expected_count = extract_ids(body, self.vendor), line.stop - line.first
        if len(ids) != expected_count or self.vendor.target_ids(ids) != orjson.loads(body):
            number = self.native_count + line.number + 1
            raise _damaged_error(self.folder, f"request {number} does not list the {expected_count} ids of its place")
        return ids

    def _read_line(self, number: int) -> bytes:
        file_number = bisect_right(self.file_stops, number)
        path = self.files[file_number]
        line_number = number - (self.file_stops[file_number - 1] if file_number else 0)
        start, stop = self.line_starts[file_number][line_number : line_number + 2]
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                line = stream.read(stop - start)
        except OSError as error:
            raise _damaged_error(self.folder, f"{path.name}: {error.strerror or error}") from error
        if hash64(line) != self.line_checksums[file_number][line_number]:
            raise _damaged_error(self.folder, f"{path.name} has changed since it was verified")
        return line


def open_requests(folder: Path, progress: Progress = ignore_progress) -> RequestFolder:
    """Verify and open the requests in *folder*.

    Raises:
        DeliveryError: A file is missing or was changed.
    """
    _require_finished_redaction(folder)
    data = _read_file(folder / MANIFEST_FILE)
    with _reading_manifest(folder):
        manifest = orjson.loads(data)
        vendor = get_vendor(manifest["vendor"])
        entries = [entry for entry in manifest["files"] if entry["name"].startswith("requests-")]
        files = tuple(folder / str(entry["name"]) for entry in entries)
        total_bytes = sum(entry["bytes"] for entry in entries)
        counts = {name: int(manifest[name]) for name in ("devices", "native", "batches", "id_count")}
        counts |= {"skipped_count": _read_skipped_count(manifest), "messaged_count": _read_messaged_count(manifest)}
        expression = str(manifest["expression"])
        policies = _read_policies(manifest)
        division, parts, platforms = _read_division(manifest, counts["id_count"])
        schedule: dict[str, Any] = dict(manifest.get("schedule") or {})
        synced = read_synced_requests(manifest)
    line_starts, line_checksums = _scan_request_files(files, entries, total_bytes, progress)
    _check_parts(folder, parts, counts["id_count"])
    _check_counts(folder, counts, sum(map(len, line_checksums)), PartLines(parts, vendor.max_ids))
    return RequestFolder(
        folder=folder,
        vendor=vendor,
        expression=expression,
        device_count=counts["devices"],
        native_count=counts["native"],
        id_count=counts["id_count"],
        messaged_count=counts["messaged_count"],
        digest=sha256_hex(data),
        files=files,
        line_starts=line_starts,
        line_checksums=line_checksums,
        file_stops=tuple(accumulate(map(len, line_checksums))),
        parts=parts,
        policies=policies,
        division=division,
        platforms=platforms,
        schedule=schedule,
        synced=synced,
        skipped_count=counts["skipped_count"],
    )


def _require_finished_redaction(folder: Path) -> None:
    if (folder / REDACTION_FILE).exists():
        message = f"{folder}: `audience forget` was interrupted, and has replaced a part of the files"
        raise DeliveryError(Problem("interrupted-forget", message, hint="run the same `audience forget` again"))


def _read_policies(manifest: dict[str, Any]) -> EmittedPolicies:
    """Return the policies of a manifest; one without such entries has none."""
    applied = [str(policy["name"]) for policy in manifest.get("policies", ())]
    caps = tuple(map(str, manifest.get("caps", ())))
    return EmittedPolicies(
        index=manifest.get("index"),
        names=tuple(applied[: len(applied) - len(caps)]),  # the caps come last
        caps=caps,
        without=tuple(map(str, manifest.get("without_policies", ()))),
        timezone=manifest.get("timezone"),
        allow_gaps=bool(manifest.get("allow_gaps")),
    )


def _read_division(
    manifest: dict[str, Any], id_count: int
) -> tuple[Division | None, tuple[Part, ...], tuple[PlatformCount, ...] | None]:
    """Return how the ids of a manifest are divided, and its devices by platform; one without such entries has none."""
    division, platforms = manifest.get("division"), manifest.get("platforms")
    return (
        None if division is None else Division.from_json(division),
        tuple(map(Part.from_json, manifest.get("parts", ()))) or (Part(first=0, stop=id_count),),
        None if platforms is None else tuple(PlatformCount(**each) for each in platforms),
    )


def _check_parts(folder: Path, parts: Sequence[Part], id_count: int) -> None:
    """Raise DeliveryError if the parts of the manifest are not all ids, side by side."""
    bounds = [0, *(part.stop for part in parts)]
    if [part.first for part in parts] != bounds[:-1] or bounds[-1] != id_count or bounds != sorted(bounds):
        raise _damaged_error(folder, f"the parts in {MANIFEST_FILE} are not its {id_count} ids, side by side")


def _check_counts(folder: Path, counts: dict[str, int], line_count: int, lines: PartLines) -> None:
    """Raise DeliveryError if the counts of the manifest contradict each other or the number of requests."""
    if line_count != counts["native"] + counts["batches"]:
        expected = counts["native"] + counts["batches"]
        raise _damaged_error(folder, f"expected {expected} requests as in {MANIFEST_FILE}, found {line_count}")
    if counts["batches"] != len(lines):
        message = f"{counts['batches']} requests cannot list {counts['id_count']} ids, at most {lines.max_ids} in each"
        raise _damaged_error(folder, message)
    if not counts["id_count"] <= counts["messaged_count"] <= counts["devices"]:
        message = f"{MANIFEST_FILE} lists {counts['id_count']} ids, messages {counts['messaged_count']} devices"
        raise _damaged_error(folder, f"{message}, and has an audience of {counts['devices']}")


def read_manifest_summary(folder: Path) -> tuple[Vendor, int]:
    """Return the vendor and the number of devices that a send messages, from the manifest of *folder*."""
    with _reading_manifest(folder):
        manifest = orjson.loads(_read_file(folder / MANIFEST_FILE))
        return get_vendor(manifest["vendor"]), _read_messaged_count(manifest)


def _read_skipped_count(manifest: dict[str, Any]) -> int:
    """Return how many devices of the audience have no id at the vendor; a manifest without the entry skips none."""
    return int(manifest.get("skipped_count") or 0)


def _read_messaged_count(manifest: dict[str, Any]) -> int:
    """Return how many devices a send messages.

    An older manifest has no such entry. There it is the audience without the skipped devices, unless a limit lists
    others in their place.
    """
    if "messaged_count" in manifest:
        return int(manifest["messaged_count"])
    return max(int(manifest["devices"]) - _read_skipped_count(manifest), int(manifest["id_count"]))


def read_manifest_question(folder: Path) -> dict[str, str | None]:
    """Return what was asked when the requests in *folder* were emitted: `expression`, `bound`, `as_of`, `timezone`."""
    with _reading_manifest(folder):
        manifest = orjson.loads(_read_file(folder / MANIFEST_FILE))
        return {name: manifest.get(name) for name in ("expression", "bound", "as_of", "timezone")}


def read_manifest_syncs(folder: Path) -> list[dict[str, Any]]:
    """Return the syncs that the native requests in *folder* rest on, as the manifest has them."""
    with _reading_manifest(folder):
        manifest = orjson.loads(_read_file(folder / MANIFEST_FILE))
        return [dict(entry) for entry in manifest.get("synced") or ()]


def read_manifest_index(folder: Path) -> str | None:
    """Return the path of the index that the requests in *folder* were emitted from, if the manifest has it."""
    with _reading_manifest(folder):
        index: str | None = orjson.loads(_read_file(folder / MANIFEST_FILE)).get("index")
        return index


def has_requests(folder: Path) -> bool:
    """Return whether the manifest of *folder* lists any request."""
    with _reading_manifest(folder):
        manifest = orjson.loads(_read_file(folder / MANIFEST_FILE))
        has_files = any(entry["name"].startswith("requests-") for entry in manifest["files"])
        return has_files or any(manifest[name] for name in ("native", "batches", "id_count"))


@contextmanager
def _reading_manifest(folder: Path) -> Iterator[None]:
    """Convert errors of a manifest with other content to DeliveryError."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(folder, f"{MANIFEST_FILE} was not written by this version of `audience emit`") from error


def read_message(file: Path) -> Message:
    """Read the message in *file*.

    Raises:
        MessageError: The file is not a valid message.
        DeliveryError: The file cannot be read.
    """
    data = _read_file(file, MESSAGE_HINT)
    try:
        text = data.decode(json.detect_encoding(data)).rstrip()  # so that a file which ends early is located at its end
        document = json.loads(text, object_pairs_hook=reject_duplicate_keys)
    except (ValueError, RecursionError) as error:
        hint = MESSAGE_HINT
        if isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc):
            hint = "the file ends there: complete it" if error.doc else f"the file is empty; {MESSAGE_HINT}"
        raise MessageError(Problem("bad-json", f"{file} is not valid JSON: {error}", hint=hint)) from error
    return parse_message(document)


def message_to_json(message: Message) -> bytes:
    """Return *message* as stored in a run folder; reading it back gives the same message.

    Raises:
        MessageError: The message cannot be written as JSON.

    >>> message_to_json(Message(title="Hi", platforms=("ios",)))
    b'{"platforms":["ios"],"title":"Hi"}'
    """
    try:
        text = json.dumps(
            message_document(message), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(Problem("unwritable", f"cannot be written as JSON: {error}", path="$")) from error


def sha256_hex(data: bytes) -> str:
    """Return the checksum of *data* that the ledger stores; it is safe against forgery."""
    return hashlib.sha256(data).hexdigest()


def _scan_request_files(
    files: Sequence[Path], entries: Sequence[dict[str, Any]], total_bytes: int, progress: Progress
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Return where the lines of each file start, and their checksums; *entries* of the manifest describe the files."""
    line_starts, line_checksums, bytes_read = list[tuple[int, ...]](), list[tuple[int, ...]](), 0
    for file, entry in zip(files, entries, strict=True):
        starts, checksums = _scan_request_file(file, entry)
        line_starts.append(starts)
        line_checksums.append(checksums)
        bytes_read += entry["bytes"]
        progress("checking", bytes_read, total_bytes)
    return tuple(line_starts), tuple(line_checksums)


def _scan_request_file(file: Path, manifest_entry: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the offsets of the lines of *file*, followed by its size, and the checksum of each line.

    Raises:
        DeliveryError: The file differs from its entry in the manifest.
    """
    hasher, starts, checksums = new_hasher(), [0], []
    try:
        with file.open("rb", buffering=READ_BUFFER_BYTES) as stream:
            for line in stream:
                hasher.update(line)
                starts.append(starts[-1] + len(line))
                checksums.append(hash64(line))
    except OSError as error:
        raise _damaged_error(file.parent, f"{file.name}: {error.strerror or error}") from error
    actual = {"lines": len(checksums), "bytes": starts[-1], "xxh128": hasher.hexdigest()}
    differing = [key for key, value in actual.items() if manifest_entry.get(key) != value]
    if differing:
        raise _damaged_error(file.parent, f"{file.name} was changed: {', '.join(differing)} differ from the manifest")
    return tuple(starts), tuple(checksums)


def _read_file(file: Path, hint: str | None = None) -> bytes:
    """Return the content of *file*; *hint* says what to do if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        hint = "pass a folder that `audience emit` wrote" if file.name == MANIFEST_FILE else hint
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}", hint=hint)) from error


def _damaged_error(folder: Path, message: str) -> AudienceError:
    return DeliveryError(Problem("damaged-plan", f"{folder}: {message}", hint="emit it again into another folder"))
