"""A run folder: the request files that `audience emit` wrote, checked before a byte of them is sent."""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, fields
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from audience._fs.checksums import short_digest, summing
from audience.errors import AudienceError, DeliveryError, MessageError, Problem
from audience.messages import Message, message
from audience.progress import Progress, silent
from audience.requests.json_bodies import ids_of
from audience.requests.writer import MANIFEST
from audience.vendors import vendor as vendor_record
from audience.vendors.spec import Payload, Vendor

MESSAGE = "message.json"
PIECE = 1 << 20


@dataclass(frozen=True)
class Requests:
    """The requests of a plan: *native* ones first, then lines that list *ids* ids in all, *batch* in each but the last.

    *starts* are the places of the lines in each of *files*, its size the last, *sums* their checksums, and *stops* the
    numbers of the lines at which each file stops. *digest* stands for all of it.
    """

    folder: Path
    to: Vendor
    expression: str
    devices: int
    native: int
    ids: int
    digest: str
    files: tuple[Path, ...]
    starts: tuple[tuple[int, ...], ...]
    sums: tuple[tuple[int, ...], ...]
    stops: tuple[int, ...]

    def payload(self, number: int) -> Payload:
        """The native request of this *number*; DeliveryError where it is not what was written."""
        found: Payload = orjson.loads(self._line(number))
        return found

    def between(self, first: int, stop: int) -> list[str]:
        """The ids of the plan from *first* to before *stop*; DeliveryError where a line is not what was written."""
        size = self.to.batch
        lines = range(first // size, (stop - 1) // size + 1)
        found = [identifier for line in lines for identifier in self._ids(line)]
        return found[first - lines[0] * size : stop - lines[0] * size]

    def _ids(self, line: int) -> list[str]:
        size = self.to.batch
        body = self._line(self.native + line)
        ids = ids_of(body, self.to)
        if len(ids) != min(size, self.ids - line * size) or self.to.listing(ids) != orjson.loads(body):
            raise _damaged(self.folder, f"request {self.native + line + 1} does not list the ids that it should")
        return ids

    def _line(self, number: int) -> bytes:
        at = bisect_right(self.stops, number)
        within = number - (self.stops[at - 1] if at else 0)
        start, stop = self.starts[at][within], self.starts[at][within + 1]
        try:
            with self.files[at].open("rb") as file:
                file.seek(start)
                line = file.read(stop - start)
        except OSError as error:
            raise _damaged(self.folder, f"{self.files[at].name}: {error.strerror or error}") from error
        if short_digest(line) != self.sums[at][within]:
            raise _damaged(self.folder, f"{self.files[at].name} has changed since it was checked")
        return line


def requests(folder: Path, progress: Progress = silent) -> Requests:
    """The requests in *folder*; DeliveryError where a file is missing or is not what was written."""
    data = _read(folder / MANIFEST)
    try:
        said = orjson.loads(data)
        to = vendor_record(said["vendor"])
        listed = [each for each in said["files"] if each["name"].startswith("requests-")]
        total = sum(each["bytes"] for each in listed)
        counts = {name: int(said[name]) for name in ("devices", "native", "batches", "told")}
        expression = str(said["expression"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{MANIFEST} is not what `audience emit` writes") from error
    files, starts, sums, done = list[Path](), list[tuple[int, ...]](), list[tuple[int, ...]](), 0
    for each in listed:
        files.append(folder / str(each["name"]))
        for known, found in zip((starts, sums), _checked(files[-1], each), strict=True):
            known.append(found)
        done += each["bytes"]
        progress("checking", done, total)
    lines = sum(map(len, sums))
    if lines != counts["native"] + counts["batches"] or counts["batches"] != -(-counts["told"] // to.batch):
        raise _damaged(folder, f"{lines} requests are there, and not as many as {MANIFEST} says")
    if counts["devices"] < counts["told"]:
        raise _damaged(folder, f"{MANIFEST} means fewer devices than it tells")
    return Requests(
        folder=folder,
        to=to,
        expression=expression,
        devices=counts["devices"],
        native=counts["native"],
        ids=counts["told"],
        digest=digest(data),
        files=tuple(files),
        starts=tuple(starts),
        sums=tuple(sums),
        stops=tuple(accumulate(len(each) - 1 for each in starts)),
    )


def size(folder: Path) -> tuple[Vendor, int]:
    """The vendor of the requests in *folder*, and how many devices they mean, as its manifest says."""
    try:
        said = orjson.loads(_read(folder / MANIFEST))
        return vendor_record(said["vendor"]), int(said["devices"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{MANIFEST} is not what `audience emit` writes") from error


def means_somebody(folder: Path) -> bool:
    """Whether there are requests in *folder*, as its manifest says."""
    try:
        said = orjson.loads(_read(folder / MANIFEST))
        written = any(each["name"].startswith("requests-") for each in said["files"])
        return written or any(said[name] for name in ("native", "batches", "told"))
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{MANIFEST} is not what `audience emit` writes") from error


def read_message(file: Path) -> Message:
    """The message in *file*; MessageError for what is none, DeliveryError for what cannot be read."""
    try:
        said = json.loads(_read(file), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise MessageError(Problem("bad-json", f"{file} is no JSON: {error}")) from error
    return message(said)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError where a key stands twice, of which one would be passed over."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, many in Counter(key for key, _ in pairs).items() if many > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def message_json(said: Message) -> bytes:
    """*said* as it is kept in a run folder: read back, it is the same, numbers of any size included.

    Raises MessageError for what is no JSON.

    >>> message_json(Message(title="Hi", platforms=("ios",)))
    b'{"platforms":["ios"],"title":"Hi"}'
    """
    default = Message()
    told = {name: getattr(said, name) for name in (each.name for each in fields(Message))}
    kept = {name: value for name, value in told.items() if value != getattr(default, name)}
    try:
        text = json.dumps(kept, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageError(Problem("unwritable", f"cannot be written as JSON: {error}", path="$")) from error


def digest(data: bytes) -> str:
    """What stands for *data* in a ledger: nobody can find other data with the same."""
    return hashlib.sha256(data).hexdigest()


def _checked(file: Path, said: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the lines of *file* start, its size the last, and their checksums.

    Raises DeliveryError where it is not what the manifest *said*.
    """
    summed, starts, sums = summing(), [0], []
    try:
        with file.open("rb", buffering=PIECE) as stream:
            for line in stream:
                summed.update(line)
                starts.append(starts[-1] + len(line))
                sums.append(short_digest(line))
    except OSError as error:
        raise _damaged(file.parent, f"{file.name}: {error.strerror or error}") from error
    found = {"lines": len(sums), "bytes": starts[-1], "xxh128": summed.hexdigest()}
    wrong = [key for key, value in found.items() if said.get(key) != value]
    if wrong:
        raise _damaged(file.parent, f"{file.name} is not what was written: other {', '.join(wrong)}")
    return tuple(starts), tuple(sums)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        hint = "a folder that `audience emit` wrote" if file.name == MANIFEST else None
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}", hint=hint)) from error


def _damaged(folder: Path, message: str) -> AudienceError:
    return DeliveryError(Problem("damaged-plan", f"{folder}: {message}", hint="emit it again into another folder"))


def chunks(ids: list[str], size: int) -> list[list[str]]:
    """*ids*, *size* at a time."""
    return [ids[at : at + size] for at in range(0, len(ids), size)]
