"""Read names, values, days and patterns from the tokens of an expression."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, cast

from audience.errors import ExpressionError, Problem
from audience.language.ast import MAX_WITHIN_DAYS, IdFile
from audience.language.attribute_names import canonical_type
from audience.language.grammar import Token, Tree
from audience.language.soft_keywords import UNIT_WORDS
from audience.language.windows import CLOCK_UNITS, Anchor, RelativeTime, TimePoint, TimeUnit, format_duration
from audience.span import Span

ValueNode: TypeAlias = Token | Tree  # a value: a name, or the words of a day such as `7 days ago`

NAMED_TIMES = {
    "today": RelativeTime("today"),
    "yesterday": RelativeTime("today", -1),
    "tomorrow": RelativeTime("today", 1),
    "now": RelativeTime("now"),
}
TIME_EXAMPLE = "today - 7 days, 7 days ago, now - 36 hours"
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
DURATION = re.compile(r"([0-9]{1,5})([a-z]*)", re.I)
JOINED_TIME = re.compile(r"(today|now)([+-])([0-9]{1,5})([a-z]*)", re.I)


@dataclass(frozen=True, slots=True)
class TokenReader:
    """Reader of the tokens of one expression.

    Attributes:
        text: Text of the expression, to which positions refer.
        folder: Folder of the files in id lists. None rejects such files.
        files: Files that were read before, by path.
    """

    text: str
    folder: Path | None
    files: Mapping[str, IdFile] = field(default_factory=dict)

    def span_of(self, first: ValueNode, *following: ValueNode) -> Span:
        """Return the span from *first* to the last of *following*."""
        last = following[-1] if following else first
        return Span(self.text, _first_token(first).start_pos, _last_token(last).end_pos)

    def read_name(self, token: Token) -> str:
        """Return the name that *token* spells. Raises ExpressionError for a segment or a file."""
        if token.type == "AT":
            hint = f"quote the name; {token:.60} without quotes is a saved segment, or a file in a list of ids"
            fail("misplaced-file", "expected a name, found a segment or a file", self.span_of(token), hint)
        if token.type == "PATTERN":
            hint = f'quote it if it is a name: "{token:.60}"'
            fail("misplaced-pattern", "expected a name, found a pattern", self.span_of(token), hint)
        return self.unquote(token)

    def name_after_at(self, token: Token) -> str:
        """Return the name behind `@`."""
        return self.unquote(Token("NAME", token[1:], start_pos=token.start_pos + 1))

    def unquote(self, token: Token) -> str:
        """Return the text of *token* without quotes and escapes."""
        if not token.startswith('"'):
            return str(token)
        self._require_escapes(token, r"\\[^\"\\]", r"write \" or \\; other escapes do not exist")
        return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

    def _require_escapes(self, token: Token, invalid_escape: str, hint: str) -> None:
        invalid = re.search(invalid_escape, token.replace("\\\\", "  "))
        if invalid:
            start = token.start_pos + invalid.start()
            fail("bad-escape", f"invalid escape {invalid.group()!r}", Span(self.text, start, start + 2), hint)

    def read_type(self, token: Token) -> str:
        """Read an attribute type. TPNS's name for it is translated unless quoted."""
        return self.read_name(token) if token.startswith('"') else canonical_type(self.read_name(token))

    def read_pattern(self, token: Token) -> str:
        r"""Read a pattern: a text in quotes may escape `*`, `?` and itself, `\\*`; a name has nothing to escape."""
        if token.type == "AT":
            return self.read_name(token)
        if not token.startswith('"'):
            return str(token)
        self._require_escapes(token, r"\\[^\"\\*?]", r"write \* \? \" or \\; other escapes do not exist")
        # the quote is the only escape that a pattern does not keep
        return re.sub(r'\\(\\|[*?])|\\"', lambda match: match.group() if match[1] else '"', token[1:-1])

    def read_value(self, node: ValueNode) -> TimePoint:
        """Read a value: text, or a day or moment relative to the question if its words are not quoted."""
        if isinstance(node, Tree):
            return self._read_shifted_time(node) if node.data == "shifted" else self._read_past_time(node)
        if node.type == "NAME":
            if (time := NAMED_TIMES.get(node.lower())) is not None:
                return time
            if joined := JOINED_TIME.fullmatch(node):
                duration = format_duration(int(joined[3]), UNIT_WORDS.get(joined[4].lower(), "day"))
                hint = f"put spaces around the sign: {joined[1]} {joined[2]} {duration}"
                fail("bad-time", f"{str(node)!r} is one name", self.span_of(node), hint)
        value = self.read_name(node)
        if not value:
            hint = "write at least one character; `is null` behind an attribute finds devices without a value"
            fail("empty-name", "empty value", self.span_of(node), hint)
        return value

    def _read_shifted_time(self, tree: Tree) -> RelativeTime:
        """Read `today - 7 days`."""
        anchor, sign, *duration = cast(list[Token], tree.children)
        if anchor.lower() not in ("today", "now"):
            message = f"only today and now can be shifted, not {str(anchor)!r:.60}"
            fail("bad-time", message, self.span_of(anchor), f"write {TIME_EXAMPLE}")
        amount, unit = self.read_duration(*duration)
        return self._relative_time(tree, cast(Anchor, anchor.lower()), amount if sign == "+" else -amount, unit)

    def _read_past_time(self, tree: Tree) -> RelativeTime:
        """Read `7 days ago`."""
        *duration, _ = cast(list[Token], tree.children)
        amount, unit = self.read_duration(*duration)
        return self._relative_time(tree, "now" if unit in CLOCK_UNITS else "today", -amount, unit)

    def _relative_time(self, tree: Tree, anchor: Anchor, amount: int, unit: TimeUnit) -> RelativeTime:
        with locate_errors(self.span_of(tree)):
            return RelativeTime(anchor, amount, unit)

    def read_duration(self, amount_token: Token, unit_token: Token | None = None) -> tuple[int, TimeUnit]:
        """Read a number and a unit: two words, or one such as `7d`."""
        span = self.span_of(amount_token, *([] if unit_token is None else [unit_token]))
        match = DURATION.fullmatch(amount_token)
        if match is None or (match[2] and unit_token is not None):
            is_unit = amount_token.lower() in UNIT_WORDS
            hint = f"put a number before it: 1 {amount_token}" if is_unit else f"use 1 to {MAX_WITHIN_DAYS}"
            number = read_spelled_number(amount_token)
            hint = hint if number is None else f"write {number}"
            fail("bad-days", f"invalid number of days {str(amount_token)!r}", self.span_of(amount_token), hint)
        word = str(unit_token) if unit_token is not None else match[2]
        if not word:
            fail("no-unit", f"{match[1]} has no unit", span, f"add one: {match[1]} days, {match[1]} hours")
        unit = UNIT_WORDS.get(word.lower())
        if unit is None:
            hint = f"write {match[1]} minutes, hours, days, weeks, months or years; short: 7d 36h 2w"
            fail("no-unit", f"unknown unit {word!r}", span, hint)
        return int(match[1]), unit


def read_spelled_number(word: str) -> str | None:
    """Return the digits of a number that is spelled in words or in digits of another script, or None.

    >>> read_spelled_number("seven"), read_spelled_number("７"), read_spelled_number("many")
    ('7', '7', None)
    """
    digits = unicodedata.normalize("NFKC", word)
    if digits != word and digits.isascii() and digits.isdecimal():
        return digits
    return str(NUMBER_WORDS.index(word.lower())) if word.lower() in NUMBER_WORDS else None


@contextmanager
def locate_errors(span: Span | None) -> Iterator[None]:
    """Give the problems that are raised inside the block the position *span*, if they have none."""
    try:
        yield
    except ExpressionError as error:
        problems = [replace(problem, span=problem.span or span) for problem in error.problems]
        raise ExpressionError(*problems) from None


def fail(code: str, message: str, span: Span | None = None, hint: str | None = None) -> NoReturn:
    """Raise ExpressionError."""
    raise ExpressionError(Problem(code, message, span, hint=hint))


def _first_token(node: Any) -> Token:
    return _first_token(node.children[0]) if isinstance(node, Tree) else node


def _last_token(node: Any) -> Token:
    return _last_token(node.children[-1]) if isinstance(node, Tree) else node
