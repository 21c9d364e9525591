"""Lint reports expressions that are valid, but probably not meant."""

import pytest

from audience import parse
from audience.cli.app import run
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.linter import lint

CATALOG = validate_catalog(parse_catalog("[province]\nvalues = ['a', 'b']\nexclusive = true\nexhaustive = true"))

FINDINGS_BY_EXPR = {
    "a AND NOT a": "always-nobody",
    "(a OR b) AND NOT a AND NOT b": "always-nobody",
    "a OR NOT (a AND b)": "always-everyone",
    "a OR (a AND b)": "redundant-branch",
    "a AND (a OR b)": "redundant-branch",
    "(a AND b) OR (NOT a AND c) OR (b AND c)": "redundant-branch",
    "province:a AND province:b": "always-nobody",
    "province:a OR province:b": "always-everyone",
    "province:a AND NOT province:b": "redundant-branch",
    "province:c": "not-in-catalog",
    "provnce:a": "not-in-catalog",
}


@pytest.mark.parametrize(("text", "code"), FINDINGS_BY_EXPR.items())
def test_suspicious_expressions_are_reported(text, code):
    assert code in {problem.code for problem in lint(parse(text), catalog=CATALOG)}


@pytest.mark.parametrize(
    "text", ["a", "nobody", "everyone", "a AND NOT b", "(a OR b) AND (c OR d)", "province:a AND x"]
)
def test_ordinary_expressions_have_no_findings(text):
    assert lint(parse(text), catalog=CATALOG) == []


def test_lint_with_index_reports_unused_tags_and_large_audiences(index):
    assert [problem.code for problem in lint(parse("mael"), index)] == ["no-device"]
    assert [problem.code for problem in lint(parse("male"), index, limit=0.5)] == ["too-many"]
    assert lint(parse("male"), index, limit=0.9) == []


def test_lint_command_exits_with_1_on_findings(index, capsys):
    for words, code, message in (
        (["lint", "a AND NOT a"], 1, "always-nobody"),
        (["lint", "male", str(index.folder), "--limit", "50%"], 1, "too-many"),
        (["lint", "male", str(index.folder), "--limit", "0.9"], 0, "no problems found"),
        (["lint", "male", "--limit", "much"], 2, "bad-option"),
    ):
        with pytest.raises(SystemExit) as ended:
            run(words)
        out, err = capsys.readouterr()
        assert ended.value.code == code
        assert message in out + err
