"""The Pygments lexer agrees with the grammar on every token."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from tomllib import loads

import pytest
from fact_files import TESTS_FOLDER
from hypothesis import given
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.token import Comment, Error, Keyword, Name, Operator
from strategies import any_expr

from audience import render
from audience.language.grammar import tokenize
from audience.language.highlighting import AudienceLexer, kind_of


@given(any_expr)
def test_each_token_of_the_grammar_is_one_of_pygments(expr):
    text = f"# note\n{render(expr)}  # end"
    lexed: dict[int | None, tuple] = {
        start: (kind, value) for start, kind, value in AudienceLexer().get_tokens_unprocessed(text)
    }
    for token in tokenize(text):
        assert lexed[token.start_pos] == (kind_of(token), text[token.start_pos : token.end_pos])
    assert [kind for kind, _ in lexed.values()].count(Comment.Single) == 2
    assert Error not in {kind for kind, _ in lexed.values()}


@given(
    st.text() | st.lists(st.sampled_from(["limit", "a", " ", '"', "#", "\n", "&&", "(", "=", "\\", ";"])).map("".join)
)
def test_lexer_keeps_every_character_of_any_text(text):
    assert "".join(value for _, _, value in AudienceLexer().get_tokens_unprocessed(text)) == text


def kinds(text):
    return {value: kind for _, kind, value in AudienceLexer().get_tokens_unprocessed(text) if not value.isspace()}


def test_words_are_keywords_only_where_the_grammar_has_them():
    assert kinds("limit AND on")["limit"] is Name
    found = kinds("vip limit 5 seed day")
    assert (found["limit"], found["seed"], found["day"]) == (Keyword, Keyword, Name)
    assert kinds("a and not b")["not"] is Operator.Word
    assert kinds("a AND ; b")[";"] is Error


def test_pygments_finds_the_lexer_by_its_entry_point():
    project = loads((TESTS_FOLDER.parent / "pyproject.toml").read_text("utf-8"))["project"]
    [(name, value)] = project["entry-points"]["pygments.lexers"].items()
    assert EntryPoint(name, value, "pygments.lexers").load() is AudienceLexer
    assert '<span class="k">limit</span>' in highlight("vip limit 5 seed x", AudienceLexer(), HtmlFormatter())


@pytest.mark.parametrize("module", ["audience", "audience.cli.app", "audience.language.parser"])
def test_pygments_is_not_imported_with_the_library(module):
    code = f"import sys, {module}; import audience; audience.parse('a')"
    code += "; sys.exit('audience.language.highlighting' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
