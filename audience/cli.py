"""Who should get the push: build an index of devices, count and explain audiences, say them in vendors' words.

Results go to standard output, problems and progress to standard error. Exit code 0 is done, 1 could not, 2 bad input,
130 interrupted.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from polars import DataFrame

from audience import __version__
from audience import demo as demonstration
from audience.commands import ask, build, campaign, catalog, change, codes, deliver, keep, sandbox, segment, send
from audience.commands.options import Json
from audience.errors import AudienceError, DamagedError, LedgerError, LockedError, Problem, ProofError
from audience.report import tell
from audience.sandbox import Population, Sandbox
from audience.screen import flushed, open_streams

INTERRUPTED = 130  # what a shell makes of Ctrl-C


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


def demo(
    devices: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many to generate.")] = 100_000,
    json: Json = False,
) -> None:
    """Build an index from generated devices and walk through all of it."""
    command = typer.main.get_command(app)
    demonstration.walk(lambda words: command(words, standalone_mode=False), _sandbox, _say, devices, json)


@contextmanager
def _sandbox(table: DataFrame) -> Iterator[str]:
    """The URL of vendors that know the devices of *table*."""
    with Sandbox(Population(table)) as running:
        yield running.url


def _version(asked: bool) -> None:
    if asked:
        _say(f"audience {__version__}")
        raise typer.Exit


def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a command."""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _group(help_text: str | None, *commands: Callable[..., Any]) -> typer.Typer:
    """Commands, each named after its function."""
    group = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
    return group


index_app = _group(
    "Build an index of devices, look at it, change it, keep it.",
    build.build,
    build.info,
    build.check,
    change.update,
    change.tag,
    change.remove,
    keep.compact,
    keep.history,
    keep.restore,
    keep.backup,
    keep.vacuum,
)
segment_app = _group("Expressions that an index has saved.", segment.save, segment.list_, segment.show, segment.drop)
catalog_app = _group("What vendors call attributes, and what is known of them.", catalog.check, catalog.init)
app = _group(None, demo)
app.callback(help=(__doc__ or "").partition("\n")[0])(about)
for panel, commands in {
    "Who is meant": (ask.count, ask.explain, ask.parse, ask.lint),
    "In vendors' words": (send.translate, send.vendors, campaign.plan, send.emit, campaign.campaign),
    "Sending": (deliver.send, deliver.resume, deliver.status, deliver.cancel, codes.codes, sandbox.sandbox),
}.items():
    for each in commands:
        app.command(each.__name__, rich_help_panel=panel)(each)
app.add_typer(index_app, name="index")
app.add_typer(segment_app, name="segment")
app.add_typer(catalog_app, name="catalog")
