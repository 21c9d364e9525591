"""Processes that send: `audience send` and `audience resume`, apart from the service, which may end before them.

service.log     what the service was asked to do with the folder, each followed by the output of the process
service.lock    locked while such a process lives
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO

import orjson

from audience._fs.locks import is_locked, try_lock_for_child
from audience._fs.private_files import open_to_append
from audience.errors import Problem
from audience.requests.audit import CALLER_VARIABLE
from audience.server.problems import HttpError

LOG_FILE, LOCK_FILE = "service.log", "service.lock"
MAX_LOG_BYTES = 1 << 20  # of the end of the log, that are read


@dataclass(frozen=True, slots=True)
class Action:
    """Action on a run that the service was asked for.

    Attributes:
        name: `send` or `resume`.
        at: When, in UTC.
        by: Who.
        problems: Why it failed.
    """

    name: str
    at: str
    by: str
    problems: tuple[Problem, ...] = ()


@contextmanager
def hold_run(folder: Path) -> Iterator[int]:
    """Hold the lock of the run in *folder* and yield its descriptor, which a process may inherit.

    Raises:
        HttpError: Another call or process has it.
    """
    lock = try_lock_for_child(folder / LOCK_FILE)
    if lock is None:
        hint = "wait until it ends, or cancel the run"
        raise HttpError(409, Problem("busy", f"a process sends {folder.name} already", hint=hint))
    try:
        yield lock
    finally:
        os.close(lock)


def start_process(name: str, arguments: Sequence[str], folder: Path, by: str, lock: int) -> None:
    """Start `audience NAME FOLDER` with *arguments*, in a session of its own.

    Args:
        name: `send` or `resume`.
        arguments: Options.
        folder: Folder of the run.
        by: Who starts it.
        lock: Descriptor of the lock of the run, which the process keeps.
    """
    with _open_log(folder) as log:
        log.write(orjson.dumps({"action": name, "at": _now(), "by": by}) + b"\n")
        log.flush()
        command = [sys.executable, "-P", "-m", "audience", name, *arguments, "--json", "--", str(folder.absolute())]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            start_new_session=True,
            env={**os.environ, CALLER_VARIABLE: by},
        )
    Thread(target=process.wait, name=f"wait-{folder.name}", daemon=True).start()  # so that no zombie is left


def has_process(folder: Path) -> bool:
    """Return whether a process that the service has started is at work in *folder*."""
    return is_locked(folder / LOCK_FILE)


def read_last_action(folder: Path) -> Action | None:
    """Return what the service was last asked to do with the run in *folder*, and why that failed."""
    action: Action | None = None
    for line in _read_log_lines(folder):
        match _parse_line(line):
            case {"action": str(name), "at": str(at), "by": str(by)}:
                action = Action(name, at, by)
            case {"errors": list(errors)} if action is not None:
                action = Action(action.name, action.at, action.by, tuple(map(_read_problem, errors)))
    return action


def _open_log(folder: Path) -> BinaryIO:
    """Open the log to write at its end; only its owner may read it."""
    return os.fdopen(open_to_append(folder / LOG_FILE), "ab")


def _read_log_lines(folder: Path) -> list[bytes]:
    try:
        with (folder / LOG_FILE).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - MAX_LOG_BYTES))
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


def _parse_line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return None


def _read_problem(fields: Any) -> Problem:
    return Problem(str(fields.get("code")), str(fields.get("message")), hint=fields.get("hint"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
