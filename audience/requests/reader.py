"""Reader of request folders; every file is verified before a request is sent."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from audience._fs.checksums import hash64, new_hasher
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.messages import Message, parse_message
from audience.progress import Progress, ignore_progress
from audience.requests.json_bodies import extract_ids
from audience.requests.writer import MANIFEST_FILE
from audience.vendors import get_vendor
from audience.vendors.spec import Payload, Vendor

MESSAGE_FILE = "message.json"
READ_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class RequestFolder:
    """Requests of a plan: the native ones, then lines with ids, `vendor.max_ids` in each but the last.

    Attributes:
        line_starts: Offsets of the lines in each file, followed by the size of the file.
        line_checksums: Checksums of the lines in each file.
        file_stops: Number of lines up to the end of each file.
        digest: Checksum of the manifest, which identifies the whole folder.
    """

    folder: Path
    vendor: Vendor
    expression: str
    device_count: int
    native_count: int
    id_count: int
    digest: str
    files: tuple[Path, ...]
    line_starts: tuple[tuple[int, ...], ...]
    line_checksums: tuple[tuple[int, ...], ...]
    file_stops: tuple[int, ...]

    def native_payload(self, number: int) -> Payload:
        """Return the native request with this *number*; raise DeliveryError if the file was changed."""
        found: Payload = orjson.loads(self._read_line(number))
        return found

    def ids_between(self, first: int, stop: int) -> list[str]:
        """Return the ids of the plan from *first* up to *stop*; raise DeliveryError if a file was changed."""
        size = self.vendor.max_ids
        lines = range(first // size, (stop - 1) // size + 1)
        found = [identifier for line in lines for identifier in self._ids_in_line(line)]
        return found[first - lines[0] * size : stop - lines[0] * size]

    def _ids_in_line(self, line: int) -> list[str]:
        size = self.vendor.max_ids
        body = self._read_line(self.native_count + line)
        ids = extract_ids(body, self.vendor)
        if len(ids) != min(size, self.id_count - line * size) or self.vendor.target_ids(ids) != orjson.loads(body):
            raise _damaged_error(
                self.folder, f"request {self.native_count + line + 1} does not list the ids that it should"
            )
        return ids

    def _read_line(self, number: int) -> bytes:
        at = bisect_right(self.file_stops, number)
        within = number - (self.file_stops[at - 1] if at else 0)
        start, stop = self.line_starts[at][within], self.line_starts[at][within + 1]
        try:
            with self.files[at].open("rb") as file:
                file.seek(start)
                line = file.read(stop - start)
        except OSError as error:
            raise _damaged_error(self.folder, f"{self.files[at].name}: {error.strerror or error}") from error
        if hash64(line) != self.line_checksums[at][within]:
            raise _damaged_error(self.folder, f"{self.files[at].name} has changed since it was checked")
        return line


def open_requests(folder: Path, progress: Progress = ignore_progress) -> RequestFolder:
    """Verify and open the requests in *folder*.

    Raises:
        DeliveryError: A file is missing or was changed.
    """
    data = _read_file(folder / MANIFEST_FILE)
    try:
        said = orjson.loads(data)
        to = get_vendor(said["vendor"])
        listed = [each for each in said["files"] if each["name"].startswith("requests-")]
        total = sum(each["bytes"] for each in listed)
        counts = {name: int(said[name]) for name in ("devices", "native", "batches", "id_count")}
        expression = str(said["expression"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(folder, f"{MANIFEST_FILE} is not what `audience emit` writes") from error
    files, starts, sums, done = list[Path](), list[tuple[int, ...]](), list[tuple[int, ...]](), 0
    for each in listed:
        files.append(folder / str(each["name"]))
        for known, found in zip((starts, sums), _scan_request_file(files[-1], each), strict=True):
            known.append(found)
        done += each["bytes"]
        progress("checking", done, total)
    lines = sum(map(len, sums))
    if lines != counts["native"] + counts["batches"] or counts["batches"] != -(-counts["id_count"] // to.max_ids):
        raise _damaged_error(folder, f"{lines} requests are there, and not as many as {MANIFEST_FILE} says")
    if counts["devices"] < counts["id_count"]:
        raise _damaged_error(folder, f"{MANIFEST_FILE} means fewer devices than it tells")
    return RequestFolder(
        folder=folder,
        vendor=to,
        expression=expression,
        device_count=counts["devices"],
        native_count=counts["native"],
        id_count=counts["id_count"],
        digest=sha256_hex(data),
        files=tuple(files),
        line_starts=tuple(starts),
        line_checksums=tuple(sums),
        file_stops=tuple(accumulate(len(each) - 1 for each in starts)),
    )


def read_manifest_summary(folder: Path) -> tuple[Vendor, int]:
    """Return the vendor and the number of devices from the manifest of *folder*."""
    try:
        said = orjson.loads(_read_file(folder / MANIFEST_FILE))
        return get_vendor(said["vendor"]), int(said["devices"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(folder, f"{MANIFEST_FILE} is not what `audience emit` writes") from error


def has_requests(folder: Path) -> bool:
    """Return whether the manifest of *folder* lists any request."""
    try:
        said = orjson.loads(_read_file(folder / MANIFEST_FILE))
        written = any(each["name"].startswith("requests-") for each in said["files"])
        return written or any(said[name] for name in ("native", "batches", "id_count"))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged_error(folder, f"{MANIFEST_FILE} is not what `audience emit` writes") from error


def read_message(file: Path) -> Message:
    """Read the message in *file*.

    Raises:
        MessageError: The file is not a valid message.
        DeliveryError: The file cannot be read.
    """
    try:
        said = json.loads(_read_file(file), object_pairs_hook=_reject_duplicate_keys)
    except (ValueError, RecursionError) as error:
        raise MessageError(Problem("bad-json", f"{file} is no JSON: {error}")) from error
    return parse_message(said)


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; raise ValueError on a duplicate key, of which one value would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, many in Counter(key for key, _ in pairs).items() if many > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def message_to_json(message: Message) -> bytes:
    """Return *message* as stored in a run folder; reading it back gives the same message.

    Raises:
        MessageError: The message cannot be written as JSON.

    >>> message_to_json(Message(title="Hi", platforms=("ios",)))
    b'{"platforms":["ios"],"title":"Hi"}'
    """
    default = Message()
    told = {name: getattr(message, name) for name in (each.name for each in fields(Message))}
    kept = {name: value for name, value in told.items() if value != getattr(default, name)}
    try:
        text = json.dumps(kept, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(Problem("unwritable", f"cannot be written as JSON: {error}", path="$")) from error


def sha256_hex(data: bytes) -> str:
    """Return the checksum of *data* that the ledger stores; it is safe against forgery."""
    return hashlib.sha256(data).hexdigest()


def _scan_request_file(file: Path, manifest_entry: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the offsets of the lines of *file*, followed by its size, and the checksum of each line.

    Raises:
        DeliveryError: The file differs from its entry in the manifest.
    """
    summed, starts, sums = new_hasher(), [0], []
    try:
        with file.open("rb", buffering=READ_BUFFER_BYTES) as stream:
            for line in stream:
                summed.update(line)
                starts.append(starts[-1] + len(line))
                sums.append(hash64(line))
    except OSError as error:
        raise _damaged_error(file.parent, f"{file.name}: {error.strerror or error}") from error
    found = {"lines": len(sums), "bytes": starts[-1], "xxh128": summed.hexdigest()}
    wrong = [key for key, value in found.items() if manifest_entry.get(key) != value]
    if wrong:
        raise _damaged_error(file.parent, f"{file.name} is not what was written: other {', '.join(wrong)}")
    return tuple(starts), tuple(sums)


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        hint = "a folder that `audience emit` wrote" if file.name == MANIFEST_FILE else None
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}", hint=hint)) from error


def _damaged_error(folder: Path, message: str) -> AudienceError:
    return DeliveryError(Problem("damaged-plan", f"{folder}: {message}", hint="emit it again into another folder"))


def split_into_chunks(ids: list[str], size: int) -> list[list[str]]:
    """Return *ids* in lists of at most *size*."""
    return [ids[at : at + size] for at in range(0, len(ids), size)]
