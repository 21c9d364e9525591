"""Finished calls of a job that processes share. They outlive the processes, so that the same job continues from them.

.NAME.0123456789abcdef.KIND/     beside the result NAME; the digits are the digest of the job
CALL.json                     record of a finished call: its result, and the checksums of the files that it has written
…                             these files, and whatever calls have left that were cut off
"""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from audience._fs.atomic import atomic_replaced_file, lock_output, reject_url
from audience._fs.checksums import hash128, new_hasher
from audience._fs.private_files import PRIVATE_FOLDER_MODE
from audience.cluster.cluster import Argument, Cluster, Result
from audience.cluster.versions import read_versions
from audience.errors import AudienceError, DamagedError, LostClusterError, OutputError, Problem
from audience.index.storage.checked_json import read_checked, serialize_checked

DIGEST_DIGITS = 16
READ_BYTES = 1 << 20
JOB_KINDS = ("draft", "events", "export", "requests")  # a draft is that of a build
JOB_FOLDER = re.compile(rf"\.(?P<name>.+)\.[0-9a-f]{{{DIGEST_DIGITS}}}\.(?:{'|'.join(JOB_KINDS)})", re.DOTALL)
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class ResultForm(Generic[Result]):
    """Form in which the results of a function are kept: functions of a module, as they are sent to other processes.

    Attributes:
        to_json: Returns the JSON data of a result.
        from_json: Returns the result of JSON data, whose files are in a folder.
        list_files: Returns the files that belong to a result.
    """

    to_json: Callable[[Result], Any]
    from_json: Callable[[Any, Path], Result]
    list_files: Callable[[Result], Sequence[Path]]


@dataclass(frozen=True, slots=True)
class _Call(Generic[Argument, Result]):
    """Call of a function, and the place of its record."""

    function: Callable[[Argument], Result]
    argument: Argument
    record: Path
    form: ResultForm[Result]


@dataclass(frozen=True, slots=True)
class KeptCalls:
    """Folder of the finished calls of one job; calls write their files there, under names of their own."""

    folder: Path

    def map(
        self,
        function: Callable[[Argument], Result],
        arguments: Mapping[str, Argument],
        form: ResultForm[Result],
        cluster: Cluster,
    ) -> Iterator[Result]:
        """Yield the result of *function* for each of *arguments*, as `Cluster.map` does, without finished calls.

        Args:
            function: Function, whose files are in the folder.
            arguments: Its arguments, by names of calls that are those of no other call of the job.
            form: Form of its results.
            cluster: Processes that make the calls.
        """
        calls = [_Call(function, each, self.folder / f"{name}.json", form) for name, each in arguments.items()]
        return cluster.map(_finish_call, calls)

    def keep(self, name: str, value: Kept) -> Kept:
        """Return the JSON value that was kept under *name* first; that is *value* if there was none."""
        record = self.folder / f"{name}.json"
        body = _read_record(record)
        if body is None:
            _write_record(record, {"value": value})
            return value
        kept: Kept = body["value"]
        return kept

    def make_folder(self, name: str) -> Path:
        """Return a new empty folder with this *name*; what it has from an earlier process is removed."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(PRIVATE_FOLDER_MODE)
        return folder


def digest_job(*facts: Any) -> str:
    """Return what names a job: facts that are the same only if all its calls have the same results.

    >>> digest_job("a", 1) == digest_job("a", 1), digest_job("a", 1) == digest_job("a", 2), len(digest_job())
    (True, False, 16)
    """
    return hash128(orjson.dumps([facts, read_versions()], default=_describe))[:DIGEST_DIGITS]


def _describe(fact: Any) -> str:
    return hash128(fact) if isinstance(fact, bytes) else str(fact)


def list_unfinished_jobs(folder: Path, result: str | None = None) -> list[Path]:
    """Return the folders in *folder* of jobs that are unfinished, also of those that are under way.

    Args:
        folder: Folder of the results.
        result: Name of the result that the jobs are of; None is any.
    """
    entries = [(JOB_FOLDER.fullmatch(entry.name), entry) for entry in folder.iterdir()]
    return sorted(entry for job, entry in entries if job and result in (None, job["name"]) and entry.is_dir())


def remove_unfinished_job(folder: Path) -> None:
    """Remove the folder of a lost job, which starts from its beginning the next time.

    Args:
        folder: Folder that `list_unfinished_jobs` has found.

    Raises:
        OutputError: The job is under way, or the folder cannot be removed.
        ValueError: The folder is not one of a job.
    """
    job = JOB_FOLDER.fullmatch(folder.name)
    if job is None:
        raise ValueError(f"{folder} is not the folder of a job")
    with lock_output(folder.absolute().with_name(job["name"])):
        shutil.rmtree(folder)


def open_job_folder(result: Path, digest: str, kind: str) -> Path:
    """Return the folder of the job *digest* of *result*; those of other jobs of it and this *kind* are removed.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = result.absolute().with_name(f".{result.name}.{digest}.{kind}")
    try:
        for other in list_unfinished_jobs(folder.parent, result.name):
            if other.suffix == f".{kind}" and other != folder:
                shutil.rmtree(other, ignore_errors=True)
        folder.mkdir(PRIVATE_FOLDER_MODE, exist_ok=True)
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{folder}: {error.strerror or error}")) from error
    return folder


@contextmanager
def open_kept_calls(path: Path, digest: str, kind: str) -> Iterator[KeptCalls]:
    """Yield the calls of the job *digest*, whose result is *path*; the caller has a lock of it.

    Calls of other jobs of this *kind* are removed. At the end all are, but if the cluster or this process is lost: then
    the job goes on when it is started again.

    Args:
        path: Result of the job.
        digest: Digest of the job.
        kind: Kind of the job, one word.

    Raises:
        OutputError: The folder cannot be written.
    """
    reject_url(path)
    folder = open_job_folder(path, digest, kind)
    try:
        yield KeptCalls(folder)
    except LostClusterError:
        raise
    except AudienceError:  # the job is at fault, and would be again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _finish_call(call: _Call[Argument, Result]) -> Result:
    """Return the result of a finished call, or make the call and record it after its files are written."""
    folder = call.record.parent
    body = _read_record(call.record)
    if body is not None and all(_digest_file(folder / name) == digest for name, digest in body["files"]):
        return call.form.from_json(body["result"], folder)
    result = call.function(call.argument)
    files = [(str(file.relative_to(folder)), _digest_file(file)) for file in call.form.list_files(result)]
    _write_record(call.record, {"files": files, "result": call.form.to_json(result)})
    return result


def _read_record(record: Path) -> dict[str, Any] | None:
    """Return the content of a record; None if there is none, or if any byte of it is not what was written."""
    try:
        return read_checked(record.read_bytes(), "call", str(record))
    except (FileNotFoundError, DamagedError):
        return None


def _write_record(record: Path, body: dict[str, Any]) -> None:
    with atomic_replaced_file(record) as draft:
        draft.write_bytes(serialize_checked("call", body))


def _digest_file(path: Path) -> str | None:
    """Return the checksum of a file; None if it is not there."""
    hasher = new_hasher()
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                hasher.update(piece)
    except FileNotFoundError:
        return None
    return hasher.hexdigest()
