"""Parse, render, simplify and validate expressions; the cases are lines in language/ and errors/."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from fact_files import TESTS_FOLDER, load_cases

from audience import (
    And,
    ExpressionError,
    Ids,
    Not,
    Or,
    Sample,
    Segment,
    Split,
    Tag,
    all_of,
    any_of,
    equivalent,
    parse,
    render,
    simplify,
)
from audience.language.ast import MAX_DEPTH, ExprNode, atoms, bare
from audience.language.describe import expr_json, format_tree
from audience.language.segments import expand_segments

CANONICAL_LINES = [
    line for line in (TESTS_FOLDER / "language/identity.txt").read_text("utf-8").splitlines() if line[:1] not in "#"
]
GOLDEN_ERRORS = [
    pytest.param(file.stem, *block.split("\n---\n"), id=f"{file.stem} {number}")
    for file in sorted((TESTS_FOLDER / "errors").glob("*.txt"))
    for number, block in enumerate(file.read_text("utf-8").split("===\n"))
]
SEGMENTS = {"vip": "paying OR alias(u1)", "loop": "a AND @back", "back": "b OR @loop", "self": "@self", "typo": "@vpi"}


@pytest.mark.parametrize("text", CANONICAL_LINES)
def test_canonical_text_renders_unchanged(text):
    assert render(parse(text)) == text


@pytest.mark.parametrize(("file", "text", "canonical"), load_cases("language", "read"))
def test_text_renders_in_canonical_form(file, text, canonical):
    assert render(parse(text)) == canonical
    assert parse(canonical) == parse(text)


@pytest.mark.parametrize(("file", "before", "after"), load_cases("language", "simplify"))
def test_expression_is_simplified(file, before, after):
    assert render(simplify(parse(before))) == after


@pytest.mark.parametrize(("code", "text", "message"), GOLDEN_ERRORS)
def test_syntax_error_has_position_and_hint(code, text, message):
    with pytest.raises(ExpressionError) as caught:
        expand_segments(
            parse(text, folder=Path("no such folder")), {name: parse(saved) for name, saved in SEGMENTS.items()}
        )
    assert str(caught.value) == message.rstrip("\n")
    assert caught.value.code == code


def test_caret_points_at_second_line():
    with pytest.raises(ExpressionError) as caught:
        parse("a AND\n" + "b OR " * 100 + "城市 oops OR c")
    number, carets = str(caught.value).splitlines()[1:3]
    assert number.startswith(" 2 | …")
    assert carets.endswith("^^^^")


def test_ids_are_read_from_file(tmp_path):
    (tmp_path / "ids.txt").write_bytes("\ufeffr1\r\n\r\n  r2 \r\n王\n".encode())
    assert parse("registration_id(@ids.txt, r3)", folder=tmp_path).values == ("r3", "r1", "r2", "王")
    (tmp_path / "my ids.txt").write_text("u1\n")
    assert parse('alias(@"my ids.txt")', folder=tmp_path).values == ("u1",)


def test_empty_id_file_is_rejected(tmp_path):
    (tmp_path / "ids.txt").write_text("\n\n")
    with pytest.raises(ExpressionError, match="empty-list"):
        parse("alias(@ids.txt)", folder=tmp_path)


def test_id_files_can_be_disabled():
    with pytest.raises(ExpressionError, match="no-files"):
        parse("alias(@/etc/passwd)", folder=None)


HUGE_INPUTS = {
    "brackets": "(" * 100_000 + "a" + ")" * 100_000,
    "nots": "NOT " * 100_000 + "a",
    "bangs": "!" * 100_000 + "a",
    "open brackets": "(" * 100_000,
    "operands": " OR ".join(f"a{number}" for number in range(100_000)),
    "short operands": "a|" * 500_000 + "a",
    "a name": "a" * 1_000_000,
    "quotes": '"' * 1_000_000,
    "an open quote": '"' + "a" * 1_000_000,
    "ids": f"alias({','.join(f'{number:036}' for number in range(27_000))})",
    "no operators": "a " * 500_000,
    "calls": "tag(" * 250_000,
    "variants": f"split({','.join(f's{number}:0.001%' for number in range(30_000))}, x)",
    "chosen variants": f"split({','.join(f's{number}:1%' for number in range(100))}, x) in ({'s7,' * 70_000}s8)",
    "unknown variants": f"split({','.join(f's{number}:1%' for number in range(100))}, x) in ({'s7,' * 70_000}t)",
    "samples": " OR ".join(f"sample({number % 100 + 1}%, x{number})" for number in range(5_000)),
    "segments": "@a " + "AND @b" * 50_000,
    "a percentage": f"sample({'9' * 1_000_000}%, x)",
    "zeros": f"sample({'0' * 1_000_000}1%, x)",
    "comments": "a # \n" * 200_000,
    "differences": "a" + " EXCEPT b" * 20_000,
    "limits": "a " + "limit 5 seed x " * 20_000,
    "digits": f"x = today-{'9' * 5_000}d",
}


@pytest.mark.parametrize("text", HUGE_INPUTS.values(), ids=HUGE_INPUTS.keys())
def test_huge_input_is_parsed_or_rejected(text):
    try:
        assert parse(render(parse(text))) == parse(text)
    except ExpressionError as error:
        assert len(str(error)) < 1_000


def test_fifty_thousand_operands_are_parsed_and_simplified():
    expr = parse(" OR ".join(f"a{number}" for number in range(50_000)))
    assert len(simplify(expr).terms) == 50_000
    assert equivalent(expr, Or(tuple(reversed(expr.terms))))


def test_too_deep_tree_is_rejected():
    expr = bare("a")
    with pytest.raises(ExpressionError, match="too-deep"):
        for _ in range(MAX_DEPTH + 1):
            expr = Not(expr)


def test_operators_build_flat_trees():
    a, b, c = map(bare, "abc")
    assert a & b & c == And((a, b, c)) == all_of([a, b & c])
    assert a | b | ~c == Or((a, b, Not(c))) == any_of([a | b, ~c])


def test_node_equality_ignores_span():
    assert parse("a AND b") == parse("  a   &&\nb")
    assert len({parse("a AND b"), parse("a && b")}) == 1


HALF_VARIANTS = (("a", "50"), ("b", "50"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Tag("", "a"),
        lambda: Tag("a", ""),
        lambda: And((bare("a"),)),
        lambda: Ids("alias", ()),
        lambda: Segment(""),
        lambda: Sample("10", ""),
        lambda: Split(HALF_VARIANTS, ""),
        lambda: Split((), "x"),
        lambda: Split(HALF_VARIANTS, "x", variant=""),
    ],
)
def test_empty_node_is_rejected(build):
    with pytest.raises(ExpressionError):
        build()


INVALID_NODES = {
    "not a string": (lambda: Sample(10, "x"), "wrong-type"),
    "percent sign": (lambda: Sample("10%", "x"), "bad-share"),
    "zero": (lambda: Sample("0.0", "x"), "bad-share"),
    "too much": (lambda: Sample("100.000001", "x"), "bad-share"),
    "below zero": (lambda: Sample("-1", "x"), "bad-share"),
    "an exponent": (lambda: Sample("1e1", "x"), "bad-share"),
    "other digits": (lambda: Sample("१०", "x"), "bad-share"),
    "too fine": (lambda: Sample("0.0000001", "x"), "bad-share"),
    "too long": (lambda: Sample("9" * 1_000_000, "x"), "bad-share"),
    "numeric seed": (lambda: Sample("10", 7), "wrong-type"),
    "unpaired surrogate": (lambda: Sample("10", "\ud800"), "bad-text"),
    "a list": (lambda: Split([("a", "50")], "x"), "wrong-type"),
    "not pairs": (lambda: Split(("a", "50"), "x"), "wrong-type"),
    "duplicate variant": (lambda: Split((*HALF_VARIANTS, ("a", "1")), "x"), "bad-sides"),
    "too many variants": (lambda: Split(tuple((f"s{number}", "0.5") for number in range(101)), "x"), "bad-sides"),
    "over 100 percent": (lambda: Split((*HALF_VARIANTS, ("c", "0.000001")), "x"), "bad-sides"),
    "unknown variant": (lambda: Split(HALF_VARIANTS, "x", variant="c"), "unknown-side"),
    "segment name is None": (lambda: Segment(None), "wrong-type"),
}


@pytest.mark.parametrize(("build", "code"), INVALID_NODES.values(), ids=INVALID_NODES.keys())
def test_nodes_built_in_python_are_validated(build, code):
    with pytest.raises(ExpressionError) as caught:
        build()
    assert caught.value.code == code
    assert len(str(caught.value)) < 1_000


def test_percentages_are_normalized():
    assert Sample("010.50", "x") == Sample("10.5", "x") == parse("sample(10.500%, x)")
    assert Split((("a", "50.0"), ("b", "050")), "x") == Split(HALF_VARIANTS, "x")
    thirds = "split(a:33.333333%, b:33.333333%, c:33.333334%, x) = c"
    assert render(parse(thirds)) == thirds


def test_percentages_and_segments_serialize_to_json():
    halves = {
        "variants": [{"name": "a", "percent": "50"}, {"name": "b", "percent": "50"}],
        "seed": "x",
        "variant": None,
    }
    assert expr_json(parse("@vip AND (sample(1.0%, x) OR split(a:50%, b:50%, x))")) == {
        "and": [{"segment": "vip"}, {"or": [{"sample": {"percent": "1", "seed": "x"}}, {"split": halves}]}]
    }
    assert expr_json(Split(HALF_VARIANTS, "x", variant="a")) == {"split": {**halves, "variant": "a"}}


def test_atoms_are_listed_once_in_order():
    assert list(atoms(parse("b AND (a OR NOT b)"))) == [bare("b"), bare("a")]


@dataclass(frozen=True)
class Opened(ExprNode):
    """A node of another package, which the language has no syntax for."""

    message: str


@pytest.mark.parametrize("describe", [render, format_tree, expr_json])
@pytest.mark.parametrize("expr", [Opened("m1"), Not(Opened("m1")), And((bare("a"), Opened("m1")))])
def test_unknown_node_is_rejected_by_name(describe, expr):
    with pytest.raises(ExpressionError, match=r"expected a node of the language, got Opened\(message='m1'\)"):
        describe(expr)
