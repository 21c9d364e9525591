"""Remove ids from a request folder: its lists, its manifest and its skipped devices; checksums are those of the result.

Requests that nothing was sent from lose the ids. In those of a run the ids keep their positions, to which the ledger
refers: there a placeholder takes the place of each.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from audience._fs.atomic import fsync_path, temp_path
from audience._fs.checksums import hash128
from audience.errors import DeliveryError, Problem
from audience.requests.parts import Part, PartLines
from audience.requests.reader import REDACTION_FILE, RequestFolder, open_requests, sha256_hex
from audience.requests.writer import MANIFEST_FILE, MAX_LINES_PER_FILE, SKIPPED_FILE
from audience.vendors.spec import Vendor

REDACTED = "forgotten"
IDS_PER_SCAN = 1 << 16
FACTS = frozenset(  # of manifests, campaigns and audits: they name no device
    {
        *("vendor", "files", "as_of", "timezone", "code", "synced", "devices_digest"),
        *("at", "command", "user", "host", "caller", "version", "run"),
    }
)


def compile_ids(ids: Collection[str]) -> re.Pattern[bytes]:
    """Return a pattern that matches any of *ids* as a whole word: in plain UTF-8, escaped in JSON, or quoted in a URL.

    >>> compile_ids(["r1"]).sub(b"X", b"r1 r10 r1-2 id=r1.")
    b'X r10 r1-2 id=X.'
    """
    forms = {form for identifier in ids for form in _iter_forms(identifier)}
    words = b"|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rb"(?<![\w-])(?:" + words + rb")(?![\w-])") if words else re.compile(rb"(?!)")


def _iter_forms(identifier: str) -> Iterator[bytes]:
    yield identifier.encode()
    yield orjson.dumps(identifier)[1:-1]
    yield identifier.encode("ascii", "backslashreplace")
    yield quote(identifier, safe="").encode()


@dataclass(frozen=True, slots=True)
class RedactedFolder:
    """Files that replace those of a request folder, written beside them, and the digest of the new manifest.

    Attributes:
        positions: Position of each id in the requests that was removed.
        mentions: Number of lines and entries that named an id elsewhere.
    """

    folder: Path
    positions: Mapping[int, str]
    mentions: int
    files: Mapping[str, bytes]
    removed_files: tuple[str, ...]

    @property
    def manifest(self) -> bytes:
        """Return the new manifest."""
        return self.files[MANIFEST_FILE]

    def replace_files(self) -> "Redaction":
        """Replace the files, and leave a file that says what was done until `Redaction.close`.

        After a crash the folder has its old files, or `find_redaction` finds what is left to do.
        """
        mode = (self.folder / MANIFEST_FILE).stat().st_mode & 0o777
        for name, data in self.files.items():
            _write_durably(_staged_file(self.folder, name), data, mode)
        positions = sorted(self.positions)
        redaction = Redaction(self.folder, sha256_hex(self.manifest), positions, tuple(self.files), self.removed_files)
        redaction.record()
        redaction.finish()
        return redaction


@dataclass(frozen=True, slots=True)
class Redaction:
    """Change of a request folder that has been decided: its new files are beside the old ones, or have replaced them.

    Attributes:
        folder: The folder.
        digest: Digest of the new manifest.
        positions: Positions of the ids that were removed.
        files: Names of the files that are replaced.
        removed_files: Names of the files that are removed.
    """

    folder: Path
    digest: str
    positions: Sequence[int]
    files: Sequence[str]
    removed_files: Sequence[str]

    def record(self) -> None:
        """Write down what will be done; from then on it is finished rather than undone."""
        facts = {name: getattr(self, name) for name in ("digest", "positions", "files", "removed_files")}
        staged = _staged_file(self.folder, REDACTION_FILE)
        _write_durably(staged, orjson.dumps(facts), 0o600)
        staged.replace(self.folder / REDACTION_FILE)
        fsync_path(self.folder)

    def finish(self) -> None:
        """Replace the files that have not been replaced."""
        for name in self.files:
            if (staged := _staged_file(self.folder, name)).exists():
                staged.replace(self.folder / name)
        for name in self.removed_files:
            (self.folder / name).unlink(missing_ok=True)
        fsync_path(self.folder)

    def close(self) -> None:
        """Forget that there was anything to do."""
        (self.folder / REDACTION_FILE).unlink()
        fsync_path(self.folder)


def find_redaction(folder: Path) -> Redaction | None:
    """Return the change of a request folder that was interrupted, or None if there is none."""
    try:
        facts = orjson.loads((folder / REDACTION_FILE).read_bytes())
    except FileNotFoundError:
        return None
    return Redaction(folder, **facts)


def _staged_file(folder: Path, name: str) -> Path:
    return folder / f".{name}.redacted"


def _write_durably(file: Path, data: bytes, mode: int) -> None:
    """Write *file*, which nobody else can read before it has *mode*."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_bytes(data)
    file.chmod(mode)
    fsync_path(file)


