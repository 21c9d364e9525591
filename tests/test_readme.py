"""The README: its examples run, and its first two blocks are the ones a newcomer needs."""

import doctest
import re
from pathlib import Path

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


def test_every_command_in_the_readme_is_there():
    from audience.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands} | {"index", "catalog"}
    named = set(re.findall(r"(?:\$ |bin/|`)audience ([a-z]\w*)", README))
    assert named <= commands
