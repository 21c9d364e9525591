"""Parse text into an expression, with the grammar in `grammar/audience.lark`."""

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

from audience._fs.text_encoding import decode_text
from audience.errors import ExpressionError, Problem
from audience.language import validation
from audience.language.ast import (
    ID_KINDS,
    MAX_WITHIN_DAYS,
    And,
    Compare,
    CompareOp,
    Everyone,
    Expr,
    Has,
    Ids,
    Nobody,
    Not,
    Or,
    Reference,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
    any_of,
    ensure_expr,
)
from audience.language.attribute_names import TPNS_TYPES, UNTYPED, canonical_type
from audience.language.grammar import Token, Tree, UnexpectedCharacters, UnexpectedToken, load_parser
from audience.language.suggest import did_you_mean
from audience.language.syntax_errors import COLON_HINT, diagnose_character, diagnose_token
from audience.span import Span

CALL_NAMES = ("tag", "tag_and", "tag_not", *ID_KINDS, "has", "reference", "sample", "split")
HAS_EXAMPLE = "has(email)"
REFERENCE_EXAMPLE = 'reference(onesignal, segment, "Active Users")'
SAMPLE_EXAMPLE = "sample(10%, summer)"
SPLIT_EXAMPLE = "split(a:50%, b:50%, summer)"

CallEntry: TypeAlias = Token | Tree[Token]  # one argument of a call: a name, or a pair such as a:50%


def parse(text: str, *, folder: Path | None = Path()) -> Expr:
    """Parse an expression.

    Args:
        text: Text of the expression.
        folder: Folder of the files in id lists such as `alias(@ids.txt)`. None rejects such files.

    Raises:
        ExpressionError: With a code, the position and a hint.

    >>> parse("male AND NOT version:1.0.2")
    And(terms=(Tag(type='tag', value='male'), Not(term=Tag(type='version', value='1.0.2'))))
    >>> parse("province in (guangdong, hunan)") == parse("province:guangdong || province:hunan")
    True
    >>> parse("xg_auto_province.guangdong")
    Tag(type='province', value='guangdong')
    >>> parse("@vip AND NOT sample(10%, summer)")
    And(terms=(Segment(name='vip'), Not(term=Sample(percent='10', seed='summer'))))
    """
    if not isinstance(text, str):
        _fail("wrong-type", f"expression: expected a string, got {text!r:.60}")
    try:
        tree = load_parser().parse(text)
    except UnexpectedCharacters as error:
        raise ExpressionError(diagnose_character(text, error.pos_in_stream or 0)) from None
    except UnexpectedToken as error:
        raise ExpressionError(diagnose_token(text, error)) from None
    return _ExprBuilder(text, folder).build(cast(Tree[Token], tree.children[0]))


def to_expr(expr: Expr | str) -> Expr:
    """Return *expr*, parsed if it is text; the trees of recent texts are kept.

    >>> to_expr("a AND b") is to_expr("a AND b")
    True
    """
    if not isinstance(expr, str):
        return ensure_expr(expr)
    return parse(expr) if "@" in expr else _parse_cached(expr)  # a file that `@` refers to may change


_parse_cached = lru_cache(maxsize=1_024)(parse)


