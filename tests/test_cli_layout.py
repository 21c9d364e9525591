"""Layout of help screens and tables on a terminal of 80 columns, with Latin and Chinese text."""

import inspect
from typing import Any

import polars as pl
import pytest
import typer

from audience import DeviceIndex
from audience.cli import registry
from audience.cli.output.widgets import format_table, format_wrapped_table
from audience.cli.typer_app import typer_app
from audience.span import display_width
from audience.vendors import vendor_names

WIDTH = 80
COMMANDS = [
    *([name] for commands in registry.COMMAND_PANELS.values() for name in commands),
    *([group, name] for group, (_, commands) in registry.COMMAND_GROUPS.items() for name in commands),
]
GROUPS = [[], *([group] for group in registry.COMMAND_GROUPS)]
CHINESE_EXPR = "会员 AND (省份:广东 OR 省份:湖南) AND NOT 城市:呼和浩特经济技术开发区金川工业园区"


@pytest.fixture
def narrow(audience, monkeypatch):
    """Run a command on a terminal of 80 columns and return its output, after a check of every line."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))

    def run(*words: str) -> str:
        code, out, _ = audience(*words)
        assert code == 0
        assert [line for line in out.splitlines() if display_width(line) > WIDTH] == []
        return out

    return run


@pytest.mark.parametrize("words", [*GROUPS, *COMMANDS], ids=" ".join)
def test_help_fits_80_columns(words, narrow):
    out = narrow(*words, "--help")
    assert "Usage: " in out
    assert "<bool>" not in out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_json_option_and_option_help(words):
    command: Any = typer.main.get_command(typer_app)
    for word in words:
        command = command.commands[word]
    loaded = command.make_context(words[-1], [], resilient_parsing=True).command
    assert "--json" in {name for parameter in loaded.params for name in parameter.opts}
    for parameter in loaded.params:
        assert parameter.help.endswith("."), parameter.name
        assert parameter.help[0].isupper() or parameter.name == "fault", parameter.name


def test_error_codes_fit_80_columns(narrow):
    for name in vendor_names(can="send"):
        assert narrow("error-codes", name).startswith("code")


@pytest.mark.parametrize(
    "words",
    [["vendors"], ["translate", "--to", "all", "会员 AND NOT 城市:呼和浩特经济技术开发区"]],
    ids=["vendors", "all"],
)
def test_wrapped_tables_fit_80_columns(words, narrow):
    out = narrow(*words)
    assert all(name in out for name in vendor_names(can="emit"))


@pytest.fixture
def chinese(narrow, tmp_path) -> str:
    """Return the folder of an index whose attributes, values and tags are Chinese."""
    cities = ["呼和浩特经济技术开发区金川工业园区", "乌鲁木齐经济技术开发区维泰南路一号", "杭州", "西双版纳傣族自治州"]
    table = pl.DataFrame(
        {
            "registration_id": [f"r{number}" for number in range(40)],
            "省份": ["广东", "湖南", "新疆维吾尔自治区", "内蒙古自治区"] * 10,
            "城市": cities * 10,
            "tags": [["会员", "经常购买婴幼儿奶粉的老用户"], ["会员"]] * 20,
        }
    )
    folder = tmp_path / "index"
    DeviceIndex.build(table, folder).save_segment("华南地区经常购买婴幼儿奶粉的老用户", CHINESE_EXPR)
    return str(folder)


@pytest.mark.parametrize(
    "words",
    [["explain", "INDEX", CHINESE_EXPR, "--vendors"], ["segment", "list", "INDEX"], ["index", "history", "INDEX"]],
    ids=["explain", "segments", "history"],
)
def test_chinese_tables_fit_80_columns(words, narrow, chinese):
    out = narrow(*(chinese if word == "INDEX" else word for word in words))
    assert len(out.splitlines()) > 2


def test_chinese_attribute_table_fits_80_columns(audience, chinese, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    table = audience("index", "info", chinese)[1].partition("\n\n")[2]
    assert "呼和浩特" in table
    assert max(map(display_width, table.splitlines())) <= WIDTH


def test_table_aligns_wide_characters(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    table = format_table(("城市", "devices"), [("呼和浩特", "1,200"), ("杭州", "7")], right_aligned=(1,))
    assert table.splitlines() == ["城市      devices", "呼和浩特    1,200", "杭州            7"]


def test_wrapped_table_breaks_long_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    table = format_wrapped_table(("a", "b"), [(["x" * 32], ["内蒙古自治区" * 2])], (1, 1))
    assert max(map(display_width, table.splitlines())) <= 20
    assert table.replace("\n", "").count("x") == 32


def test_table_is_not_wrapped_in_a_pipe(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert len(format_table(("a",), [("x" * 500,)]).splitlines()) == 2


def test_command_functions_take_output_first():
    for commands in [*registry.COMMAND_PANELS.values(), *(group for _, group in registry.COMMAND_GROUPS.values())]:
        for path in commands.values():
            assert next(iter(inspect.signature(registry.load_function(path)).parameters)) == "output", path
