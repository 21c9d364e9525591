"""What a terminal shows: tables, and a progress bar when something takes longer than a second."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
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

PROGRESS_DELAY_SECONDS = 1.0  # seconds
RATE_WINDOW_SECONDS = 300.0  # seconds back that the rate is taken from
UNWRAPPED_WIDTH_COLUMNS = 4_000  # columns off a terminal, where nothing is cut
WRAPPED_WIDTH_COLUMNS = 120  # columns of a table whose cells are wrapped, where there is no terminal


class RateColumn(ProgressColumn):
    """How many are done each second, once that is known."""

    def render(self, task: Task) -> Text:
        """One cell of the bar."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows a step and how many are done of how many, 0 for unknown, and how long that will take.

    Nothing is shown off a terminal, or before PATIENCE is over.
    """
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), RateColumn(), TimeRemainingColumn()
    progress = Progress(
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=RATE_WINDOW_SECONDS,
    )
    timer = Timer(PROGRESS_DELAY_SECONDS, progress.start)
    if sys.stderr.isatty():
        timer.start()
    try:
        yield partial(_update_progress, progress)
    finally:
        timer.cancel()
        if progress.live.is_started:
            progress.stop()


def _update_progress(progress: Progress, step: str, done: int, total: int) -> None:
    """Show how far the *step* is; another one takes the place of that before it, for it has another rate."""
    for task in progress.tasks:
        if task.description == step:
            progress.update(task.id, completed=done, total=total or None)
            return
        progress.remove_task(task.id)
    progress.add_task(step, completed=done, total=total or None)


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right_aligned: Sequence[int] = (2,)) -> None:
    """Print *rows* under *titles*; the columns *right* are numbers."""
    grid = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for place in right_aligned:
        grid.columns[place].justify = "right"
    for row in rows:
        grid.add_row(*map(_escape_unprintable, row))
    console = Console(width=None if sys.stdout.isatty() else UNWRAPPED_WIDTH_COLUMNS, markup=False, emoji=False)
    console.print(grid)


def print_wrapped_table(
    titles: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], width_ratios: Sequence[int], *, gap: bool = True
) -> None:
    """Print *rows*, each cell of several lines, wrapped to the terminal, with a *gap* between rows or without.

    *shares* is how wide each column may be.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for title, share in zip(titles, width_ratios, strict=True):
        grid.add_column(title, ratio=share, overflow="fold")
    for number, row in enumerate(rows):
        if number and gap:
            grid.add_row()
        grid.add_row(*("\n".join(map(_escape_unprintable, cell)) for cell in row))
    console = Console(
        width=None if sys.stdout.isatty() else WRAPPED_WIDTH_COLUMNS, markup=False, emoji=False, highlight=False
    )
    console.print(grid)


def _escape_unprintable(text: str) -> str:
    """*text* on one line, without what would steer the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
