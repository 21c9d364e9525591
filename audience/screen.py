"""What a terminal shows: tables, and a progress bar when something takes longer than a second."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from audience.index.explain import Line

PATIENCE = 1.0  # seconds


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function that shows a step and how far it is; nothing is shown off a terminal, or before PATIENCE is over."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    task = progress.add_task("", total=None)
    timer = Timer(PATIENCE, progress.start)
    if sys.stderr.isatty():
        timer.start()
    try:
        yield lambda step, done, total: progress.update(task, description=step, completed=done, total=total)
    finally:
        timer.cancel()
        if progress.live.is_started:
            progress.stop()


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (2,)) -> None:
    """Print *rows* under *titles*; the columns *right* are numbers."""
    grid = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for place in right:
        grid.columns[place].justify = "right"
    for row in rows:
        grid.add_row(*row)
    console = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200, markup=False)
    console.print(grid)


def counts_table(lines: Sequence[Line], devices: int) -> None:
    """Print the tree with the count and the share of every node, and what an AND leaves step by step."""
    rows = [
        ("  " * line.depth + line.text, f"{line.devices:,}", share(line.devices, devices), _left(line))
        for line in lines
    ]
    table(("expression", "devices", "share", "left"), rows, right=(1, 2, 3))


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _left(line: Line) -> str:
    return "" if line.left is None else f"{line.left:,}"
