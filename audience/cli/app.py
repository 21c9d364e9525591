"""Entry point of the command line: run one command, print its errors, choose the exit code."""

import os
import sys
from typing import Annotated, NoReturn

import typer

from audience import __version__
from audience.cli import registry
from audience.cli.interrupts import INTERRUPTED_EXIT_CODE
from audience.cli.output.writer import Output
from audience.cli.streams import flush_output, make_streams_safe
from audience.errors import AudienceError, DamagedError, LedgerError, LockedError, Problem, ProofError

HELP = "Build an index of devices, query audiences, translate them for push vendors, and send."
EPILOG = (
    "Results go to standard output; errors, warnings and progress go to standard error.\n\n"
    "Exit codes: 0 done; 1 failed or incomplete; 2 bad input; 130 interrupted."
)
COMPLETION_VARIABLE = "_AUDIENCE_COMPLETE"  # set by the shell that completes a command line
FAILURES = (ProofError, DamagedError, LockedError, LedgerError)  # exit code 1: the input is not at fault


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; an expected error is printed without a traceback.

    Args:
        arguments: The command and its arguments, `sys.argv[1:]` by default.
    """
    words = sys.argv[1:] if arguments is None else arguments
    output = Output.from_arguments(words)
    make_streams_safe()
    if COMPLETION_VARIABLE in os.environ:
        register_shells()
    try:
        code = _run_command(words, output)
    except AudienceError as error:
        output.print_errors(error.problems)
        code = 1 if isinstance(error, FAILURES) else 2
    except OSError as error:  # standard output: the reader is gone, or the disk is full
        code = 1
        if not isinstance(error, BrokenPipeError):
            file = f"{error.filename}: " if error.filename else ""
            output.print_errors([Problem("cannot-write", f"{file}{error.strerror or error}")])
    if code == INTERRUPTED_EXIT_CODE:
        output.print_errors([Problem("interrupted", "stopped before it was done")])
    sys.exit(code if flush_output() else 1)


def _run_command(arguments: list[str], output: Output) -> int:
    """Run the command and return its exit code; usage errors are JSON if *output* is."""
    try:
        return typer_app(arguments, standalone_mode=not output.as_json, obj=output) or 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    except typer.TyperException as error:
        output.print_errors([Problem("usage", error.format_message(), hint="run the command with --help")])
        return error.exit_code


def register_shells() -> None:
    """Register the shells whose completion typer knows, which it does by itself only for its own options."""
    from typer.completion import completion_init  # no other command needs it

    completion_init()


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"audience {__version__}\n")
        raise typer.Exit


def global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options before the command."""


typer_app = registry.build_app(global_options, HELP, EPILOG)
