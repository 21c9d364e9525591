"""What a terminal shows: tables, and a progress bar when something takes longer than a second."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from threading import Timer

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from audience.errors import OutputError, Problem
from audience.index.explain import Line

PATIENCE = 1.0  # seconds
MEMORY = 300.0  # seconds back that the rate is taken from
WIDE = 4_000  # columns off a terminal, where nothing is cut
PAGE = 120  # columns of a table whose cells are wrapped, where there is no terminal


def open_streams() -> None:
    """Make output possible on any terminal: what it cannot show is escaped, a closed stream swallows what it gets."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flushed() -> bool:
    """Whether all output has reached its reader; what has not is given up."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        return False
    return True


def read_input(instead: str) -> str:
    """Standard input, whole; OutputError where there is none, or it is no text; *instead* is what to do then."""
    if sys.stdin is None:
        raise OutputError(Problem("no-input", "standard input is closed", hint=instead))
    try:
        return sys.stdin.read()
    except (OSError, UnicodeError) as error:
        raise OutputError(Problem("unreadable", f"standard input is no text in UTF-8: {error}")) from error


class Rate(ProgressColumn):
    """How many are done each second, once that is known."""

    def render(self, task: Task) -> Text:
        """One cell of the bar."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows a step and how many are done of how many, 0 for unknown, and how long that will take.

    Nothing is shown off a terminal, or before PATIENCE is over.
    """
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Rate(), TimeRemainingColumn()
    progress = Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True, speed_estimate_period=MEMORY
    )
    timer = Timer(PATIENCE, progress.start)
    if sys.stderr.isatty():
        timer.start()
    try:
        yield partial(_show, progress)
    finally:
        timer.cancel()
        if progress.live.is_started:
            progress.stop()


def _show(progress: Progress, step: str, done: int, total: int) -> None:
    """Show how far the *step* is; another one takes the place of that before it, for it has another rate."""
    for task in progress.tasks:
        if task.description == step:
            progress.update(task.id, completed=done, total=total or None)
            return
        progress.remove_task(task.id)
    progress.add_task(step, completed=done, total=total or None)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (2,)) -> None:
    """Print *rows* under *titles*; the columns *right* are numbers."""
    grid = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for place in right:
        grid.columns[place].justify = "right"
    for row in rows:
        grid.add_row(*map(_shown, row))
    console = Console(width=None if sys.stdout.isatty() else WIDE, markup=False, emoji=False)
    console.print(grid)


def wrapped_table(
    titles: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], shares: Sequence[int], *, gap: bool = True
) -> None:
    """Print *rows*, each cell of several lines, wrapped to the terminal, with a *gap* between rows or without.

    *shares* is how wide each column may be.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for title, share in zip(titles, shares, strict=True):
        grid.add_column(title, ratio=share, overflow="fold")
    for number, row in enumerate(rows):
        if number and gap:
            grid.add_row()
        grid.add_row(*("\n".join(map(_shown, cell)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else PAGE, markup=False, emoji=False, highlight=False)
    console.print(grid)


def counts_table(lines: Sequence[Line], devices: int) -> None:
    """Print the tree with the count and the share of every node, and what an AND leaves step by step."""
    rows = [
        ("  " * line.depth + line.text, f"{line.devices:,}", share(line.devices, devices), _left(line))
        for line in lines
    ]
    table(("expression", "devices", "share", "left"), rows, right=(1, 2, 3))


def _shown(text: str) -> str:
    """*text* on one line, without what would steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _left(line: Line) -> str:
    return "" if line.left is None else f"{line.left:,}"
