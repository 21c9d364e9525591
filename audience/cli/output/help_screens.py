"""Help screens that list commands, drawn as typer draws them, without typer.

typer imports renderers of Markdown and of tracebacks first. Where the environment asks it to draw otherwise, and on a
narrow terminal, on which it folds the usage line, the screen is left to it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from rich.console import Console
from rich.highlighter import RegexHighlighter
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from audience.cli import registry

MIN_COLUMNS = 80
OTHER_SCREENS = {"TERMINAL_WIDTH", "TYPER_USE_RICH", "_TYPER_FORCE_DISABLE_TERMINAL", "_AUDIENCE_COMPLETE"}
COLOR_VARIABLES = "GITHUB_ACTIONS", "PY_COLORS"  # colors also where standard output is not a terminal
VERSION_OPTION = {"--version": "Print the version and exit."}
HELP_OPTION = {"--help": "Show this message and exit."}
STYLES = {"option": "bold cyan", "switch": "bold green", "usage": "yellow"}


class Highlighter(RegexHighlighter):
    """Highlighter of the names of options."""

    highlights = [  # noqa: RUF012 # as rich declares it
        r"(^|\W)(?P<switch>\-\w+)(?![a-zA-Z0-9])",
        r"(^|\W)(?P<option>\-\-[\w\-]+)(?![a-zA-Z0-9])",
        r"(?P<usage>Usage: )",
    ]


HIGHLIGHT = Highlighter()


@dataclass(frozen=True, slots=True)
class Filling:
    """Cell that is as wide as there is room: rich knows no other width of it."""

    text: Text

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Text]:
        yield self.text


def print_help(words: list[str]) -> bool:
    """Print the screen of the command line, or of the group that *words* name. Return whether it was printed."""
    if get_terminal_size().columns < MIN_COLUMNS or not OTHER_SCREENS.isdisjoint(os.environ):
        return False
    if not words:
        panels = {panel or "Commands": _read_summaries(paths) for panel, paths in registry.COMMAND_PANELS.items()}
        panels["Commands"] |= {name: summary for name, (summary, _) in registry.COMMAND_GROUPS.items()}
        _draw("", registry.HELP, VERSION_OPTION | HELP_OPTION, panels, registry.EPILOG)
        return True
    if len(words) > 1 or words[0] not in registry.COMMAND_GROUPS:
        return False
    summary, paths = registry.COMMAND_GROUPS[words[0]]
    _draw(f" {words[0]}", summary, HELP_OPTION, {"Commands": _read_summaries(paths)})
    return True


def _read_summaries(paths: Mapping[str, str]) -> dict[str, str]:
    """Return the summary of each command by name."""
    return {name: registry.read_summary(path) for name, path in paths.items()}


def _draw(
    group: str,
    summary: str,
    options: Mapping[str, str],
    panels: Mapping[str, Mapping[str, str]],
    epilog: str | None = None,
) -> None:
    """Draw a screen as `typer.rich_utils.rich_format_help` does."""
    has_colors = any(map(os.environ.get, COLOR_VARIABLES))
    console = Console(theme=Theme(STYLES), highlighter=HIGHLIGHT, force_terminal=True if has_colors else None)
    usage = HIGHLIGHT(f"Usage: {find_program_name()}{group} [OPTIONS] COMMAND [ARGS]...")
    console.print(Padding(usage, 1), style="bold")
    console.print(Padding(HIGHLIGHT(summary), (0, 1, 1, 1)))
    console.print(_frame("Options", _tabulate_options(options)))
    width = max(len(name) for commands in panels.values() for name in commands)
    for title, commands in panels.items():
        console.print(_frame(title, _tabulate_commands(commands, width)))
    if epilog is not None:
        console.print(Padding(HIGHLIGHT(epilog), 1))
    console.print()


def _frame(title: str, table: Table) -> Panel:
    return Panel(table, border_style="dim", title=title, title_align="left")


def _tabulate_options(options: Mapping[str, str]) -> Table:
    """Return the options, with the empty columns for short names, negations and types."""
    table = Table(highlight=True, show_header=False, expand=True, box=None, pad_edge=False)
    for name, summary in options.items():
        table.add_row(HIGHLIGHT(name), "", "", "", "", Filling(HIGHLIGHT(summary)))
    return table


def _tabulate_commands(commands: Mapping[str, str], width: int) -> Table:
    table = Table(highlight=False, show_header=False, expand=True, box=None, pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True, width=width)
    table.add_column(ratio=10)
    for name, summary in commands.items():
        table.add_row(name, HIGHLIGHT(summary))
    return table


def find_program_name() -> str:
    """Return how the program was called: `audience`, or `python -m audience`."""
    package, file = getattr(sys.modules["__main__"], "__package__", None), Path(sys.argv[0])
    if not package:
        return file.name
    return f"python -m {package}" if file.stem == "__main__" else f"python -m {package}.{file.stem}"
