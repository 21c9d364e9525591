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
STYLES = {"option": "bold cyan", "switch": "bold green", "usage": "yellow", "types": "bold yellow", "types_sep": "dim"}


class Highlighter(RegexHighlighter):
    """Highlighter of the names of options."""

    highlights = [  # noqa: RUF012 # as rich declares it
        r"(^|\W)(?P<switch>\-\w+)(?![a-zA-Z0-9])",
        r"(^|\W)(?P<option>\-\-[\w\-]+)(?![a-zA-Z0-9])",
        r"(?P<types>\<[^\>]+\>)",
        r"(?P<usage>Usage: )",
    ]


class TypesHighlighter(RegexHighlighter):
    """Highlighter of what is around the name of a type."""

    highlights = [r"^(?P<types_sep>(\[|<))", r"(?P<types_sep>\|)", r"(?P<types_sep>(\]|>))(\.\.\.)?$"]  # noqa: RUF012


HIGHLIGHT, HIGHLIGHT_TYPES = Highlighter(), TypesHighlighter()


@dataclass(frozen=True, slots=True)
class Filling:
    """Cell that fills the room that is left: it reports no width of its own to rich."""

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
        from audience.cli.output.command_help import print_command_help  # draws more of rich

        return print_command_help(words)
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
    console = open_console()
    print_usage(console, f"{group} [OPTIONS] COMMAND [ARGS]...")
    console.print(Padding(HIGHLIGHT(summary), (0, 1, 1, 1)))
    console.print(frame("Options", _tabulate_options(options)))
    width = max(len(name) for commands in panels.values() for name in commands)
    for title, commands in panels.items():
        console.print(frame(title, _tabulate_commands(commands, width)))
    if epilog is not None:
        console.print(Padding(HIGHLIGHT(epilog), 1))
    console.print()


def open_console() -> Console:
    """Return the console of help screens."""
    has_colors = any(map(os.environ.get, COLOR_VARIABLES))
    return Console(theme=Theme(STYLES), highlighter=HIGHLIGHT, force_terminal=True if has_colors else None)


def print_usage(console: Console, words: str) -> None:
    """Print how the program is called with *words* after its name."""
    console.print(Padding(HIGHLIGHT(f"Usage: {find_program_name()}{words}"), 1), style="bold")


def frame(title: str, table: Table) -> Panel:
    """Return a table in a frame with a title."""
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
