"""House text → expression, through the grammar in `grammar/audience.lark`."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.ast import (
    ID_KINDS,
    And,
    Compare,
    Everyone,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Order,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
    any_of,
)
from audience.language.attribute_names import BARE, TPNS_TYPES, house_type
from audience.language.grammar import Token, Tree, UnexpectedCharacters, UnexpectedToken, lark
from audience.language.suggest import did_you_mean
from audience.language.syntax_errors import COLON, misplaced, unreadable
from audience.span import Span

CALLS = ("tag", "tag_and", "tag_not", *ID_KINDS, "sample", "split")
SAMPLE = "sample(10%, summer)"
SPLIT = "split(a:50%, b:50%, summer)"

Entry: TypeAlias = Token | Tree[Token]  # what stands between the commas of a call: a name, or a pair such as a:50%


def parse(text: str, *, folder: Path | None = Path()) -> Expr:
    """Read *text*; `@file` in a list of ids is looked up in *folder*, or refused when that is None.

    Raises ExpressionError with a code, the place and a hint.

    >>> parse("male AND NOT version:1.0.2")
    And(terms=(Tag(type='tag', value='male'), Not(term=Tag(type='version', value='1.0.2'))))
    >>> parse("province in (guangdong, hunan)") == parse("province:guangdong || province:hunan")
    True
    >>> parse("xg_auto_province.guangdong")
    Tag(type='province', value='guangdong')
    >>> parse("@vip AND NOT sample(10%, summer)")
    And(terms=(Segment(name='vip'), Not(term=Sample(share='10', seed='summer'))))
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
                return self.bare(parts[0])
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
            case "side":
                return self.side(*parts)
            case "any_side":
                return self.any_side(*parts)
            case "no_side":
                return Not(self.any_side(*parts))
        return self.call(*parts)

    def span(self, first: Token, *rest: Token) -> Span:
        last = rest[-1] if rest else first
        return Span(self.text, cast(int, first.start_pos), cast(int, last.end_pos))

    def bare(self, token: Token) -> Expr:
        if token.type == "AT":
            return Segment(self.behind_at(token), span=self.span(token))
        return Tag(BARE, self.name(token), span=self.span(token))

    def behind_at(self, token: Token) -> str:
        return self.unquoted(Token("NAME", token[1:], start_pos=cast(int, token.start_pos) + 1))

    def name(self, token: Token) -> str:
        if token.type == "AT":
            _refuse(
                "misplaced-file",
                "a file or a segment stands where a name is expected",
                self.span(token),
                f"{token:.60} by itself is what is saved so, in a list of ids a file; as a name it goes in quotes",
            )
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

    def call(self, word: Token, listed: Tree[Token]) -> Expr:
        entries: list[Entry] = listed.children
        match word.lower():
            case "sample":
                return self.sample(word, entries)
            case "split":
                return self.split(word, entries)
            case "tag" | "tag_and" | "tag_not" as kind:
                tags = [Tag(BARE, self.name(token), span=self.span(token)) for token in self.names(entries)]
                return _tags(kind, tags)
            case kind if kind in ID_KINDS:
                ids = tuple(value for token in self.names(entries) for value in self.ids(token))
                return Ids(kind, ids, span=self.span(word))
        _refuse(
            "unknown-call",
            f"{str(word)!r} takes no list",
            self.span(word),
            did_you_mean(word, CALLS) or f"one of {', '.join(CALLS)}; or put AND or OR before the bracket",
        )

    def names(self, entries: list[Entry]) -> list[Token]:
        """*entries* where no pair belongs."""
        for entry in entries:
            if isinstance(entry, Tree):
                _, colon, value = cast(list[Token], entry.children)
                hint = f"shares belong to {SPLIT}" if value.endswith("%") else COLON
                _refuse("unexpected-colon", "unexpected ':'", self.span(colon), hint)
        return cast(list[Token], entries)

    def sample(self, word: Token, entries: list[Entry]) -> Sample:
        first, *rest = self.names(entries)
        share = self.share(first, f"the share comes first: {SAMPLE}")
        if len(rest) > 1:
            _refuse("unexpected-word", f"unexpected {str(rest[1])!r}", self.span(rest[1]), f"write {SAMPLE}")
        return Sample(share, self.seed(word, rest, SAMPLE), span=self.span(word))

    def split(self, word: Token, entries: list[Entry]) -> Split:
        last = entries[-1]
        seeds = [last] if isinstance(last, Token) and not last.endswith("%") else []
        sides = tuple(self.named_share(pair) for pair in entries[: len(entries) - len(seeds)])
        return Split(sides, self.seed(word, seeds, SPLIT), span=self.span(word))

    def named_share(self, pair: Entry) -> tuple[str, str]:
        """One side of a split."""
        if isinstance(pair, Token):
            message = f"{str(pair)!r} is no side" if pair.endswith("%") else f"{str(pair)!r} has no share"
            _refuse("bad-sides", message, self.span(pair), f"name each side with its share, and the seed last: {SPLIT}")
        name, _, share = cast(list[Token], pair.children)
        return self.name(name), self.share(share, f"a side is its name and its share: {SPLIT}")

    def share(self, token: Token, hint: str) -> str:
        text, span = self.name(token), self.span(token)
        if not text.endswith("%"):
            number = validation.DIGITS.fullmatch(text)
            _refuse(
                "bad-share", f"{text!r:.60} is no share", span, "in percent, with the sign: 10%" if number else hint
            )
        return validation.share(text[:-1], span)

    def seed(self, word: Token, last: list[Token], example: str) -> str:
        """The name that decides which devices a share has; without quotes, one that looks like a share is a slip."""
        if not last or last[0].endswith("%"):
            hint = f"any name will do; the same one picks the same devices again: {example}"
            _refuse("missing-seed", f"{str(word)!r} ends without a seed", self.span(*(last or [word])), hint)
        return self.name(last[0])

    def side(self, call: Tree[Token], order: Token, token: Token) -> Expr:
        split = self.sided(call)
        if order not in ("=", "==", "!="):
            hint = f"a side is chosen with = or in: {SPLIT} = a"
            _refuse("unexpected-word", f"unexpected {str(order)!r}", self.span(order), hint)
        chosen = self.on_side(split, call, token)
        return Not(chosen) if order == "!=" else chosen

    def any_side(self, call: Tree[Token], listed: Tree[Token]) -> Expr:
        split = self.sided(call)
        tokens = {self.name(token): token for token in cast(list[Token], listed.children)}
        return any_of(self.on_side(split, call, token) for token in tokens.values())

    def sided(self, call: Tree[Token]) -> Split:
        word, split = cast(Token, call.children[0]), self.read(call)
        if not isinstance(split, Split):
            _refuse("bad-sides", f"{str(word)!r} has no sides", self.span(word), f"only split has: {SPLIT} = a")
        return split

    def on_side(self, split: Split, call: Tree[Token], token: Token) -> Split:
        return replace(split, side=self.name(token), span=self.span(cast(Token, call.children[0]), token))

    def ids(self, token: Token) -> list[str]:
        if token.type != "AT":
            return [self.unquoted(token)]
        name = self.behind_at(token)
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


def _tags(kind: str, tags: list[Tag]) -> Expr:
    """EngageLab's words: all of *tags*, none of them, any of them."""
    if kind == "tag_and":
        return And(tuple(tags)) if len(tags) > 1 else tags[0]
    return Not(any_of(tags)) if kind == "tag_not" else any_of(tags)


def _refuse(code: str, message: str, span: Span | None = None, hint: str | None = None) -> NoReturn:
    raise ExpressionError(Problem(code, message, span, hint=hint))
