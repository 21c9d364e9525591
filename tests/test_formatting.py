"""Format files of expressions: one text for one meaning, and every comment where it was."""

import io
import re
import stat

import pytest
from fact_files import TESTS_FOLDER
from hypothesis import given
from hypothesis import strategies as st
from strategies import any_expr

from audience import ExpressionError, parse, render
from audience.cli.app import run
from audience.language.formatting import MAX_WIDTH, format_text
from audience.language.grammar import tokenize
from audience.span import display_width

BLOCKS = (TESTS_FOLDER / "language/formatted.txt").read_text("utf-8").split("===\n")[1:]
COMMENT = re.compile(r"(?<!\S)#[^\n]*")


@pytest.mark.parametrize("block", BLOCKS)
def test_text_is_formatted(block):
    text, formatted = block.split("---\n")
    assert format_text(text) == formatted
    assert format_text(formatted) == formatted


@st.composite
def commented_texts(draw):
    """Random expressions, written with comments and line ends between their tokens, and the comments."""
    text = render(draw(any_expr))
    parts, comments, end = [], [], 0
    for token in tokenize(text):
        gap = text[end : token.start_pos]
        for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
            comments.append(f"# {len(comments)}")
            gap += (
                draw(st.sampled_from([" ", "\n", "\n\n ", "\t"]))
                + f"{comments[-1]}\n"
                + draw(st.sampled_from(["", "\n", "  "]))
            )
        parts += [gap, text[token.start_pos : token.end_pos]]
        end = token.end_pos
    if draw(st.booleans()):
        comments.append("# last")
        parts.append(draw(st.sampled_from([" ", "\n"])) + "# last")
    return "".join(parts), comments


def test_name_that_begins_with_nul_is_no_file():
    text = 'a < "\0" OR registration_id("\0\0b", @a)\n'
    assert format_text(text) == text


@given(commented_texts())
def test_formatted_text_has_the_meaning_and_the_comments_of_the_text(written):
    text, comments = written
    formatted = format_text(text)
    assert parse(formatted) == parse(text)
    assert format_text(formatted) == formatted
    quoted_removed = re.sub(r'"(?:\\.|[^"\\])*"', '""', formatted, flags=re.DOTALL)
    assert COMMENT.findall(quoted_removed) == comments


@given(any_expr)
def test_equal_expressions_have_one_formatted_text(expr):
    canonical = render(expr)
    formatted = format_text(canonical)
    assert [*tokenize(formatted)] == [*tokenize(canonical)]
    if display_width(canonical) <= MAX_WIDTH:
        assert formatted == f"{canonical}\n"


def test_comments_stay_beside_terms_that_the_canonical_text_writes_otherwise():
    assert format_text("(a) # x\n && b") == "a  # x\nAND b\n"
    assert format_text("a # x\n == b") == "a  # x\n  :b\n"


def test_files_of_ids_are_neither_read_nor_merged(tmp_path):
    text = 'alias(@"no such file", u1) OR NOT registration_id(@b.txt)\n'
    assert format_text(text) == text


@pytest.mark.parametrize(
    "text", ["", "# only a comment", "a AND", "alias(@x, y:1)", "a ; b", "has(@x)", "(@b", "in (@"]
)
def test_invalid_text_is_diagnosed_at_its_place(text):
    with pytest.raises(ExpressionError) as expected:
        parse(text)
    with pytest.raises(ExpressionError) as caught:
        format_text(text)
    assert caught.value.problems == expected.value.problems


def test_position_of_a_problem_behind_files_of_ids_is_that_in_the_text():
    with pytest.raises(ExpressionError) as caught:
        format_text('alias(@"a b", @c)\nAND age < AND x')
    [problem] = caught.value.problems
    assert (problem.span.excerpt, problem.span.start) == ("AND", 28)


def run_fmt(*words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(["fmt", *map(str, words)])
    return ended.value.code, *capsys.readouterr()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "done.aud").write_text("male AND NOT vip\n")
    (tmp_path / "sub" / "old.aud").write_text("male && !vip # why", newline="")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.aud").write_text("a AND")
    return tmp_path


def test_command_formats_files_in_place(folder, capsys):
    old = folder / "sub" / "old.aud"
    old.chmod(0o640)
    assert run_fmt(folder, capsys=capsys) == (0, f"changed {old}\n", "")
    assert old.read_text() == "male AND NOT vip  # why\n"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert run_fmt(folder, capsys=capsys) == (0, "2 files formatted already\n", "")
    assert sorted(path.name for path in old.parent.iterdir()) == ["old.aud"]


def test_command_follows_links_and_reads_marks_and_windows_line_ends(tmp_path, capsys):
    target, link = tmp_path / "target.aud", tmp_path / "link.aud"
    target.write_bytes("\ufeffa&&b # x\r\n".encode())
    link.symlink_to(target)
    assert run_fmt(link, capsys=capsys)[0] == 0
    assert link.is_symlink()
    assert target.read_bytes() == b"a AND b  # x\n"


def test_check_and_diff_write_nothing(folder, capsys):
    old = folder / "sub" / "old.aud"
    assert run_fmt(folder, "--check", capsys=capsys) == (1, f"would change {old}\n", "")
    code, out, _ = run_fmt(folder, "--diff", capsys=capsys)
    assert code == 1
    assert out.splitlines()[3:] == ["-male && !vip # why", "+male AND NOT vip  # why"]
    assert old.read_text() == "male && !vip # why"
    assert run_fmt(folder / "done.aud", "--check", capsys=capsys)[0] == 0


def test_nothing_is_written_if_a_file_is_invalid(folder, capsys):
    bad, worse = folder / "bad.aud", folder / "worse.aud"
    bad.write_text("# first\nmale AND")
    worse.write_bytes(b"a\n\xff")
    code, out, err = run_fmt(folder, capsys=capsys)
    assert (code, out) == (2, "")
    assert f"missing-operand: {bad}:2:9: the expression ends too early\n 2 | male AND" in err
    assert f"unreadable-file: {worse}:2: not valid UTF-8" in err
    assert (folder / "sub" / "old.aud").read_text() == "male && !vip # why"


def test_standard_input_is_formatted_to_standard_output(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("a&&b"))
    assert run_fmt("-", capsys=capsys) == (0, "a AND b\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("a AND"))
    code, out, err = run_fmt("-", capsys=capsys)
    assert (code, out) == (2, "")
    assert "<stdin>:1:6: " in err


@pytest.mark.parametrize(
    ("words", "code"),
    [(["no.aud"], "unreadable-file"), (["-", "a.aud"], "bad-option"), (["{empty}"], "no-expressions")],
)
def test_bad_arguments_are_errors(words, code, tmp_path, capsys):
    status, out, err = run_fmt(*(word.format(empty=tmp_path) for word in words), capsys=capsys)
    assert (status, out) == (2, "")
    assert err.startswith(f"{code}: ")
