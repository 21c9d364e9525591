"""Lint reports expressions that are valid, but probably not meant."""

import shlex
import shutil
import subprocess
from decimal import Decimal

import orjson
import polars as pl
import pytest
import yaml
from fact_files import TESTS_FOLDER
from hypothesis import given
from hypothesis import strategies as st

from audience import Compare, DeviceIndex, ExpressionError, Nobody, all_of, parse, simplify
from audience.cli.app import run
from audience.index.query.empty_ranges import find_empty_ranges
from audience.language.ast import COMPARE_OPS
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.linter import lint
from audience.testing.oracle import OracleDevice, is_inside

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
    "age < 10 AND age > 20": "empty-range",
    "age > 10 AND vip AND age <= 10": "empty-range",
    "vip OR NOT (age < 20 OR NOT age < 10)": "empty-range",
    "active within 3 days of 2020-04-08 AND active > 20200408": "empty-range",
    "version > 1.2.10 AND version < 1.2.9": "empty-range",
    "province:c": "not-in-catalog",
    "provnce:a": "not-in-catalog",
    "provnce > 3": "not-in-catalog",
    "(provnce:a AND x) limit 5 seed s": "not-in-catalog",
    "age between 25 and 18": "empty-range",
    "signup from today to 7 days ago": "empty-range",
    "(vip AND age between 25 and 18) limit 5 seed s": "empty-range",
    'city matches "Rome"': "plain-pattern",
    "18 <= age": "turned-comparison",
    "2026-11-28 > signup": "turned-comparison",
    "at least 2 of (a, b, a)": "repeated-term",
    "expires within 7 days of 2206-11-28": "far-future",
    "expires within next 99 years": "far-future",
    "signup < 2062-01-01": "far-future",
    "province:a EXCEPT province:b": "redundant-branch",
    "(a OR b) EXCEPT (c AND NOT c)": "redundant-branch",
    "a EXCEPT a": "always-nobody",
    "(a AND NOT a) limit 5 seed s": "always-nobody",
    "(a AND NOT a) top 5 by age": "always-nobody",
    "did(buy) AND did(buy) = 0": "always-nobody",
    "did(buy) >= 3 within 7 days AND NOT did(buy) within 30 days": "always-nobody",
    "did(buy) <= 2 OR did(buy) >= 1": "always-everyone",
    "did(buy) >= 3 AND did(buy)": "redundant-branch",
    "did(buy) within 7 days OR did(buy) within 30 days": "redundant-branch",
    "last(buy) within 7 days AND did(buy)": "redundant-branch",
    "did(buy) from today to 7 days ago": "empty-window",
    "vip OR (last(buy) from 2026-11-11 to 2026-11-01 limit 5 seed s)": "empty-window",
    "NOT did(buy) within next 7 days of tomorrow": "future-window",
    "did(buy) after now + 5 minutes": "future-window",
    "did(buy where shop:a AND shop:b)": "empty-where",
    "did(buy where gift OR NOT gift)": "empty-where",
    "did(buy where amount > 20 AND amount < 10)": "empty-range",
    'did(buy where city matches "Rome")': "plain-pattern",
    "sum(buy.amount where day > 2206-11-28) > 5": "far-future",
}


@pytest.mark.parametrize(("text", "code"), FINDINGS_BY_EXPR.items())
def test_suspicious_expressions_are_reported(text, code):
    assert code in {problem.code for problem in lint(parse(text), catalog=CATALOG)}


@pytest.mark.parametrize(
    "text",
    [
        *("a", "nobody", "everyone", "a AND NOT b", "(a OR b) AND (c OR d)", "province:a AND x", "x EXCEPT y"),
        *("did(buy) >= 3 within 30 days AND NOT did(open) within 14 days", "NOT last(open) within 30 days"),
        "did(buy where amount between 10 AND 20 AND shop in (a, b)) = 0 OR sum(buy.amount) > 100 on today",
    ],
)
def test_ordinary_expressions_have_no_findings(text):
    assert lint(parse(text), catalog=CATALOG) == []


def test_lint_with_index_reports_unused_tags_and_large_audiences(index):
    assert [problem.code for problem in lint(parse("mael"), index)] == ["no-device"]
    assert [problem.code for problem in lint(parse("male"), index, limit=0.5)] == ["too-many"]
    assert lint(parse("male"), index, limit=0.9) == []


def test_attribute_of_the_index_need_not_be_in_the_catalog(index):
    other = parse_catalog("[spend]\norder = 'number'")
    known = next(name for name in index.attributes if name != "tag")
    value = index.attributes[known].values[0]
    assert lint(parse(f'"{known}":"{value}"'), index, other) == []
    assert [problem.code for problem in lint(parse(f'"{known}":"{value}"'), catalog=other)] == ["not-in-catalog"]


def test_limit_that_is_not_reached_is_reported(index):
    assert [problem.code for problem in lint(parse("male limit 10000 seed x"), index)] == ["limit-not-reached"]
    assert lint(parse("male limit 1 seed x"), index) == []


def test_lint_asks_as_of_a_moment():
    assert lint(parse("signup after today"), as_of="2026-11-28T12:00", timezone="Asia/Shanghai") == []
    codes = [problem.code for problem in lint(parse("signup after 2030-01-01"), as_of="2001-11-28T12:00")]
    assert codes == ["far-future"]


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


