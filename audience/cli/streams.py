"""Standard input and output of the process."""

import os
import shutil
import sys
from io import RawIOBase, TextIOWrapper
from pathlib import Path
from typing import Any

from audience.errors import OutputError, Problem


def make_streams_safe() -> None:
    """Escape characters that the terminal cannot encode, and discard what is written to a closed stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> bool:
    """Flush standard output; return False and discard the remaining output if the reader is gone."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        return False
    return True


class CountedStdout(RawIOBase):
    """Standard output as a file of bytes that knows how many were written to it."""

    def __init__(self) -> None:
        self._count = 0

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, data: Any) -> int:
        """Write bytes."""
        sys.stdout.buffer.write(data)
        self._count += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._count


def find_width() -> int | None:
    """Return the columns of the terminal, or what COLUMNS says; None if standard output is no terminal."""
    has_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if has_width else None


def read_stdin(hint: str) -> str:
    """Read all of standard input as text.

    Args:
        hint: Advice for the error if standard input is closed.

    Raises:
        OutputError: Standard input is closed, or it is not valid UTF-8.
    """
    if sys.stdin is None:
        raise OutputError(Problem("no-input", "standard input is closed", hint=hint))
    try:
        return sys.stdin.read()
    except (OSError, UnicodeError) as error:
        raise OutputError(Problem("unreadable", f"standard input is not valid UTF-8: {error}")) from error
