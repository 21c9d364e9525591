"""Help screens that are drawn without typer are those that typer draws."""

import pytest
import typer.rich_utils

from audience.cli import registry
from audience.cli.output.help_screens import print_help
from audience.cli.output.writer import Output
from audience.cli.typer_app import run_typer

GROUPS = [[], *([group] for group in registry.COMMAND_GROUPS)]
COMMANDS = [[name] for panel in registry.COMMAND_PANELS.values() for name in panel]
COMMANDS += [[group, name] for group, (_, names) in registry.COMMAND_GROUPS.items() for name in names]
DRAWN_BY_TYPER = [["demo"], ["sandbox"]]  # a command that takes typer's context, an option that is a variable


@pytest.fixture
def draw(capsys, monkeypatch):
    """Draw a screen for a terminal, without typer and with it."""
    for variable in ("FORCE_COLOR", "GITHUB_ACTIONS", "NO_COLOR", "PY_COLORS", "TERMINAL_WIDTH"):
        monkeypatch.delenv(variable, raising=False)

    def draw_twice(words: list[str], columns: int, has_colors: bool) -> tuple[str, str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setattr(typer.rich_utils, "FORCE_TERMINAL", True if has_colors else None)
        if has_colors:
            monkeypatch.setenv("PY_COLORS", "1")
        assert print_help(words)
        drawn = capsys.readouterr().out
        assert run_typer([*words, "--help"], Output()) == 0
        return drawn, capsys.readouterr().out

    return draw_twice


@pytest.mark.parametrize("has_colors", [False, True])
@pytest.mark.parametrize("columns", [80, 97, 200])
@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_screen_is_that_of_typer(words, columns, has_colors, draw):
    drawn, expected = draw(words, columns, has_colors)
    assert drawn == expected
    assert ("\x1b[" in drawn) == has_colors


@pytest.mark.parametrize("words", [each for each in COMMANDS if each not in DRAWN_BY_TYPER], ids=" ".join)
def test_screen_of_a_command_is_that_of_typer(words, draw):
    drawn, expected = draw(words, 80 if len(words) == 1 else 130, True)
    assert drawn == expected


@pytest.mark.parametrize("words", [*DRAWN_BY_TYPER, ["nobody"], ["index", "index"], ["count", "x"], ["--json"]])
def test_other_words_are_left_to_typer(words):
    assert not print_help(words)


@pytest.mark.parametrize(("name", "value"), [("COLUMNS", "60"), ("TYPER_USE_RICH", "0"), ("TERMINAL_WIDTH", "90")])
def test_other_screens_are_left_to_typer(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert not print_help([])
