"""The README: its examples run, and its first two blocks are the ones a newcomer needs."""

import doctest
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
import typer

from audience.cli.app import app
from audience.testing.devices import changes, devices

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_two_shell_blocks_come_first_and_there_are_no_others():
    assert [kind for kind, _ in BLOCKS[:2]] == ["sh", "sh"]
    assert [kind for kind, _ in BLOCKS].count("sh") == 2
    assert "audience demo" in BLOCKS[0][1]
    assert "pytest" in BLOCKS[1][1]


def test_each_shell_block_does_all_of_its_own_set_up():
    for _, block in BLOCKS[:2]:
        assert block.startswith("python3 -m venv .venv\n")


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(text for kind, text in BLOCKS if kind == "python"), {}, "README", None, 0
    )
    failed, tried = doctest.DocTestRunner().run(examples)
    assert (failed, tried > 5) == (0, True)


@pytest.fixture
def tables(audience, tmp_path, monkeypatch) -> None:
    """A folder with the tables that the README's commands are given."""
    monkeypatch.chdir(tmp_path)
    table = devices(100_000)
    table.write_parquet("devices.parquet")
    changes(table).write_parquet("changes.parquet")
    Path("told.txt").write_text(
        "\n".join(table.filter(pl.col("tags").list.contains("t000"))["registration_id"][:1_000])
    )
    table.select("registration_id").tail(50).write_csv("gone.csv")


def test_the_commands_run_and_print_what_is_shown(audience, tables):
    for command, shown in commands():
        code, out, err = audience(*shlex.split(command))
        assert code == 0, err
        wanted, more, _ = shown.partition("…\n")
        lines = [line.rstrip() for line in out.splitlines()]
        wanted = wanted.splitlines()
        assert lines[: len(wanted)] == wanted
        assert more or not wanted or lines == wanted


def commands() -> list[tuple[str, str]]:
    """Each command of the console blocks, and what it is shown to print."""
    text = "".join(block for kind, block in BLOCKS if kind == "console")
    return re.findall(r"^\$ audience (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def test_every_command_in_the_readme_is_there():
    named = re.findall(r"(?:\$ |bin/|`)audience ([a-z]\w*)(?: ([a-z]\w*))?", README)
    for verb, inner in named:
        assert verb in KNOWN
        assert not KNOWN[verb] or inner in KNOWN[verb]


def names(group: typer.Typer) -> set[str]:
    """What the commands of *group* are called."""
    return {command.name for command in group.registered_commands}


KNOWN = {name: set() for name in names(app)} | {each.name: names(each.typer_instance) for each in app.registered_groups}
