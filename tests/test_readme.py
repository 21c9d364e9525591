"""The README: its examples run, and its first two blocks are the ones a newcomer needs."""

import doctest
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
import typer

from audience.cli.app import typer_app
from audience.testing.devices import generate_devices, generate_updates

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
CODE_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_readme_has_two_leading_shell_blocks():
    assert [kind for kind, _ in CODE_BLOCKS[:2]] == ["sh", "sh"]
    assert [kind for kind, _ in CODE_BLOCKS].count("sh") == 2
    assert "audience demo" in CODE_BLOCKS[0][1]
    assert "pytest" in CODE_BLOCKS[1][1]


def test_each_shell_block_is_self_contained():
    for _, block in CODE_BLOCKS[:2]:
        assert block.startswith("python3 -m venv .venv\n")


def test_readme_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(text for kind, text in CODE_BLOCKS if kind == "python"), {}, "README", None, 0
    )
    failed, tried = doctest.DocTestRunner().run(examples)
    assert (failed, tried > 5) == (0, True)


@pytest.fixture
def tables(audience, tmp_path, monkeypatch) -> None:
    """A folder with the tables that the README's commands are given."""
    monkeypatch.chdir(tmp_path)
    table = generate_devices(100_000)
    table.write_parquet("devices.parquet")
    generate_updates(table).write_parquet("changes.parquet")
    Path("told.txt").write_text(
        "\n".join(table.filter(pl.col("tags").list.contains("t000"))["registration_id"][:1_000])
    )
    table.select("registration_id").tail(50).write_csv("gone.csv")


def test_readme_commands_print_shown_output(audience, tables):
    for command, shown in readme_commands():
        code, out, err = audience(*shlex.split(command))
        assert code == 0, err
        wanted, more, _ = shown.partition("…\n")
        lines = [line.rstrip() for line in out.splitlines()]
        wanted = wanted.splitlines()
        assert lines[: len(wanted)] == wanted
        assert more or not wanted or lines == wanted


def readme_commands() -> list[tuple[str, str]]:
    """Each command of the console blocks, and what it is shown to print."""
    text = "".join(block for kind, block in CODE_BLOCKS if kind == "console")
    return re.findall(r"^\$ audience (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def test_every_readme_command_exists():
    named = re.findall(r"(?:\$ |bin/|`)audience ([a-z][\w-]*)(?: ([a-z][\w-]*))?", README)
    for verb, inner in named:
        assert verb in COMMANDS_BY_GROUP
        assert not COMMANDS_BY_GROUP[verb] or inner in COMMANDS_BY_GROUP[verb]


def command_names(group: typer.Typer) -> set[str]:
    """What the commands of *group* are called."""
    return {command.name for command in group.registered_commands}


COMMANDS_BY_GROUP = {name: set() for name in command_names(typer_app)} | {
    each.name: command_names(each.typer_instance) for each in typer_app.registered_groups
}