def redact_requests(folder: Path, ids: Collection[str], *, keeps_positions: bool) -> RedactedFolder | None:
    """Return the files of a request folder without *ids*, or None if it has none of them. Nothing is written.

    Raises:
        DeliveryError: The folder is damaged, or a native request lists one of the ids.
    """
    requests, pattern, wanted = open_requests(folder), compile_ids(ids), set(ids)
    natives = _load_natives(requests, pattern)
    listed = [identifier for chunk in _iter_ids(requests) for identifier in chunk]
    positions = {position: identifier for position, identifier in enumerate(listed) if identifier in wanted}
    old_manifest = orjson.loads((folder / MANIFEST_FILE).read_bytes())
    skipped = (folder / SKIPPED_FILE).read_bytes() if (folder / SKIPPED_FILE).is_file() else b""
    manifest, mentions = redact_texts(old_manifest, pattern)
    mentions += len(pattern.findall(skipped))
    if not positions and not mentions:
        return None
    kept, parts = (
        _put_placeholders(requests, listed, positions) if keeps_positions else _drop_ids(requests, listed, positions)
    )
    lines = PartLines(parts, requests.vendor.max_ids)
    files = _write_lists(natives, kept, lines, requests.vendor)
    if skipped:
        files[SKIPPED_FILE] = _redact_skipped(skipped, pattern, wanted)
        manifest["skipped_count"] = _count_lines(files[SKIPPED_FILE])
    removed_ids = len(listed) - len(kept)
    removed_devices = removed_ids + _count_lines(skipped) - _count_lines(files.get(SKIPPED_FILE, b""))
    manifest |= {
        "files": [_describe(name, data) for name, data in files.items()],
        "id_count": len(kept),
        "batches": len(lines),
        "devices": manifest["devices"] - removed_devices,
        "messaged_count": requests.messaged_count - removed_ids,
    }
    if requests.division is not None:
        manifest["parts"] = [part.to_json() for part in parts]
    files[MANIFEST_FILE] = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    removed_files = {entry["name"] for entry in old_manifest["files"]} - files.keys()
    return RedactedFolder(folder, positions, mentions, files, tuple(sorted(removed_files)))


def _load_natives(requests: RequestFolder, pattern: re.Pattern[bytes]) -> list[bytes]:
    """Return the native requests.

    Raises:
        DeliveryError: One of them matches *pattern*.
    """
    natives = [orjson.dumps(requests.native_payload(number)) for number in range(requests.native_count)]
    if any(pattern.search(native) for native in natives):
        hint = "cancel its run and emit again without the id, then remove the folder"
        raise DeliveryError(
            Problem("native-id", f"{requests.folder}: a native request names a forgotten id", hint=hint)
        )
    return natives


def _put_placeholders(
    requests: RequestFolder, ids: Sequence[str], positions: Collection[int]
) -> tuple[list[str], Sequence[Part]]:
    """Return *ids* with placeholders at *positions*, and the parts, which are unchanged."""
    return [
        make_placeholder(at) if at in positions else identifier for at, identifier in enumerate(ids)
    ], requests.parts


def _drop_ids(
    requests: RequestFolder, ids: Sequence[str], positions: Collection[int]
) -> tuple[list[str], Sequence[Part]]:
    """Return *ids* without those at *positions*, and the parts that are left."""
    kept = [identifier for at, identifier in enumerate(ids) if at not in positions]
    return kept, tuple(_shrink_parts(requests.parts, sorted(positions)))


def _redact_skipped(skipped: bytes, pattern: re.Pattern[bytes], ids: Collection[str]) -> bytes:
    """Return the lines of skipped devices without those of *ids*, and with other mentions of ids replaced."""
    lines = skipped.splitlines(keepends=True)
    return b"".join(
        pattern.sub(REDACTED.encode(), line) for line in lines if orjson.loads(line).get("device") not in ids
    )


def _count_lines(data: bytes) -> int:
    return len(data.splitlines())


def make_placeholder(position: int) -> str:
    """Return what takes the place of a forgotten id."""
    return f"{REDACTED}-{position}"


