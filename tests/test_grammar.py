"""The tables of the grammars are those of Lark, and texts are read as Lark reads them."""

import json
import os
import string
from pathlib import Path
from typing import Any

import pytest
from grammar_tables import GRAMMARS, compute_tables, load_lark
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Token as LarkToken
from lark import Tree as LarkTree
from lark import UnexpectedCharacters as LarkUnexpectedCharacters
from lark import UnexpectedToken as LarkUnexpectedToken
from lark.lexer import BasicLexer
from strategies import any_expr

from audience import render
from audience.language.grammar import Grammar, Token, Tree, UnexpectedCharacters, UnexpectedToken, load_grammar
from audience.language.soft_keywords import mark_soft_keywords

LINES = [
    line.removeprefix("read ").partition(" => ")[0].strip()
    for file in sorted((Path(__file__).parent / "language").glob("*.txt"))
    for line in file.read_text("utf-8").splitlines()
    if line.strip()
]
WORDS = (
    "a b vip male 1 7 10% age province: ( ) , : = >= < != AND or NOT not in within everyone nobody limit seed top by "
    "at least most exactly of is null exists between from to next days before after matches starts with ends ignoring "
    'case except ago + - today did( sum( first( where times 3 "x y" "a @vip @"f g" vip_* ? xg_auto_province. '
    "xg_user_define.x && || ! ; 会员 用户* é # #c \\ { 5d"
).split(" ")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=12)
TOPICS = ["'a' in topics", "'b c' in topic", "&&", "||", "!", "(", ")", "'", "x"]


def format_tables(tables: dict[str, Any]) -> str:
    """Return the tables in JSON, a line for each rule and each state."""
    parts = []
    for name, value in tables.items():
        lines = ",\n".join(map(json.dumps, value)) if name in ("rules", "states") else ""
        parts.append(f"{json.dumps(name)}: " + (f"[\n{lines}\n]" if lines else json.dumps(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


@pytest.mark.parametrize("name", ["audience", "fcm"])
def test_tables_are_those_of_the_grammar(name):
    """`UPDATE_GRAMMAR=1 pytest tests/test_grammar.py` writes them."""
    file, tables = GRAMMARS / f"{name}.json", format_tables(compute_tables(name))
    if os.environ.get("UPDATE_GRAMMAR"):
        file.write_text(tables, "utf-8")
    assert file.read_text("utf-8") == tables


class MarkingLexer(BasicLexer):
    """Lexer of Lark that marks soft keywords on our tokens."""

    __future_interface__ = 2

    def lex(self, state, parser_state):
        tokens = super().lex(state, parser_state)
        ours = (Token(token.type, token, token.start_pos, token.end_pos) for token in tokens)
        for token in mark_soft_keywords(ours):
            yield LarkToken(token.type, str(token), start_pos=token.start_pos, end_pos=token.end_pos)


LARK = {name: load_lark(name, MarkingLexer) for name in ("audience", "fcm")}


def describe(node: Any) -> Any:
    """Return a tree, of Lark or ours, as tuples."""
    if isinstance(node, LarkTree | Tree):
        return str(node.data), [describe(child) for child in node.children]
    return node.type, str(node), node.start_pos, node.end_pos


def read_with_lark(name: str, text: str) -> Any:
    try:
        return describe(LARK[name].parse(text))
    except LarkUnexpectedCharacters as error:
        return error.pos_in_stream
    except LarkUnexpectedToken as error:
        return error.token.type, error.token.start_pos, {*(error.accepts or error.expected)}


def read(grammar: Grammar, text: str) -> Any:
    try:
        return describe(grammar.parse(text))
    except UnexpectedCharacters as error:
        return error.position
    except UnexpectedToken as error:
        return error.token.type, error.token.start_pos, {*error.expected}


def same(name: str, text: str) -> None:
    ours, theirs = read(load_grammar(name), text), read_with_lark(name, text)
    if isinstance(theirs, tuple) and theirs[0] == "$END":  # Lark has no position for the end of an empty text
        theirs = (theirs[0], theirs[1] or 0, theirs[2])
    assert ours == theirs


@pytest.mark.parametrize("text", LINES)
def test_lines_are_read_as_lark_reads_them(text):
    same("audience", text)


@given(TEXTS | any_expr.map(render))
@settings(max_examples=400, deadline=None)
def test_texts_are_read_as_lark_reads_them(text):
    same("audience", text)


@given(st.lists(st.sampled_from(TOPICS), max_size=9).map(" ".join))
@settings(max_examples=100, deadline=None)
def test_topic_conditions_are_read_as_lark_reads_them(text):
    same("fcm", text)


@given(st.text(string.printable + "\x00\x1c\x1f\x7f", max_size=12) | TEXTS.filter(str.isascii))
@settings(max_examples=300, deadline=None)
def test_ascii_texts_have_the_tokens_that_they_have_as_unicode(text):
    """The pattern of ASCII characters is another one; a character that is not ASCII chooses the other."""
    grammar = load_grammar()
    matches = [[grammar._match_ascii(text, at), grammar._match_unicode(text, at)] for at in range(len(text))]
    found = [[(match.span(), match.lastgroup) if match else None for match in pair] for pair in matches]
    assert all(ours == theirs for ours, theirs in found)
