"""Legal, and yet hardly what was meant."""

import pytest

from audience import parse
from audience.cli.app import run
from audience.planning.catalog.check import check
from audience.planning.catalog.loader import loads
from audience.planning.linter import lint

CATALOG = check(loads("[province]\nvalues = ['a', 'b']\nexclusive = true\nexhaustive = true"))

ODD = {
    "a AND NOT a": "always-nobody",
    "(a OR b) AND NOT a AND NOT b": "always-nobody",
    "a OR NOT (a AND b)": "always-everyone",
    "a OR (a AND b)": "idle-branch",
    "a AND (a OR b)": "idle-branch",
    "(a AND b) OR (NOT a AND c) OR (b AND c)": "idle-branch",
    "province:a AND province:b": "always-nobody",
    "province:a OR province:b": "always-everyone",
    "province:a AND NOT province:b": "idle-branch",
    "province:c": "not-in-catalog",
    "provnce:a": "not-in-catalog",
}


@pytest.mark.parametrize(("text", "code"), ODD.items())
def test_what_is_odd_is_told(text, code):
    assert code in {problem.code for problem in lint(parse(text), catalog=CATALOG)}


@pytest.mark.parametrize(
    "text", ["a", "nobody", "everyone", "a AND NOT b", "(a OR b) AND (c OR d)", "province:a AND x"]
)
def test_what_is_not_odd_is_left_alone(text):
    assert lint(parse(text), catalog=CATALOG) == []


def test_an_index_tells_of_tags_that_no_device_has_and_of_too_many_devices(index):
    assert [problem.code for problem in lint(parse("mael"), index)] == ["no-device"]
    assert [problem.code for problem in lint(parse("male"), index, limit=0.5)] == ["too-many"]
    assert lint(parse("male"), index, limit=0.9) == []


def test_the_command_exits_with_1_where_something_is_odd(index, capsys):
    for words, code, told in (
        (["lint", "a AND NOT a"], 1, "always-nobody"),
        (["lint", "male", str(index.folder), "--limit", "50%"], 1, "too-many"),
        (["lint", "male", str(index.folder), "--limit", "0.9"], 0, "nothing odd"),
        (["lint", "male", "--limit", "much"], 2, "bad-option"),
    ):
        with pytest.raises(SystemExit) as ended:
            run(words)
        out, err = capsys.readouterr()
        assert ended.value.code == code
        assert told in out + err