class _ExprBuilder:
    """Builder of nodes from a parse tree. It recurses, within the depth that the grammar allows."""

    def __init__(self, text: str, folder: Path | None):
        self.text = text
        self.folder = folder

    def build(self, tree: Tree[Token]) -> Expr:
        parts = cast(list[Any], tree.children)
        match tree.data:
            case "untyped":
                return self.build_bare_name(parts[0])
            case "typed":
                return Tag(self.read_type(parts[0]), self.read_name(parts[1]), span=self.span_of(*parts))
            case "union":
                return Or(tuple(map(self.build, parts)))
            case "intersection":
                return And(tuple(map(self.build, parts)))
            case "negation":
                return Not(self.build(parts[0]))
            case "group":
                return self.build(parts[0])
            case "everyone":
                return Everyone()
            case "nobody":
                return Nobody()
            case "tpns_tag":
                return self.build_tpns_tag(*parts)
            case "comparison":
                return self.build_comparison(*parts)
            case "within":
                return self.build_within(*parts)
            case "one_of":
                return self.build_one_of(*parts)
            case "none_of":
                return Not(self.build_one_of(*parts))
            case "variant":
                return self.build_variant(*parts)
            case "any_variant":
                return self.build_any_variant(*parts)
            case "no_variant":
                return Not(self.build_any_variant(*parts))
        return self.build_call(*parts)

    def span_of(self, first: Token, *following: Token) -> Span:
        last = following[-1] if following else first
        return Span(self.text, cast(int, first.start_pos), cast(int, last.end_pos))

    def build_bare_name(self, token: Token) -> Expr:
        if token.type == "AT":
            return Segment(self.name_after_at(token), span=self.span_of(token))
        return Tag(UNTYPED, self.read_name(token), span=self.span_of(token))

    def name_after_at(self, token: Token) -> str:
        return self.unquote(Token("NAME", token[1:], start_pos=cast(int, token.start_pos) + 1))

    def read_name(self, token: Token) -> str:
        if token.type == "AT":
            _fail(
                "misplaced-file",
                "expected a name, found a segment or a file",
                self.span_of(token),
                f"quote the name; {token:.60} without quotes is a saved segment, or a file in a list of ids",
            )
        return self.unquote(token)

    def unquote(self, token: Token) -> str:
        if not token.startswith('"'):
            return str(token)
        invalid = re.search(r'\\[^"\\]', token.replace("\\\\", "  "))
        if invalid:
            start = cast(int, token.start_pos) + invalid.start()
            _fail(
                "bad-escape",
                f"invalid escape {invalid.group()!r}",
                Span(self.text, start, start + 2),
                r"write \" or \\; other escapes do not exist",
            )
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

    def read_type(self, token: Token) -> str:
        """Read an attribute type. TPNS's name for it is translated unless quoted."""
        return self.read_name(token) if token.startswith('"') else canonical_type(self.read_name(token))

    def build_tpns_tag(self, type_token: Token, value_token: Token) -> Expr:
        if type_token[:-1] not in TPNS_TYPES:
            _fail(
                "unknown-type",
                f"TPNS has no tag type {type_token[:-1]!r}",
                self.span_of(type_token),
                did_you_mean(type_token[:-1], TPNS_TYPES) or "quote it if it is the name of a tag",
            )
        return Tag(TPNS_TYPES[type_token[:-1]], self.read_name(value_token), span=self.span_of(type_token, value_token))

    def build_comparison(self, type_token: Token, operator: Token, value_token: Token) -> Expr:
        type_, value, span = (
            self.read_type(type_token),
            self.read_name(value_token),
            self.span_of(type_token, value_token),
        )
        match str(operator):
            case "=" | "==":
                return Tag(type_, value, span=span)
            case "!=":
                return Not(Tag(type_, value, span=span))
        return Compare(type_, cast(CompareOp, str(operator)), value, span=span)

    def build_within(
        self, type_token: Token, _: Token, days: Token, unit: Token, preposition: Token, day: Token
    ) -> Expr:
        span = self.span_of(type_token, day)
        if unit.lower() not in ("day", "days") or preposition.lower() != "of":
            _fail("bad-within", "invalid 'within'", span, "write: active within 3 days of 2020-04-08")
        if not re.fullmatch("[0-9]{1,5}", days):
            _fail(
                "bad-days",
                f"invalid number of days {str(days)!r}",
                self.span_of(days),
                f"use 1 to {MAX_WITHIN_DAYS}",
            )
        return Within(self.read_type(type_token), int(days), self.read_name(day), span=span)

    def build_one_of(self, type_token: Token, values: Tree[Token]) -> Expr:
        tokens = cast(list[Token], values.children)
        return any_of(
            Tag(self.read_type(type_token), self.read_name(token), span=self.span_of(token)) for token in tokens
        )

    def build_call(self, word: Token, entries_tree: Tree[Token]) -> Expr:
        entries: list[CallEntry] = entries_tree.children
        match word.lower():
            case "has":
                return self.build_has(word, entries)
            case "reference":
                return self.build_reference(word, entries)
            case "sample":
                return self.build_sample(word, entries)
            case "split":
                return self.build_split(word, entries)
            case "tag" | "tag_and" | "tag_not" as kind:
                tags = [
                    Tag(UNTYPED, self.read_name(token), span=self.span_of(token))
                    for token in self.require_names(entries)
                ]
                return _combine_tags(kind, tags)
            case kind if kind in ID_KINDS:
                ids = tuple(value for token in self.require_names(entries) for value in self.read_ids(token))
                return Ids(kind, ids, span=self.span_of(word))
        _fail(
            "unknown-call",
            f"unknown function {str(word)!r}",
            self.span_of(word),
            did_you_mean(word, CALL_NAMES)
            or f"use one of {', '.join(CALL_NAMES)}, or put AND or OR before the bracket",
        )

    def require_names(self, entries: list[CallEntry]) -> list[Token]:
        """Return *entries* as names, or raise ExpressionError if one is a pair."""
        for entry in entries:
            if isinstance(entry, Tree):
                _, colon, value = cast(list[Token], entry.children)
                hint = f"percentages belong in {SPLIT_EXAMPLE}" if value.endswith("%") else COLON_HINT
                _fail("unexpected-colon", "unexpected ':'", self.span_of(colon), hint)
        return cast(list[Token], entries)

    def build_has(self, word: Token, entries: list[CallEntry]) -> Has:
        attribute, *following = self.require_names(entries)
        if following:
            hint = f"has takes one attribute: {HAS_EXAMPLE}; join several with AND or OR"
            _fail("unexpected-word", f"unexpected {str(following[0])!r}", self.span_of(following[0]), hint)
        return Has(self.read_type(attribute), span=self.span_of(word))

    def build_reference(self, word: Token, entries: list[CallEntry]) -> Reference:
        names = [self.read_name(token) for token in self.require_names(entries)]
        if len(names) != 3:
            message = f"a reference has a vendor, a kind and a name, found {len(names)} of them"
            _fail("bad-reference", message, self.span_of(word), f"write {REFERENCE_EXAMPLE}")
        vendor, kind, value = names
        return Reference(vendor, kind, value, span=self.span_of(word))

    def build_sample(self, word: Token, entries: list[CallEntry]) -> Sample:
        first, *seeds = self.require_names(entries)
        percent = self.read_percent(first, f"put the percentage first: {SAMPLE_EXAMPLE}")
        if len(seeds) > 1:
            _fail("unexpected-word", f"unexpected {str(seeds[1])!r}", self.span_of(seeds[1]), f"write {SAMPLE_EXAMPLE}")
        return Sample(percent, self.read_seed(word, seeds, SAMPLE_EXAMPLE), span=self.span_of(word))

    def build_split(self, word: Token, entries: list[CallEntry]) -> Split:
        last = entries[-1]
        seeds = [last] if isinstance(last, Token) and not last.endswith("%") else []
        variants = tuple(self.read_variant(pair) for pair in entries[: len(entries) - len(seeds)])
        return Split(variants, self.read_seed(word, seeds, SPLIT_EXAMPLE), span=self.span_of(word))

    def read_variant(self, pair: CallEntry) -> tuple[str, str]:
        """Read the name and percentage of one variant."""
        if isinstance(pair, Token):
            missing = "name" if pair.endswith("%") else "percentage"
            hint = f"give each variant a name and a percentage, and put the seed last: {SPLIT_EXAMPLE}"
            _fail("bad-sides", f"variant {str(pair)!r} has no {missing}", self.span_of(pair), hint)
        name, _, percent = cast(list[Token], pair.children)
        return self.read_name(name), self.read_percent(percent, f"write {SPLIT_EXAMPLE}")

    def read_percent(self, token: Token, hint: str) -> str:
        text, span = self.read_name(token), self.span_of(token)
        if not text.endswith("%"):
            number = validation.DECIMAL_NUMBER.fullmatch(text)
            _fail("bad-share", f"invalid percentage {text!r:.60}", span, f"write {text}%" if number else hint)
        return validation.normalize_percent(text[:-1], span)

    def read_seed(self, word: Token, seed_tokens: list[Token], example: str) -> str:
        """Read the seed. An unquoted seed that looks like a percentage is rejected as a likely mistake."""
        if not seed_tokens or seed_tokens[0].endswith("%"):
            hint = f"add any name; the same name selects the same devices again: {example}"
            _fail("missing-seed", f"{str(word)!r} has no seed", self.span_of(*(seed_tokens or [word])), hint)
        return self.read_name(seed_tokens[0])

    def build_variant(self, call: Tree[Token], operator: Token, token: Token) -> Expr:
        split = self.require_split(call)
        if operator not in ("=", "==", "!="):
            hint = f"select a variant with = or in: {SPLIT_EXAMPLE} = a"
            _fail("unexpected-word", f"unexpected {str(operator)!r}", self.span_of(operator), hint)
        variant = self.with_variant(split, call, token)
        return Not(variant) if operator == "!=" else variant

    def build_any_variant(self, call: Tree[Token], names_tree: Tree[Token]) -> Expr:
        split = self.require_split(call)
        tokens = {self.read_name(token): token for token in cast(list[Token], names_tree.children)}
        return any_of(self.with_variant(split, call, token) for token in tokens.values())

    def require_split(self, call: Tree[Token]) -> Split:
        word, split = cast(Token, call.children[0]), self.build(call)
        if not isinstance(split, Split):
            _fail("bad-sides", f"{str(word)!r} has no variants", self.span_of(word), f"use split: {SPLIT_EXAMPLE} = a")
        return split

    def with_variant(self, split: Split, call: Tree[Token], token: Token) -> Split:
        return replace(split, variant=self.read_name(token), span=self.span_of(cast(Token, call.children[0]), token))

    def read_ids(self, token: Token) -> list[str]:
        if token.type != "AT":
            return [self.unquote(token)]
        name = self.name_after_at(token)
        if self.folder is None:
            _fail("no-files", "files are not allowed here", self.span_of(token), "list the ids instead")
        try:
            lines = decode_text((self.folder / name).read_bytes()).split("\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            _fail("unreadable-file", f"{name}: {reason}", self.span_of(token), "name a UTF-8 file with one id per line")
        ids = [line.strip() for line in lines if line.strip()]
        if not ids:
            _fail("empty-list", f"{name} contains no ids", self.span_of(token), "write one id per line, or use nobody")
        return ids


def _combine_tags(call_name: str, tags: list[Tag]) -> Expr:
    """Combine *tags* as EngageLab's `tag_and` (all of them), `tag_not` (none of them) or `tag` (any of them) does."""
    if call_name == "tag_and":
        return And(tuple(tags)) if len(tags) > 1 else tags[0]
    return Not(any_of(tags)) if call_name == "tag_not" else any_of(tags)


def _fail(code: str, message: str, span: Span | None = None, hint: str | None = None) -> NoReturn:
    raise ExpressionError(Problem(code, message, span, hint=hint))
