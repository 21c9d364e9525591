"""Who should get the push: build an index of devices, count and explain audiences, say them in vendors' words.

Results go to standard output, problems and progress to standard error. Exit code 0 is done, 1 could not, 2 bad input,
130 interrupted.
"""

import sys
from typing import Annotated, NoReturn

import typer

from audience import __version__
from audience.cli import registry
from audience.cli.interrupts import INTERRUPTED
from audience.cli.output.report import tell
from audience.cli.streams import flushed, open_streams
from audience.errors import AudienceError, DamagedError, LedgerError, LockedError, Problem, ProofError


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error is told in words, never as a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    json = "--json" in words
    open_streams()
    try:
        code = _ran(words, json)
    except AudienceError as error:
        tell(error.problems, json)
        code = 1 if isinstance(error, ProofError | DamagedError | LockedError | LedgerError) else 2
    except OSError as error:  # of our own output: the reader has gone, or the disk is full
        code = 1
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else ""
            tell([Problem("cannot-write", f"{place}{error.strerror or error}")], json)
    if code == INTERRUPTED:
        tell([Problem("interrupted", "stopped before it was done")], json)
    sys.exit(code if flushed() else 1)


def _ran(words: list[str], json: bool) -> int:
    """Run the command; its exit code. Misuse of the command line is told as JSON where that is wanted."""
    try:
        return app(words, standalone_mode=not json) or 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except typer.TyperException as error:
        tell([Problem("usage", error.format_message(), hint="--help tells what there is")], json)
        return error.exit_code


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"audience {__version__}\n")
        raise typer.Exit


def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a command."""


app = registry.app(about, (__doc__ or "").partition("\n")[0])
