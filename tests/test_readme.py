"""README and docs: the examples run and print what is shown, and the README's first two blocks are those of a newcomer.

`UPDATE_DOCS=1 pytest tests/test_readme.py` writes the output of the commands into the pages.
"""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
import typer

from audience.cli.typer_app import typer_app
from audience.testing.devices import generate_devices, generate_updates

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CODE_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
ELLIPSIS = "…"
OWN_TESTS = {"tutorial-warehouse"}  # test_warehouse_tutorial.py starts the servers that its commands need


def code_blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each code block of *page*."""
    return CODE_BLOCK.findall(page.read_text("utf-8"))


def test_readme_has_two_leading_shell_blocks():
    blocks = code_blocks(README)
    assert [kind for kind, _ in blocks[:2]] == ["sh", "sh"]
    assert [kind for kind, _ in blocks].count("sh") == 2
    assert "audience demo" in blocks[0][1]
    assert "pytest" in blocks[1][1]


def test_each_shell_block_is_self_contained():
    for _, block in code_blocks(README)[:2]:
        assert block.startswith("python3 -m venv .venv\n")


def test_readme_fits_on_a_few_screens():
    assert len(README.read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(block for kind, block in code_blocks(page) if kind == "python")
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, None, 0)
    failed, tried = doctest.DocTestRunner().run(examples)
    assert (failed, tried) == (0, len(examples.examples))


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    """A folder with the files that the commands of the pages read."""
    folder = tmp_path_factory.mktemp("tables")
    table = generate_devices(100_000)
    table.write_parquet(folder / "devices.parquet")
    generate_updates(table).write_parquet(folder / "changes.parquet")
    delivered = table.filter(pl.col("tags").list.contains("t000"))["registration_id"][:1_000]
    (folder / "delivered.txt").write_text("\n".join(delivered))
    table.select("registration_id").tail(50).write_csv(folder / "gone.csv")
    catalog = next(block for kind, block in code_blocks(ROOT / "docs" / "catalog.md") if kind == "toml")
    (folder / "catalog.toml").write_text(catalog, "utf-8")
    return folder


class Shell:
    """Run the commands of a page: those of *audience* in this process, a line that ends with & in the background."""

    def __init__(self, run_audience, monkeypatch):
        self.run_audience, self.monkeypatch = run_audience, monkeypatch
        self.background: list[subprocess.Popen[bytes]] = []

    def run(self, line: str) -> str:
        """Return what the command prints: standard output, or also standard error if the command failed."""
        line = re.sub(r"\$\(cat (\w+)\)", lambda match: Path(match[1]).read_text("utf-8").strip(), line)
        words = shlex.split(line)
        if words[-1] == "&":
            self.start(words[1:-1])
        elif words[0] == "export":
            for word in words[1:]:
                self.monkeypatch.setenv(*word.split("=", 1))
        elif words[0] == "audience":
            code, out, err = self.run_audience(*words[1:])
            return out if code == 0 else out + err
        elif words[0] == "curl":
            data = words[words.index("--data") + 1] if "--data" in words else None
            return httpx.request("POST" if data else "GET", words[-1], content=data).text
        else:
            environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            environment["PYTHONPATH"] = str(ROOT)
            return subprocess.run(line, shell=True, check=True, env=environment, capture_output=True, text=True).stdout
        return ""

    def start(self, arguments: list[str]) -> None:
        """Start a command of *audience* that writes a ready file, and wait for that file."""
        self.background.append(subprocess.Popen([sys.executable, "-m", "audience", *arguments]))
        ready_file = Path(arguments[arguments.index("--ready-file") + 1])
        for _ in range(600):
            if ready_file.exists():
                return
            time.sleep(0.05)
        raise TimeoutError(f"{arguments}: {ready_file} was not written")

    def stop(self) -> None:
        for process in self.background:
            process.terminate()
            process.wait()


@pytest.fixture
def shell(audience, tables, tmp_path, monkeypatch) -> Iterator[Shell]:
    """A shell in a folder of its own, which has the tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")
    for file in tables.iterdir():
        shutil.copy(file, tmp_path)
    shell = Shell(audience, monkeypatch)
    yield shell
    shell.stop()


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in OWN_TESTS], ids=lambda page: page.stem)
def test_commands_print_shown_output(page, shell):
    def check_block(block: re.Match[str]) -> str:
        if block[1] != "console":
            return block[0]
        return COMMAND.sub(lambda match: check_command(shell, match[1], match[2]), block[0])

    if own_catalogs := [block for kind, block in code_blocks(page) if kind == "toml"]:
        Path("catalog.toml").write_text(own_catalogs[0], "utf-8")
    text = CODE_BLOCK.sub(check_block, page.read_text("utf-8"))
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(text, "utf-8")


def check_command(shell: Shell, command: str, shown: str) -> str:
    """Compare what *command* prints with what is *shown*, up to an ellipsis; return the command with its output."""
    printed = [line.rstrip() for line in shell.run(command).splitlines()]
    wanted = shown.rstrip("\n").splitlines()
    cut = ELLIPSIS in wanted
    wanted = wanted[: wanted.index(ELLIPSIS)] if cut else wanted
    if os.environ.get("UPDATE_DOCS"):
        shown_lines = [*printed[: len(wanted)], ELLIPSIS] if cut else printed if wanted else []
        return "\n".join([f"$ {command}", *shown_lines]) + "\n"
    assert printed[: len(wanted)] == wanted
    assert cut or not wanted or printed == wanted
    return f"$ {command}\n{shown}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_named_command_exists(page):
    named = re.findall(r"(?:\$ |bin/|`)audience ([a-z][\w-]*)(?: ([a-z][\w-]*))?", page.read_text("utf-8"))
    for verb, inner in named:
        assert verb in COMMANDS_BY_GROUP
        assert not COMMANDS_BY_GROUP[verb] or inner in COMMANDS_BY_GROUP[verb]


def command_names(group: typer.Typer) -> set[str]:
    """Return the names of the commands of *group*."""
    return {command.name for command in group.registered_commands}


COMMANDS_BY_GROUP = {name: set() for name in command_names(typer_app)} | {
    group.name: command_names(group.typer_instance) for group in typer_app.registered_groups
}
