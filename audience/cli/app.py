"""Who should get the push: build an index of devices, count and explain audiences, say them in vendors' words.

Results go to standard output, problems and progress to standard error. Exit code 0 is done, 1 could not, 2 bad input,
130 interrupted.
"""

import sys
from typing import Annotated, NoReturn

import typer

from audience import __version__
from audience.cli import registry
from audience.cli.interrupts import INTERRUPTED_EXIT_CODE
from audience.cli.output.report import print_errors
from audience.cli.streams import flush_output, make_streams_safe
from audience.errors import AudienceError, DamagedError, LedgerError, LockedError, Problem, ProofError


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every error is told in words, never as a traceback."""
    words = sys.argv[1:] if arguments is None else arguments
    json = "--json" in words
    make_streams_safe()
    try:
        code = _run_command(words, json)
    except AudienceError as error:
        print_errors(error.problems, json)
        code = 1 if isinstance(error, ProofError | DamagedError | LockedError | LedgerError) else 2
    except OSError as error:  # of our own output: the reader has gone, or the disk is full
        code = 1
        if not isinstance(error, BrokenPipeError):
            place = f"{error.filename}: " if error.filename else ""
            print_errors([Problem("cannot-write", f"{place}{error.strerror or error}")], json)
    if code == INTERRUPTED_EXIT_CODE:
        print_errors([Problem("interrupted", "stopped before it was done")], json)
    sys.exit(code if flush_output() else 1)


def _run_command(arguments: list[str], json: bool) -> int:
    """Run the command; its exit code. Misuse of the command line is told as JSON where that is wanted."""
    try:
        return typer_app(arguments, standalone_mode=not json) or 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except typer.TyperException as error:
        print_errors([Problem("usage", error.format_message(), hint="--help tells what there is")], json)
        return error.exit_code


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"audience {__version__}\n")
        raise typer.Exit


def global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a command."""


typer_app = registry.build_app(global_options, (__doc__ or "").partition("\n")[0])
