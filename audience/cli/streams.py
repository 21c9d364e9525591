"""Standard input, output and error, as commands use them."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from audience.errors import OutputError, Problem


def make_streams_safe() -> None:
    """Make output possible on any terminal: what it cannot show is escaped, a closed stream swallows what it gets."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> bool:
    """Whether all output has reached its reader; what has not is given up."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        return False
    return True


def read_stdin(hint: str) -> str:
    """Standard input, whole; OutputError where there is none, or it is no text; *instead* is what to do then."""
    if sys.stdin is None:
        raise OutputError(Problem("no-input", "standard input is closed", hint=hint))
    try:
        return sys.stdin.read()
    except (OSError, UnicodeError) as error:
        raise OutputError(Problem("unreadable", f"standard input is no text in UTF-8: {error}")) from error