def _iter_ids(requests: RequestFolder) -> Iterator[list[str]]:
    size = max(1, IDS_PER_SCAN // requests.vendor.max_ids) * requests.vendor.max_ids
    for first in range(0, requests.id_count, size):
        yield requests.ids_between(first, min(first + size, requests.id_count))


def _shrink_parts(parts: Sequence[Part], removed: Sequence[int]) -> Iterator[Part]:
    """Yield the parts that are left without the positions *removed*, which rise."""
    for part in parts:
        first, stop = (position - bisect_left(removed, position) for position in (part.first, part.stop))
        if first < stop:
            yield replace(part, first=first, stop=stop)


def _write_lists(natives: Sequence[bytes], ids: list[str], lines: PartLines, vendor: Vendor) -> dict[str, bytes]:
    """Return the request files with native requests and *lines* of *ids*."""
    chunks = (ids[line.first : line.stop] for line in lines.overlapping(0, len(ids)))
    bodies = (*natives, *(orjson.dumps(vendor.target_ids(chunk)) for chunk in chunks))
    written = [body + b"\n" for body in bodies]
    return {
        f"requests-{number:05}.ndjson": b"".join(written[start : start + MAX_LINES_PER_FILE])
        for number, start in enumerate(range(0, len(written), MAX_LINES_PER_FILE), 1)
    }


def _describe(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "lines": data.count(b"\n"), "bytes": len(data), "xxh128": hash128(data)}


def redact_texts(value: Any, pattern: re.Pattern[bytes]) -> tuple[Any, int]:
    """Return a JSON value with the matches of *pattern* in its texts replaced, and their number; facts stay.

    >>> redact_texts({"devices": 44, "vendor": "44", "expression": "alias(44, 45)"}, compile_ids(["44"]))
    ({'devices': 44, 'vendor': '44', 'expression': 'alias(forgotten, 45)'}, 1)
    """
    match value:
        case str():
            redacted, count = pattern.subn(REDACTED.encode(), value.encode())
            return redacted.decode(), count
        case list():
            items = [redact_texts(item, pattern) for item in value]
            return [item for item, _ in items], sum(count for _, count in items)
        case dict():
            fields = {
                name: (field, 0) if name in FACTS else redact_texts(field, pattern) for name, field in value.items()
            }
            return {name: field for name, (field, _) in fields.items()}, sum(count for _, count in fields.values())
    return value, 0


def redact_json_file(file: Path, pattern: re.Pattern[bytes], *, write: bool) -> int:
    """Replace the matches of *pattern* in the texts of a small file. Return their number."""
    redacted, count = redact_texts(orjson.loads(file.read_bytes()), pattern)
    if count and write:
        data = orjson.dumps(redacted, option=orjson.OPT_INDENT_2)
        replace_file(file, lambda temp_file: temp_file.write_bytes(data))
    return count


def redact_json_lines(file: Path, pattern: re.Pattern[bytes], *, write: bool) -> int:
    """Replace the matches of *pattern* in the texts of the objects of a file, one a line. Return their number."""
    lines = [_redact_json_line(line, pattern) for line in file.read_bytes().splitlines(keepends=True)]
    count = sum(found for _, found in lines)
    if count and write:
        replace_file(file, lambda temp_file: temp_file.write_bytes(b"".join(line for line, _ in lines)))
    return count


def _redact_json_line(line: bytes, pattern: re.Pattern[bytes]) -> tuple[bytes, int]:
    """Return a line with the matches of *pattern* replaced, and their number; it may be cut, or no object."""
    try:
        redacted, count = redact_texts(orjson.loads(line), pattern)
    except ValueError:
        return pattern.subn(REDACTED.encode(), line)
    return (orjson.dumps(redacted) + b"\n", count) if count else (line, 0)


def redact_log(file: Path, pattern: re.Pattern[bytes], *, write: bool) -> int:
    """Replace the matches of *pattern* in a file of lines, whatever its size. Return their number."""
    count = 0

    def copy(temp_file: Path) -> None:
        with file.open("rb") as source, temp_file.open("wb") as target:
            target.writelines(pattern.sub(REDACTED.encode(), line) for line in source)

    with file.open("rb") as source:
        count = sum(len(pattern.findall(line)) for line in source)
    if count and write:
        replace_file(file, copy)
    return count


def replace_file(file: Path, write: Callable[[Path], object]) -> None:
    """Replace *file* by what *write* writes to a temporary file beside it; its permissions stay."""
    temp_file = temp_path(file)
    temp_file.unlink(missing_ok=True)
    temp_file.touch(mode=0o600)
    write(temp_file)
    temp_file.chmod(file.stat().st_mode & 0o777)
    fsync_path(temp_file)
    temp_file.replace(file)
    fsync_path(file.parent)
