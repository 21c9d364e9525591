"""Rules for the prose of the package: docstrings, comments, help texts and messages."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "audience"
BANNED = re.compile(
    r"\b(tells?|told|telling|stands|stood|anew|meanwhile|mend|mended|be it|at the most|goes by|slip of the pen"
    r"|hardly meant|(?<!there )is no (?:number|text|topic|fault|moment|table|legal)|of two that|by itself is"
    r"|that there is none of)\b",
    re.IGNORECASE,
)
BANNED_NAMES = {"said", "told"}  # of variables: name the payload, the text or the devices
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
OPENERS = {"The", "What", "Whether", "How", "Who", "A", "An", "Those", "Of", "That"}
FILES = sorted(PACKAGE.rglob("*.py"))


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each string that has several words, docstrings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def comments(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each comment."""
    with tokenize.open(file) as stream:
        for token in tokenize.generate_tokens(stream.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_prose_has_no_banned_words(file):
    tree = ast.parse(file.read_text("utf-8"))
    texts = [*literals(tree), *comments(file)]
    assert [(line, word.group()) for line, text in texts if (word := BANNED.search(text))] == []
    assert [
        (node.lineno, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in BANNED_NAMES
    ] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_docstrings_do_not_begin_with_an_article_or_question(file):
    tree = ast.parse(file.read_text("utf-8"))
    assert [(line, text) for line, text in docstrings(tree) if text.split(None, 1)[0] in OPENERS] == []
