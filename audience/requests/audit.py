"""Audit of a run: who did what with a request folder, a line each, in `audit.jsonl` of the folder.

A line has the time, the user, the command and its subject: the expression as it was written and as it was bound, the
number of devices, the policies, the schedule and the variants. Ids in expressions are counted, not listed. Lines are
appended and never changed, unless a person is forgotten whose id is the value of an attribute there.
"""

import errno
import os
import pwd
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from audience import __version__
from audience._fs.atomic import fsync_path
from audience._fs.private_files import open_to_append
from audience.errors import AudienceError, OutputError, Problem
from audience.language.ast import Expr, Ids, map_operands
from audience.language.parser import parse
from audience.language.printer import render

AUDIT_FILE = "audit.jsonl"
CALLER_VARIABLE = "AUDIENCE_CALLER"  # name of the key of whoever asked the service that has started this process
EMITTED_FACTS = ("vendor", "as_of", "timezone", "devices", "native", "id_count", "skipped_count", "removed")

_caller: ContextVar[str | None] = ContextVar("caller", default=None)


class acting_for:  # used as a function; a generator would cost each call of a service a microsecond
    """Let the lines that the body appends name the key of the *caller* of a service."""

    __slots__ = ("_former", "caller")

    def __init__(self, caller: str):
        self.caller = caller

    def __enter__(self) -> None:
        self._former: Token[str | None] = _caller.set(self.caller)

    def __exit__(self, *_: object) -> None:
        _caller.reset(self._former)


def current_caller() -> str | None:
    """Return the name of the key for whom this process acts, or None."""
    return _caller.get() or os.environ.get(CALLER_VARIABLE) or None


def append_audit(folder: Path, command: str, facts: Mapping[str, Any]) -> None:
    """Append a line about *command* to the audit of the request folder *folder*, durably.

    Raises:
        OutputError: It cannot be written.
    """
    with _wrap_os_errors(folder / AUDIT_FILE):
        _append_line(folder / AUDIT_FILE, command, facts)
        fsync_path(folder / AUDIT_FILE)


@contextmanager
def _wrap_os_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{file}: {error.strerror or error}")) from error


def _append_line(file: Path, command: str, facts: Mapping[str, Any]) -> None:
    """Append a line to the audit *file*. Raises OSError if it cannot be written, or not the whole of it."""
    who = {"user": _read_user(), "host": socket.gethostname(), "caller": current_caller(), "version": __version__}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": at, "command": command, **who, **facts}
    data = orjson.dumps({name: value for name, value in line.items() if value is not None}) + b"\n"
    handle = open_to_append(file)
    try:
        data = data if _ends_with_line(file) else b"\n" + data
        written = os.write(handle, data)
    finally:
        os.close(handle)
    if written < len(data):
        raise OSError(errno.ENOSPC, "the disk is full")


def _ends_with_line(file: Path) -> bool:
    """Return whether *file* is empty or ends with a whole line, and not with one that a full disk has cut."""
    with file.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
        return stream.read() in (b"", b"\n")


def audit_emission(folder: Path, manifest: Mapping[str, Any], written: Expr, bound: Expr) -> None:
    """Append who wrote the requests in the draft *folder*, and for which audience; it is synced with the folder."""
    parts = manifest.get("parts") or ()
    facts = {
        "expression": render_without_ids(written),
        "bound": render_without_ids(bound),
        **{name: manifest.get(name) for name in EMITTED_FACTS},
        "policies": [policy["name"] for policy in manifest["policies"]],
        "without_policies": list(manifest["without_policies"]),
        "schedule": manifest.get("schedule"),
        **{name: _list_values(parts, name) for name in ("variant", "language", "zone")},
    }
    with _wrap_os_errors(folder / AUDIT_FILE):
        _append_line(folder / AUDIT_FILE, "emit", facts)


def keep_audit(folder: Path, draft: Path) -> None:
    """Copy the audit of the *folder* that *draft* replaces: what was done before stays known."""
    if (folder / AUDIT_FILE).is_file():
        (draft / AUDIT_FILE).write_bytes((folder / AUDIT_FILE).read_bytes())


def describe_audience(folder: Path, expression: str) -> dict[str, Any]:
    """Return what the audit of *folder* has about its audience, or what can be read from its *expression*."""
    for line in reversed(read_audit(folder)):
        if line.get("command") == "emit":
            return {name: line.get(name) for name in ("expression", "bound", "as_of", "timezone", "policies")}
    with suppress(AudienceError):
        return {"expression": render_without_ids(parse(expression, folder=None))}
    return {}


def read_audit(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the audit of *folder* that can be read."""
    lines: list[dict[str, Any]] = []
    file = folder / AUDIT_FILE
    with suppress(OSError):
        for line in file.read_bytes().splitlines() if file.is_file() else ():
            with suppress(ValueError):
                lines.append(dict(orjson.loads(line)))
    return lines


def render_without_ids(expr: Expr) -> str:
    """Return the text of *expr* with the number of its ids in place of each list of ids.

    >>> render_without_ids(parse("male AND NOT alias(u1, u2)"))
    'male AND NOT alias("2 ids")'
    """
    return render(map_operands(expr, lambda atom: _count_ids(atom) if isinstance(atom, Ids) else atom))


def _count_ids(ids: Ids) -> Ids:
    names = ", ".join(f"@{file.path}" for file in ids.files)
    count = f"{len(ids.values):,} id{'s' if len(ids.values) > 1 else ''}"
    return replace(ids, values=(f"{count} with {names}" if names else count,), files=())


def _list_values(parts: Any, name: str) -> list[str] | None:
    """Return the distinct values that *parts* have for a name, or None if there are none."""
    return list(dict.fromkeys(part[name] for part in parts if part.get(name))) or None


def _read_user() -> str:
    """Return the login name of who runs this process: that of the terminal if there is one, also after `sudo`."""
    with suppress(OSError):
        return os.getlogin()
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())
