"""Log of what commands and the service do, in JSON lines that hold nothing about any person.

A line has an event and the fields that `EVENTS` lists for it: names, numbers and codes. No id, key, text of a message,
part of an expression or text of a vendor can get into it, because there is no field for them.

The lines go to Python's logger `audience.activity`, at the level INFO. A program that uses the library decides with
`logging` what becomes of them; the commands write them to the file of `--log`.
"""

import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from audience._fs.private_files import open_to_append
from audience.errors import OutputError, Problem

Field: TypeAlias = str | int | float | None

BATCH_FIELDS = ("run", "vendor", "batch", "ids")
TAG_CALL_FIELDS = ("sync", "vendor", "tag_call")
EVENTS: Mapping[str, tuple[str, ...]] = {
    "command-started": (),
    "command-ended": ("exit_code", "code", "seconds"),
    "requests-written": ("vendor", "devices", "native", "batches", "ids", "skipped", "parts"),
    "run-created": ("run", "vendor", "method", "native", "ids", "left_out"),
    "run-scheduled": ("run", "vendor", "next_at", "batches"),
    "run-stopped": ("run", "vendor", "code", "vendor_code"),
    "run-cancelled": ("run", "vendor", "unsent"),
    "run-withdrawn": ("run", "vendor", "calls", "failed"),
    "worker-started": ("run", "vendor", "worker"),
    "worker-ended": ("run", "vendor", "worker", "pending"),
    "batch-sent": BATCH_FIELDS,
    "batch-accepted": (*BATCH_FIELDS, "invalid"),
    "batch-rejected": (*BATCH_FIELDS, "invalid", "code", "vendor_code"),
    "batch-in-doubt": (*BATCH_FIELDS, "code", "vendor_code"),
    "batch-retry": (*BATCH_FIELDS, "code", "vendor_code", "seconds"),
    "rate-limit-wait": ("run", "vendor", "batch", "seconds"),
    "sync-started": ("sync", "vendor", "calls"),
    "sync-ended": ("sync", "vendor", "pending"),
    "sync-stopped": ("sync", "vendor", "code", "vendor_code"),
    "sync-cancelled": ("sync", "vendor"),
    "tag-call-sent": (*TAG_CALL_FIELDS, "ids"),
    "tag-call-failed": (*TAG_CALL_FIELDS, "code", "vendor_code"),
    "tag-call-rejected": (*TAG_CALL_FIELDS, "code", "vendor_code"),
    "tag-call-done": (*TAG_CALL_FIELDS, "unknown"),
    "call": ("method", "path", "status", "ms", "key", "bytes"),
}
"""Events by name, each with its fields. A field that does not apply is left out."""

logger = logging.getLogger("audience.activity")


def log_activity(event: str, **fields: Field) -> None:
    """Log an event of `EVENTS` with its fields."""
    if not logger.isEnabledFor(logging.INFO):
        return
    unknown = fields.keys() - EVENTS[event]
    if unknown:
        raise ValueError(f"{event} has no field {min(unknown)}")
    logger.info(event, extra={name: value for name, value in fields.items() if value is not None})


@contextmanager
def write_activity_log(path: Path, command: str, on_failure: Callable[[Problem], None]) -> Iterator[None]:
    """Append what is logged in the body to the file *path*, a JSON object a line.

    A new file is private. One that is moved away in the meantime, as logrotate does it, is created again.

    Args:
        path: The file.
        command: Name of the command, which every line has.
        on_failure: Called once if a line cannot be written, which stops nothing.

    Raises:
        OutputError: The file cannot be opened.
    """
    level = logger.level
    handler = open_activity_log(path, command, on_failure)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        with suppress(OSError):  # a lost line was reported
            handler.close()


def open_activity_log(path: Path, command: str, on_failure: Callable[[Problem], None]) -> logging.Handler:
    """Append what is logged to the file *path* from now on, as `write_activity_log` does."""
    from logging.handlers import WatchedFileHandler  # only a log needs these two

    from pythonjsonlogger.orjson import OrjsonFormatter

    class PrivateFileHandler(WatchedFileHandler):
        """Handler of a private file, which reports the first line that it cannot write."""

        has_failed = False

        def _open(self) -> io.TextIOWrapper:
            return _open_text(Path(self.baseFilename))

        def emit(self, record: logging.LogRecord) -> None:
            try:
                super().emit(record)
            except OSError:  # while a file that was moved away is created again
                self.handleError(record)

        def handleError(self, record: logging.LogRecord) -> None:
            if not self.has_failed:
                self.has_failed = True
                on_failure(Problem("log-lost", f"{path}: lines of the log cannot be written; the command goes on"))

    try:
        handler = PrivateFileHandler(path, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(Problem("cannot-write", f"{path}: {getattr(error, 'strerror', None) or error}")) from error
    names = {"message": "event", "levelname": "level", "process": "pid"}
    handler.setFormatter(
        OrjsonFormatter(["message", "levelname", "process"], rename_fields=names, timestamp="at",
                        static_fields={"command": command})
    )  # fmt: skip
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return handler


def _open_text(path: Path) -> io.TextIOWrapper:
    return os.fdopen(open_to_append(path.resolve()), "a", encoding="utf-8")