NUMBERS = [Decimal(number) for number in ("-1", "0", "0.5", "1", "10")]
conditions = st.builds(Compare, st.just("age"), st.sampled_from(COMPARE_OPS), st.sampled_from(NUMBERS).map(str))


@given(st.lists(conditions, min_size=2, max_size=4, unique=True))
def test_range_is_reported_exactly_if_no_number_is_in_it(terms):
    candidates = [number + step for number in NUMBERS for step in (Decimal("-0.1"), 0, Decimal("0.1"))]
    devices = [OracleDevice(ages=(number,)) for number in candidates]
    is_empty = not any(all(is_inside(term, device) for term in terms) for device in devices)
    problems = list(find_empty_ranges(all_of(terms), {"age": "number"}, frozenset()))
    simplified = simplify(all_of(terms))
    assert (problems != []) == (is_empty and simplified != Nobody())


def test_range_of_several_values_is_not_reported(tmp_path):
    table = pl.DataFrame({"registration_id": ["r1", "r2"], "size": [[5, 25], [7]], "age": [5, 25]})
    index = DeviceIndex.build(table, tmp_path / "index")
    assert index.find_unmatched(parse("size < 10 AND size > 20")) == []
    assert [problem.code for problem in index.find_unmatched(parse("age < 10 AND age > 20"))] == ["empty-range"]


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("vip", "column-as-tag", "write vip = 1 for one value, has(vip) for any"),
        ("NOT email", "column-as-tag", "write email:… for one value, has(email) for any"),
        ("registration_id", "column-as-tag", "write registration_id(…) for some ids, has(registration_id) for any"),
        ("vip:true", "bad-value", "write vip = 1"),
        ("18 <= age", "unknown-attribute", "write age >= 18"),
        ("has(e_mail)", "unknown-attribute", "did you mean email?"),
    ],
)
def test_mistake_is_answered_with_what_to_write(text, code, hint, tmp_path):
    attributes = {"vip": [1, 0], "email": ["a@b", None], "age": [5, 30], "tags": [["a"], []]}
    index = DeviceIndex.build(pl.DataFrame({"registration_id": ["r1", "r2"], **attributes}), tmp_path / "index")
    with pytest.raises(ExpressionError) as caught:
        index.count(parse(text))
    [problem] = caught.value.problems
    assert (problem.code, problem.hint) == (code, hint)


def test_tag_that_is_called_like_a_column_is_a_tag(tmp_path):
    table = {"registration_id": ["r1", "r2"], "vip": [1, 0], "tags": [["vip"], []]}
    index = DeviceIndex.build(pl.DataFrame(table), tmp_path / "index")
    assert index.count(parse("vip")) == 1


def run_lint(*words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(["lint", *map(str, words)])
    return ended.value.code, *capsys.readouterr()


def test_problems_of_files_name_the_file(tmp_path, index, capsys):
    good, odd, bad = (tmp_path / name for name in ("good.aud", "odd.aud", "bad.aud"))
    good.write_text("male # all of them\n")
    odd.write_text("# typo\nmale\nOR mael")
    assert run_lint(good, odd, capsys=capsys) == (0, "no problems found\n", "")
    code, out, err = run_lint(good, odd, index.folder, capsys=capsys)
    assert (code, err) == (1, "")
    assert out.startswith(f"no-device: {odd}:3:4: no device has 'mael'\n 3 | OR mael\n")
    code, out, _ = run_lint(odd, index.folder, "--json", capsys=capsys)
    assert [(fact["file"], fact["code"]) for fact in orjson.loads(out)] == [(str(odd), "no-device")]
    bad.write_text("a AND")
    code, out, err = run_lint(tmp_path, index.folder, capsys=capsys)
    assert code == 2
    assert "no-device" in out
    assert err.startswith(f"missing-operand: {bad}:1:6: ")


def test_files_of_ids_are_read_from_beside_the_file(tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("u1")
    (tmp_path / "staff.aud").write_text("alias(@ids.txt)")
    assert run_lint(tmp_path / "staff.aud", capsys=capsys)[0] == 0
    (tmp_path / "staff.aud").write_text("alias(@no.txt)")
    code, out, err = run_lint(tmp_path / "staff.aud", capsys=capsys)
    assert (code, out) == (2, "")
    assert "staff.aud:1:7: no.txt: " in err


@pytest.mark.parametrize("words", [["a", "b", "c"], ["a.aud", "b", "c"], ["no.aud"]])
def test_bad_arguments_of_lint_are_errors(words, capsys):
    code, out, err = run_lint(*words, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith(("bad-option", "unreadable-file"))


HOOKS = yaml.safe_load((TESTS_FOLDER.parent / ".pre-commit-hooks.yaml").read_text("utf-8"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_entry_of_a_hook_is_a_command_for_files(hook, tmp_path, capsys):
    assert hook["language"] == "python"
    file = tmp_path / "vip.aud"
    for text, codes in (("vip\n", {0}), ("a&&NOT a", {0, 1}), ("a AND", {2})):
        file.write_text(text)
        program, *words = shlex.split(hook["entry"])
        assert program == "audience"
        with pytest.raises(SystemExit) as ended:
            run([*words, str(file)])
        capsys.readouterr()
        assert ended.value.code in codes


@pytest.mark.skipif(shutil.which("pre-commit") is None, reason="pre-commit is not installed")
def test_pre_commit_accepts_the_hooks():
    file = TESTS_FOLDER.parent / ".pre-commit-hooks.yaml"
    subprocess.run(["pre-commit", "validate-manifest", str(file)], check=True)
