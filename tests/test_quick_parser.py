"""The quick parser of plain command lines reads what typer reads, or leaves the line to typer."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_start import command_paths

from audience.cli import quick_parser, registry
from audience.cli.declarations import Option
from audience.cli.output.writer import Output
from audience.cli.typer_app import run_typer

COMMANDS = {
    path: words
    for words in (
        *([name] for commands in registry.COMMAND_PANELS.values() for name in commands),
        *([group, name] for group, (_, commands) in registry.COMMAND_GROUPS.items() for name in commands),
    )
    for path, _ in [registry.find_command(words) or ("", [])]
}
OF_TYPER = {"demo:run_demo", "segment_apply:run_segment_apply"}  # they take typer's context, or ask with typer
WORDS = ["a", "x y", "a=b", "-", "--", "-o", "7", "0", "all", "tests", ".", "", "=", "@f", "--no-such", "-x", "会员"]
READ_QUICKLY = [  # a command line of each kind that must not wait for typer
    "count devices.index male",
    "count devices.index male --json",
    "count --as-of=2026-11-28T09:00+08:00 devices.index male --timezone Asia/Shanghai",
    "parse male --tree",
    "translate male --to tpns",
    "translate --from tpns --to=fcm -",
    "explain devices.index male --vendor tpns",
    "plan devices.index male --vendor tpns",
    "index info devices.index",
    "segment show devices.index vip",
]
LEFT_TO_TYPER = [
    *("", "count", "count --help", "count devices.index", "cuont a b", "count a b c", "count a b --as-of"),
    *("count a -- b", "count a b --json=1", "count a b --json --json", "count a b --as-of -x", "index"),
    *("index count a b", "demo", "segment apply a b", "plan a b --vendor tpns --max-requests 2", "status folder"),
]


def read_with_typer(words: list[str]) -> tuple[dict | None, int]:
    """Return the values that typer calls a command with, None if it does not, and the exit code."""
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "call_command", lambda function, output, values: called.append(values))
        patch.setattr(sys, "stdout", None)
        code = run_typer(words, Output(as_json=True))
    return (called[0] if called else None), code


@pytest.mark.parametrize("path", sorted({*command_paths()} - OF_TYPER))
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_quick_parser_reads_what_typer_reads(path, data):
    parameters = registry.read_parameters(registry.load_function(path))
    names = [name for each in parameters for name in each.annotation.__metadata__[0].names if name.startswith("-")]
    word = st.sampled_from([*WORDS, *names]) | st.builds("{}={}".format, st.sampled_from(names), st.sampled_from(WORDS))
    arguments = [each for each in parameters if not isinstance(each.annotation.__metadata__[0], Option)]
    plain = st.lists(st.sampled_from(["a", "x y", "."]), min_size=len(arguments), max_size=len(arguments))
    words = [*COMMANDS[path], *data.draw(plain), *data.draw(st.lists(word, max_size=4))]
    call = quick_parser.read_call(words)
    if call is not None:
        assert read_with_typer(words) == (call.values, 0)


@pytest.mark.parametrize("line", READ_QUICKLY)
def test_plain_command_lines_are_read_quickly(line):
    assert quick_parser.read_call(line.split()) is not None


@pytest.mark.parametrize("line", LEFT_TO_TYPER)
def test_other_command_lines_are_left_to_typer(line):
    assert quick_parser.read_call(line.split()) is None
