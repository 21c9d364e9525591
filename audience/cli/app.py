"""Entry point of the command line: run one command, print its errors, choose the exit code."""

import sys
from typing import NoReturn

from audience import __version__
from audience.cli import registry
from audience.cli.garbage import resume_collection
from audience.cli.interrupts import INTERRUPTED_EXIT_CODE, restore_sigint
from audience.cli.output.writer import Output
from audience.cli.project_file.defaults import ConfiguredLine, add_defaults
from audience.cli.quick_parser import read_call
from audience.cli.streams import flush_output, make_streams_safe
from audience.errors import AudienceError, DamagedError, LedgerError, LockedError, LostClusterError, Problem, ProofError

FAILURES = (
    ProofError,
    DamagedError,
    LockedError,
    LedgerError,
    LostClusterError,
)  # exit code 1: the input is not at fault


def run(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; an expected error is printed without a traceback.

    Args:
        arguments: The command and its arguments, `sys.argv[1:]` by default.
    """
    words = _spell_out_help(sys.argv[1:] if arguments is None else arguments)
    output = Output.from_arguments(words)
    make_streams_safe()
    line = ConfiguredLine(words)
    try:
        line = add_defaults(words)
        code = run_command(line.words, output)
    except AudienceError as error:
        output.print_errors(error.problems)
        code = 1 if isinstance(error, FAILURES) else 2
    except OSError as error:  # standard output: the reader is gone, or the disk is full
        code = 1
        if not isinstance(error, BrokenPipeError):
            file = f"{error.filename}: " if error.filename else ""
            output.print_errors([Problem("cannot-write", f"{file}{error.strerror or error}")])
    if code and line.note is not None:
        output.print_notes([line.note])
    if code == INTERRUPTED_EXIT_CODE:
        output.print_errors([Problem("interrupted", "stopped before it was done", hint=_hint_at_rest(words))])
    sys.exit(code if flush_output() else 1)


def _hint_at_rest(words: list[str]) -> str | None:
    """Return how to go on with a send that was interrupted; all other commands are given again."""
    if words[:1] in (["send"], ["resume"]) or words[:2] == ["run", "wait"]:
        return "run `audience status FOLDER` to see what was sent, and `audience resume FOLDER` to send the rest"
    return None


def _spell_out_help(words: list[str]) -> list[str]:
    """Return *words* with `--help` for a last `-h`, which nothing else begins with."""
    return [*words[:-1], "--help"] if words[-1:] == ["-h"] and "--" not in words else words


def run_command(words: list[str], output: Output) -> int:
    """Run the command and return its exit code; typer takes what nothing quicker does."""
    call = read_call(words)
    if call is None:
        return 0 if _print_help(words) else _run_typer(words, output)
    restore_sigint()
    resume_collection()
    try:
        registry.call_command(call.function, output, call.values)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    return 0


def _print_help(words: list[str]) -> bool:
    """Print the version, or a help screen that lists commands, if *words* ask for that. Return whether they do."""
    if words == ["--version"]:
        sys.stdout.write(f"audience {__version__}\n")
        return True
    if words[-1:] != ["--help"]:
        return False
    from audience.cli.output.help_screens import print_help  # imports rich

    return print_help(words[:-1])


def _run_typer(words: list[str], output: Output) -> int:
    from audience.cli.typer_app import run_typer  # loads slowly

    return run_typer(words, output)
