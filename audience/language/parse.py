"""House text → expression, through the grammar in `grammar/audience.lark`."""

import re
from pathlib import Path
from typing import Any, NoReturn, cast

from audience.errors import ExpressionError, Problem
from audience.language.expr import (
    ID_KINDS,
    And,
    Compare,
    Everyone,
    Expr,
    IdKind,
    Ids,
    Nobody,
    Not,
    Or,
    Order,
    Tag,
    Within,
    any_of,
)
from audience.language.grammar import Token, Tree, UnexpectedCharacters, UnexpectedToken, lark
from audience.language.mistakes import misplaced, unreadable
from audience.language.notation import BARE, TPNS_TYPES, house_type
from audience.language.source import Span
from audience.language.suggest import did_you_mean

CALLS = ("tag", "tag_and", "tag_not", *ID_KINDS)


def parse(text: str, *, folder: Path | None = Path()) -> Expr:
    """Read *text*; `@file` in a list of ids is looked up in *folder*, or refused when that is None.

    Raises ExpressionError with a code, the place and a hint.

    >>> parse("male AND NOT version:1.0.2")
    And(terms=(Tag(type='tag', value='male'), Not(term=Tag(type='version', value='1.0.2'))))
    >>> parse("province in (guangdong, hunan)") == parse("province:guangdong || province:hunan")
    True
    >>> parse("xg_auto_province.guangdong")
    Tag(type='province', value='guangdong')
    """
    if not isinstance(text, str):
        _refuse("wrong-type", f"an expression is a text, not {text!r:.60}")
    try:
        tree = lark().parse(text)
    except UnexpectedCharacters as error:
        raise ExpressionError(unreadable(text, error.pos_in_stream or 0)) from None
    except UnexpectedToken as error:
        raise ExpressionError(misplaced(text, error)) from None
    return _Reader(text, folder).read(cast(Tree[Token], tree.children[0]))


class _Reader:
    """Turns the tree of one text into nodes; it recurses, and the grammar's bounds have bounded the depth."""

    def __init__(self, text: str, folder: Path | None):
        self.text = text
        self.folder = folder

    def read(self, tree: Tree[Token]) -> Expr:
        parts = cast(list[Any], tree.children)
        match tree.data:
            case "bare":
                return Tag(BARE, self.name(parts[0]), span=self.span(parts[0]))
            case "typed":
                return Tag(self.type(parts[0]), self.name(parts[1]), span=self.span(*parts))
            case "union":
                return Or(tuple(map(self.read, parts)))
            case "meet":
                return And(tuple(map(self.read, parts)))
            case "negation":
                return Not(self.read(parts[0]))
            case "group":
                return self.read(parts[0])
            case "everyone":
                return Everyone()
            case "nobody":
                return Nobody()
            case "dotted":
                return self.dotted(*parts)
            case "comparison":
                return self.comparison(*parts)
            case "within":
                return self.within(*parts)
            case "one_of":
                return self.one_of(*parts)
            case "none_of":
                return Not(self.one_of(*parts))
        return self.call(*parts)

    def span(self, first: Token, *rest: Token) -> Span:
        last = rest[-1] if rest else first
        return Span(self.text, cast(int, first.start_pos), cast(int, last.end_pos))

    def name(self, token: Token) -> str:
        if token.startswith('@"'):
            _refuse("misplaced-file", "a file stands where a name is expected", self.span(token), "remove the @")
        return self.unquoted(token)

    def unquoted(self, token: Token) -> str:
        if not token.startswith('"'):
            return str(token)
        bad = re.search(r'\\[^"\\]', token.replace("\\\\", "  "))
        if bad:
            start = cast(int, token.start_pos) + bad.start()
            _refuse(
                "bad-escape",
                f"{bad.group()!r} is no escape",
                Span(self.text, start, start + 2),
                r"only \" and \\ are; write \\ for a backslash",
            )
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

    def type(self, token: Token) -> str:
        """A quoted type stands for itself; an unquoted one may be TPNS's word for it."""
        return self.name(token) if token.startswith('"') else house_type(self.name(token))

    def dotted(self, word: Token, value: Token) -> Expr:
        if word[:-1] not in TPNS_TYPES:
            _refuse(
                "unknown-type",
                f"TPNS has no tag type {word[:-1]!r}",
                self.span(word),
                did_you_mean(word[:-1], TPNS_TYPES) or "quote it if it is a tag's name",
            )
        return Tag(TPNS_TYPES[word[:-1]], self.name(value), span=self.span(word, value))

    def comparison(self, left: Token, order: Token, right: Token) -> Expr:
        kind, value, span = self.type(left), self.name(right), self.span(left, right)
        match str(order):
            case "=" | "==":
                return Tag(kind, value, span=span)
            case "!=":
                return Not(Tag(kind, value, span=span))
        return Compare(kind, cast(Order, str(order)), value, span=span)

    def within(self, kind: Token, _: Token, days: Token, unit: Token, of: Token, day: Token) -> Expr:
        span = self.span(kind, day)
        if unit.lower() not in ("day", "days") or of.lower() != "of":
            _refuse("bad-within", "unfinished 'within'", span, "write: active within 3 days of 2020-04-08")
        if not re.fullmatch("[0-9]{1,5}", days):
            _refuse(
                "bad-days",
                f"{str(days)!r} is no number of days",
                self.span(days),
                "a whole number, 1 to 99999",
            )
        return Within(self.type(kind), int(days), self.name(day), span=span)

    def one_of(self, kind: Token, values: Tree[Token]) -> Expr:
        tokens = cast(list[Token], values.children)
        return any_of(Tag(self.type(kind), self.name(token), span=self.span(token)) for token in tokens)

    def call(self, word: Token, values: Tree[Token]) -> Expr:
        tokens = cast(list[Token], values.children)
        if word.lower() in ID_KINDS:
            ids = tuple(value for token in tokens for value in self.ids(token))
            return Ids(cast(IdKind, word.lower()), ids, span=self.span(word))
        tags = [Tag(BARE, self.name(token), span=self.span(token)) for token in tokens]
        match word.lower():
            case "tag":
                return any_of(tags)
            case "tag_and":
                return And(tuple(tags)) if len(tags) > 1 else tags[0]
            case "tag_not":
                return Not(any_of(tags))
        _refuse(
            "unknown-call",
            f"{str(word)!r} takes no list",
            self.span(word),
            did_you_mean(word, CALLS) or f"one of {', '.join(CALLS)}; or put AND or OR before the bracket",
        )

    def ids(self, token: Token) -> list[str]:
        if token.type != "AT":
            return [self.unquoted(token)]
        name = self.unquoted(Token("NAME", token[1:], start_pos=cast(int, token.start_pos) + 1))
        if self.folder is None:
            _refuse("no-files", "files cannot be read here", self.span(token), "list the ids themselves")
        try:
            lines = (self.folder / name).read_text("utf-8-sig").split("\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            _refuse("unreadable-file", f"{name}: {reason}", self.span(token), "one id a line, in UTF-8")
        ids = [line.strip() for line in lines if line.strip()]
        if not ids:
            _refuse("empty-list", f"{name} holds no id", self.span(token), "one id a line; write nobody for none")
        return ids


def _refuse(code: str, message: str, span: Span | None = None, hint: str | None = None) -> NoReturn:
    raise ExpressionError(Problem(code, message, span, hint=hint))
