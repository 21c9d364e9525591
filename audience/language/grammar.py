"""Read the texts of the grammars in `grammar/` into trees, and limit the size of their input.

The tables in `grammar/NAME.json` are what Lark computes from `grammar/NAME.lark`, which a test holds. Loading them
takes a tenth of the time that Lark takes, and the reader below, which gives the same trees, two thirds.

A grammar must ignore white space, and call its brackets _LPAR and _RPAR and a prefix NOT _NOT, because the depth is
limited by them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from audience.errors import ExpressionError, Problem
from audience.language.ast import MAX_DEPTH, TOO_DEEP
from audience.language.soft_keywords import mark_soft_keywords

DEFAULT_GRAMMAR = "audience"  # the expression language
END = "$END"
MAX_TOKENS = 150_000  # about a second of parsing
TOO_LONG = Problem(
    "too-long", f"more than {MAX_TOKENS:,} tokens", hint="move long lists of ids to a file: registration_id(@ids.txt)"
)


class Token(str):
    """Text of a token, with its type, and its position in the text of the expression."""

    __slots__ = ("end_pos", "start_pos", "type")
    type: str
    start_pos: int
    end_pos: int

    def __new__(cls, type_: str, value: str, start_pos: int = 0, end_pos: int = 0) -> "Token":
        """Return *value* as a token."""
        token = super().__new__(cls, value)
        token.type = type_
        token.start_pos = start_pos
        token.end_pos = end_pos
        return token

    def update(self, type_: str, value: str) -> "Token":
        """Return a token of another type and value at the same position."""
        return Token(type_, value, self.start_pos, self.end_pos)


class Tree:
    """Node of a parse tree: the name of its rule, and its parts, which are trees and tokens."""

    __slots__ = ("children", "data")

    def __init__(self, data: str, children: "list[Any]"):
        self.data = data
        self.children = children

    def __repr__(self) -> str:
        return f"Tree({self.data!r}, {self.children!r})"

    def find_data(self, name: str) -> "Iterator[Tree]":
        """Iterate over the nodes of a rule in the tree."""
        pending = [self]
        while pending:
            tree = pending.pop()
            pending += [child for child in tree.children if isinstance(child, Tree)]
            if tree.data == name:
                yield tree


class UnexpectedCharacters(Exception):
    """Character at *position* that begins no token."""

    def __init__(self, position: int):
        super().__init__(f"unexpected character at {position}")
        self.position = position


class UnexpectedToken(Exception):
    """Token that the grammar does not allow at its position, and the types that it allows there."""

    def __init__(self, token: Token, expected: frozenset[str]):
        super().__init__(f"unexpected {token.type} at {token.start_pos}")
        self.token = token
        self.expected = expected
        self.position = token.start_pos


class Rule(NamedTuple):
    """Rule of a grammar, and the node that its parts become.

    `picked` are the parts that stay, by position, each with whether its own parts take its place; None if all stay as
    they are. `is_inline` is for rules whose parts go to the rule around them, `is_transparent` for those that
    are left out of the tree when they have one part.
    """

    origin: str
    size: int
    name: str
    picked: list[tuple[int, bool]] | None
    is_inline: bool
    is_transparent: bool

    def build(self, parts: list[Any]) -> Any:
        """Return the node of the rule, or the list of its parts if it is inline."""
        if self.picked is not None:
            picked: list[Any] = []
            for position, is_expanded in self.picked:
                if not is_expanded:
                    picked.append(parts[position])
                elif picked:
                    picked += parts[position]
                else:  # the parts of an inline rule are nobody else's: a long list grows in place
                    picked = parts[position]
            parts = picked
        if self.is_inline or (self.is_transparent and len(parts) == 1):
            return parts if self.is_inline else parts[0]
        return Tree(self.name, parts)


@dataclass(frozen=True)
class Grammar:
    """Tables of a grammar.

    Attributes:
        pattern: Regular expression of all tokens, in which each type is a group.
        ignored: Types of tokens that are left out.
        rules: Rules by number.
        states: For each state the next state by type of token or by rule, or `~rule` for a rule that ends there.
        start: State before the first token.
        end: State after the last.
    """

    pattern: str
    ignored: frozenset[str]
    rules: list[Rule]
    states: list[dict[str, int]]
    start: int
    end: int

    @cached_property
    def _match_ascii(self) -> Callable[..., Any]:
        """Match a token in a text of ASCII characters, without `regex`, which loads slowly."""
        pattern = self.pattern
        for unicode_class, characters in ((r"\p{L}", "A-Za-z"), (r"\p{M}", ""), (r"\p{N}", "0-9")):
            pattern = pattern.replace(unicode_class, characters)
        return re.compile(pattern, re.ASCII).match

    @cached_property
    def _match_unicode(self) -> Callable[..., Any]:
        import regex  # loads slowly

        return regex.compile(self.pattern).match

    def tokenize(self, text: str) -> Iterator[Token]:
        """Yield the tokens of *text* in order; reject input that is too long or too deep.

        Raises:
            UnexpectedCharacters: A character begins no token.
        """
        return mark_soft_keywords(self._iter_tokens(text))

    def _iter_tokens(self, text: str) -> Iterator[Token]:
        match = self._match_ascii if text.isascii() else self._match_unicode
        position = count = depth = nots = 0
        stop = len(text)
        while position < stop:
            if text[position] == " ":  # the white space that is most frequent needs no pattern
                position += 1
                continue
            found = match(text, position)
            if found is None:
                raise UnexpectedCharacters(position)
            start, position, type_ = position, found.end(), found.lastgroup
            if type_ in self.ignored:
                continue
            depth += (type_ == "_LPAR") - (type_ == "_RPAR")
            nots = nots + 1 if type_ == "_NOT" else 0
            if count >= MAX_TOKENS:
                raise ExpressionError(TOO_LONG)
            if depth >= MAX_DEPTH or nots >= MAX_DEPTH:
                raise ExpressionError(TOO_DEEP)
            count += 1
            yield Token(type_, found.group(), start, position)

    def parse(self, text: str) -> Tree:
        """Return the tree of *text*.

        Raises:
            UnexpectedCharacters: A character begins no token.
            UnexpectedToken: The grammar does not allow a token at its position.
        """
        stack: list[int] = [self.start]
        values: list[Any] = []
        last = Token(END, "")
        for token in self.tokenize(text):
            self._shift(token, stack, values)
            last = token
        self._shift(Token(END, "", last.start_pos, last.end_pos), stack, values)
        tree: Tree = values[-1]
        return tree

    def accepted_after(self, tokens: Iterable[Token]) -> frozenset[str]:
        """Return the types of the tokens that may follow *tokens*. Raises UnexpectedToken if these are invalid."""
        stack: list[int] = [self.start]
        values: list[Any] = []
        for token in tokens:
            self._shift(token, stack, values)
        return self._accepted(stack)

    def _shift(self, token: Token, stack: list[int], values: list[Any]) -> None:
        """Read one token: end the rules that end before it, and enter its state."""
        states, rules, type_ = self.states, self.rules, token.type
        while (action := states[stack[-1]].get(type_)) is not None:
            if action >= 0:
                stack.append(action)
                values.append(token)
                return
            rule = rules[~action]
            size = rule.size
            parts = values[-size:]
            del stack[-size:], values[-size:]
            stack.append(states[stack[-1]][rule.origin])
            values.append(rule.build(parts))
            if type_ == END and stack[-1] == self.end:
                return
        raise UnexpectedToken(token, self._accepted(stack) or self._terminals(stack[-1]))

    def _accepted(self, stack: list[int]) -> frozenset[str]:
        """Return the types of tokens that can be read in a state."""
        return frozenset(type_ for type_ in self._terminals(stack[-1]) if self._accepts(type_, list(stack)))

    def _accepts(self, type_: str, stack: list[int]) -> bool:
        while (action := self.states[stack[-1]].get(type_)) is not None:
            if action >= 0:
                return True
            rule = self.rules[~action]
            del stack[-rule.size :]
            stack.append(self.states[stack[-1]][rule.origin])
            if type_ == END and stack[-1] == self.end:
                return True
        return False

    def _terminals(self, state: int) -> frozenset[str]:
        return frozenset(type_ for type_ in self.states[state] if type_.isupper())


@cache
def load_grammar(name: str = DEFAULT_GRAMMAR) -> Grammar:
    """Load the tables of `grammar/NAME.json`, once per process."""
    tables = orjson.loads(_read_tables(name))
    return Grammar(
        pattern=tables["pattern"],
        ignored=frozenset(tables["ignored"]),
        rules=[Rule(*fields) for fields in tables["rules"]],
        states=tables["states"],
        start=tables["start"],
        end=tables["end"],
    )


def _read_tables(name: str) -> bytes:
    """Read tables from the installed package, or from the checkout beside it."""
    installed = Path(__file__).parents[1] / "grammar" / f"{name}.json"
    checkout = Path(__file__).parents[2] / "grammar" / f"{name}.json"
    return installed.read_bytes() if installed.is_file() else checkout.read_bytes()


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of the expression *text* in order."""
    return load_grammar().tokenize(text)


def list_open_brackets(tokens: Sequence[Token]) -> list[int]:
    """Return the positions of the brackets that no later one of *tokens* closes, the outermost first.

    >>> list_open_brackets(list(tokenize("a AND (b OR (c) OR (d")))
    [2, 9]
    """
    opened: list[int] = []
    for position, token in enumerate(tokens):
        if token.type == "_LPAR":
            opened.append(position)
        elif token.type == "_RPAR" and opened:
            opened.pop()
    return opened


def unquote_token(token: Token) -> str:
    """Return the text of a name without its quotes.

    >>> unquote_token(Token("STRING", '"big spenders"')), unquote_token(Token("NAME", "vip"))
    ('big spenders', 'vip')
    """
    return token[1:-1].replace('\\"', '"').replace("\\\\", "\\") if token.startswith('"') else str(token)
