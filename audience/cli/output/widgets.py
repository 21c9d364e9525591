"""Tables and the progress bar of a terminal."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from threading import Timer

from rich.cells import cell_len
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

PROGRESS_DELAY_SECONDS = 1.0
RATE_WINDOW_SECONDS = 300.0
# Widths where standard output is not a terminal and COLUMNS is not set.
TABLE_WIDTH_COLUMNS = 4_000  # wide enough that no line is wrapped
WRAPPED_TABLE_WIDTH_COLUMNS = 120
MAX_UNBROKEN_COLUMNS = 15  # names of vendors, dates


class RateColumn(ProgressColumn):
    """Rate of a task, in steps per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or nothing before it is known."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a callback that shows a step, how many items are done, and their total, or 0 if it is unknown.

    The bar appears on a terminal only, after PROGRESS_DELAY_SECONDS.
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
    """Update the task of *step*; a new step replaces the one before it, as it has another rate."""
    for task in progress.tasks:
        if task.description == step:
            progress.update(task.id, completed=done, total=total or None)
            return
        progress.remove_task(task.id)
    progress.add_task(step, completed=done, total=total or None)


def format_table(titles: Sequence[str], rows: Sequence[Sequence[str]], right_aligned: Sequence[int] = ()) -> str:
    """Return a table whose cells have one line each; long cells wrap at the width of the terminal.

    Args:
        titles: Column titles.
        rows: Cells, row by row.
        right_aligned: Positions of the columns of numbers, which are never wrapped.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, title in enumerate(titles):
        is_number = position in right_aligned
        table.add_column(title, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        table.add_row(*map(_escape_unprintable, row))
    return _render(table, TABLE_WIDTH_COLUMNS)


def format_wrapped_table(
    titles: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], width_ratios: Sequence[int], *, gap: bool = True
) -> str:
    """Return a table whose cells have several lines, each wrapped unless the column is narrow.

    Args:
        titles: Column titles.
        rows: Cells, row by row, each a sequence of lines.
        width_ratios: Relative widths of the columns that wrap.
        gap: Whether to separate rows by an empty line.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for position, (title, ratio) in enumerate(zip(titles, width_ratios, strict=True)):
        if all(cell_len(line) <= MAX_UNBROKEN_COLUMNS for line in (title, *chain(*(row[position] for row in rows)))):
            table.add_column(title, no_wrap=True)
        else:
            table.add_column(title, ratio=ratio, overflow="fold")
    for number, row in enumerate(rows):
        if number and gap:
            table.add_row()
        table.add_row(*("\n".join(map(_escape_unprintable, cell)) for cell in row))
    return _render(table, WRAPPED_TABLE_WIDTH_COLUMNS)


def _render(table: Table, default_width: int) -> str:
    """Return *table* as text, as wide as the terminal or COLUMNS, else *default_width*."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal() else default_width
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _escape_unprintable(text: str) -> str:
    """Return *text* on one line, without characters that control the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
