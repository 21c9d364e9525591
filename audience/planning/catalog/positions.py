"""Find the lines of keys in a TOML text, and report problems with them.

The text is valid, because `tomllib` has parsed it. Neither `tomllib` nor `tomlkit` keeps positions, so this module
reads the keys again, and skips over values: strings, comments, brackets and commas are all that it distinguishes.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from audience.errors import Problem
from audience.planning.catalog.references import REFERENCES_TABLE

KeyPath: TypeAlias = tuple[str | int, ...]  # keys of tables, and positions in arrays

TOKEN = re.compile(
    r"""
    (?P<string>\"{3}(?:[^\\]|\\.)*?\"{3,5} | '{3}.*?'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
    | (?P<comment>\#[^\n]*)
    | (?P<line_end>\n)
    | (?P<sign>[\[\]{},=.])
    | (?P<word>[^\s\[\]{},=."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
Token: TypeAlias = tuple[str, int]  # a sign, a string, a word or a line end, and its line


def line_problem(code: str, message: str, text: str, table: str, key: str = "", hint: str | None = None) -> Problem:
    """Return a problem of *key* in *table*, with its line in the *text* of the catalog."""
    return Problem(code, f"line {find_line(text, table, key)}: {message}", hint=hint)


def find_line(text: str, table: str, key: str) -> int:
    """Return the line of *key* in *table* or its names, or else of the table's header."""
    lines = find_key_lines(text)
    paths = [(table, key), (table, "names", key), (table,)]
    return next((lines[path] for path in paths if path in lines), 1)


def find_reference_line(text: str, key: str) -> int:
    """Return the line of *key* in the table of references: a vendor, or a value below one."""
    lines = find_key_lines(text)
    return next((line for path, line in lines.items() if path[0] == REFERENCES_TABLE and path[-1] == key), 1)


@lru_cache(maxsize=4)
def find_key_lines(text: str) -> Mapping[KeyPath, int]:
    r"""Return the line of each table, key and element of an array in *text*, which is valid TOML.

    >>> find_key_lines('[a]\nvalues = [\n  "x",\n  "y"]\n[a.names]\nfcm = "n"')[("a", "values", 1)]
    4
    """
    reader = _TokenReader(_iter_tokens(text))
    reader.read_document()
    return reader.lines


def _iter_tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in TOKEN.finditer(text):
        if match.lastgroup != "comment":
            yield match[0], line
        line += match[0].count("\n")


class _TokenReader:
    """Reader of tokens that notes the line of each key."""

    def __init__(self, tokens: Iterator[Token]):
        self.tokens = tokens
        self.lines: dict[KeyPath, int] = {}
        self.token, self.line = "", 1
        self.advance()

    def advance(self) -> str:
        """Return the current token and go to the next one, which is empty at the end."""
        token = self.token
        self.token, self.line = next(self.tokens, ("", self.line))
        return token

    def skip_line_ends(self) -> None:
        while self.token == "\n":
            self.advance()

    def read_document(self) -> None:
        table: KeyPath = ()
        self.skip_line_ends()
        while self.token:
            if self.token == "[":
                table = self.read_header()
            else:
                self.read_pair(table)
            self.skip_line_ends()

    def read_header(self) -> KeyPath:
        """Read `[table]` or `[[table]]`."""
        line = self.line
        while self.token == "[":
            self.advance()
        table = self.read_key()
        self.note((), table, line)
        while self.token == "]":
            self.advance()
        return table

    def read_pair(self, table: KeyPath) -> None:
        """Read `key = value`."""
        line, key = self.line, self.read_key()
        self.note(table, key, line)
        self.advance()  # the equals sign
        self.read_value((*table, *key))

    def read_key(self) -> KeyPath:
        parts = [_unquote_key(self.advance())]
        while self.token == ".":
            self.advance()
            parts.append(_unquote_key(self.advance()))
        return tuple(parts)

    def read_value(self, path: KeyPath) -> None:
        if self.token == "[":
            self.read_array(path)
        elif self.token == "{":
            self.read_inline_table(path)
        else:
            while self.token not in ("", "\n", ",", "]", "}"):
                self.advance()

    def read_array(self, path: KeyPath) -> None:
        self.advance()
        position = 0
        self.skip_line_ends()
        while self.token != "]":
            self.lines.setdefault((*path, position), self.line)
            self.read_value((*path, position))
            position += 1
            self.skip_separators()
        self.advance()

    def read_inline_table(self, path: KeyPath) -> None:
        self.advance()
        self.skip_line_ends()
        while self.token != "}":
            self.read_pair(path)
            self.skip_separators()
        self.advance()

    def skip_separators(self) -> None:
        while self.token in ("\n", ","):
            self.advance()

    def note(self, table: KeyPath, key: KeyPath, line: int) -> None:
        """Note the line of *key* and of the tables that it implies, unless they were seen before."""
        for length in range(1, len(key) + 1):
            self.lines.setdefault((*table, *key[:length]), line)


def _unquote_key(token: str) -> str:
    if token[0] == "'" or (token[0] == '"' and "\\" not in token):
        return token[1:-1]
    return str(ast.literal_eval(token)) if token[0] == '"' else token  # Python has the escapes of TOML
