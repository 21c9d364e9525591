"""Format the text of an expression: canonical text, with its comments, over several lines if it is long.

    # the south, for the launch
    province:guangdong  # the capital is 广州
    OR province:hunan
    OR (
      vip
      AND NOT registration_id(@staff.txt)
    )

The tokens are those of `render`. A line breaks before AND, OR, EXCEPT and a limit, after a comma, and inside brackets
that do not fit in their line or contain a comment. Files of ids are not read: they are written as they stand.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from audience.errors import ExpressionError, Problem
from audience.language.call_reader import FUNCTION_NAMES
from audience.language.comments import Comment, find_comments, move_comments
from audience.language.grammar import Token, UnexpectedCharacters, tokenize
from audience.language.parser import parse
from audience.language.printer import quote_name, render
from audience.span import Span, display_width

MAX_WIDTH = 100  # columns of a line
INDENT = "  "
SEGMENT_STARTS = frozenset(["_AND", "_OR", "_EXCEPT", "_LIMIT", "TOP"])
FILE_MARK = "\0"  # before the name of a file of ids, while the text is parsed without reading it; or several


@dataclass(frozen=True, slots=True)
class Brackets:
    """Brackets in a text: the numbers of their tokens, and the segments between them."""

    opened: int
    closed: int
    segments: "list[Segment]"


Segment: TypeAlias = list[int | Brackets]  # what stays in one line if it fits: tokens by number, and brackets


def format_text(text: str) -> str:
    """Return *text* formatted, with its comments and a line end. Formatting it again changes nothing.

    Raises:
        ExpressionError: *text* is invalid.

    >>> print(format_text("male&&!vip # not the VIPs"), end="")
    male AND NOT vip  # not the VIPs
    """
    tokens = _tokenize(text)
    canonical = _render_unread(text, tokens)
    canonical_tokens = [*tokenize(canonical)]
    comments = move_comments(find_comments(text, tokens), tokens, canonical_tokens)
    writer = LineWriter(canonical, canonical_tokens)
    for comment in comments:
        writer.comments[comment.position].append(comment)
    writer.write_all()
    return "\n".join(writer.lines) + "\n"


def _tokenize(text: str) -> list[Token]:
    """Return the tokens of *text*, or raise ExpressionError."""
    try:
        return [*tokenize(text)]
    except UnexpectedCharacters:
        parse(text, folder=None)  # which diagnoses it
        raise


def _render_unread(text: str, tokens: Sequence[Token]) -> str:
    """Return the canonical text, in which the files of lists of ids stand as they do in *text*."""
    mark = FILE_MARK * (text.count(FILE_MARK) + 1)  # more than any name of the text begins with
    marked, offsets, end = "", [(0, 0)], 0
    for token in _find_id_files(tokens):
        start = token.start_pos
        name = token[1:] if token[1:2] == '"' else f'"{token[1:]}"'
        marked += f'{text[end:start]}"{mark}{name[1:]}'
        end = token.end_pos
        offsets.append((len(marked), end))
    try:
        canonical = render(parse(marked + text[end:]))
    except ExpressionError as error:
        raise ExpressionError(*(_move_span(problem, text, offsets) for problem in error.problems)) from None
    marked_files = rf'"{mark}((?:[^"\\]|\\.)*)"'
    return re.sub(marked_files, lambda match: f"@{quote_name(_unescape(match[1]))}", canonical, flags=re.DOTALL)


def _find_id_files(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield the tokens of files in lists of ids, such as `@ids.txt` in `alias(@ids.txt)`."""
    in_list = [False]
    before = [Token("", ""), *tokens]
    for token, previous in zip(tokens, before, strict=False):
        if token.type == "_LPAR":
            is_call = previous.type in ("NAME", "STRING")
            in_list.append(is_call and previous.lower() not in FUNCTION_NAMES)
        elif token.type == "_RPAR" and len(in_list) > 1:
            in_list.pop()
        elif token.type == "AT" and in_list[-1] and previous.type in ("_LPAR", "_COMMA"):
            yield token


def _move_span(problem: Problem, text: str, offsets: list[tuple[int, int]]) -> Problem:
    """Return *problem* with its position in *text*, given the ends of the marked names there and in the marked text."""
    if problem.span is None:
        return problem

    def to_position(position: int) -> int:
        marked_end, end = next(pair for pair in reversed(offsets) if pair[0] <= position)
        return end + position - marked_end

    start, stop = to_position(problem.span.start), to_position(problem.span.end)
    return replace(problem, span=Span(text, start, max(start, min(stop, len(text)))))


def _unescape(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)


def _read_segments(tokens: Sequence[Token]) -> list[Segment]:
    """Return the segments of a text; those in brackets are inside the segment of the brackets."""
    levels: list[list[Segment]] = [[[]]]
    opened: list[int] = []
    follows_between = False
    for number, token in enumerate(tokens):
        segments = levels[-1]
        starts = token.type in SEGMENT_STARTS and not (token.type == "_AND" and follows_between)
        follows_between = token.type == "_BETWEEN" or (follows_between and token.type != "_AND")
        if token.type == "_LPAR":
            opened.append(number)
            levels.append([[]])
        elif token.type == "_RPAR":
            levels[-2][-1].append(Brackets(opened.pop(), number, levels.pop()))
        elif starts and segments[-1]:
            segments.append([number])
        else:
            segments[-1].append(number)
        if token.type == "_COMMA":
            segments.append([])
    return levels[0]


@dataclass(slots=True)
class LineWriter:
    """Writer of the lines of a canonical text.

    Attributes:
        text: The canonical text.
        tokens: Its tokens.
        comments: Comments by the number of the token before which they stand.
        lines: Lines that are written, and at last the one that is being written.
    """

    text: str
    tokens: Sequence[Token]
    comments: dict[int, list[Comment]] = field(default_factory=lambda: defaultdict(list))
    lines: list[str] = field(default_factory=list)
    is_closed: bool = True  # whether the last line takes no more tokens

    def write_all(self) -> None:
        """Write all tokens and comments."""
        last = len(self.tokens) - 1
        segments = _read_segments(self.tokens)
        if self._fits(0, last, 0):
            self._write_flat(0, last, "")
        else:
            self._write_segments(segments, "")
        self._write_comments(last + 1, "")

    def _fits(self, first: int, last: int, column: float) -> bool:
        """Return whether the tokens *first* to *last* fit in a line from *column* on, with no comment inside."""
        if any(self.comments.get(number) for number in range(first + 1, last + 1)):
            return False
        return column + display_width(self._slice(first, last)) <= MAX_WIDTH

    def _slice(self, first: int, last: int) -> str:
        return self.text[self.tokens[first].start_pos : self.tokens[last].end_pos]

    def _write_segments(self, segments: list[Segment], indent: str) -> None:
        for segment in segments:
            self.is_closed = True
            first, last = _first_token(segment[0]), _last_token(segment[-1])
            if self._fits(first, last, len(indent)):
                self._write_flat(first, last, indent)
            else:
                self._write_items(segment, indent)

    def _write_items(self, segment: Segment, indent: str) -> None:
        """Write a segment that does not fit in a line."""
        continued = indent
        for item in segment:
            if isinstance(item, int):
                self._write_flat(item, item, continued)
            else:
                self._write_brackets(item, indent)
            continued = indent + INDENT

    def _write_brackets(self, brackets: Brackets, indent: str) -> None:
        opened, closed = brackets.opened, brackets.closed
        column = len(indent) if self.is_closed else display_width(self.lines[-1])
        if self._fits(opened, closed, column if len(brackets.segments) > 1 else -math.inf):
            self._write_flat(opened, closed, indent)
            return
        self._write_flat(opened, opened, indent)
        self._write_segments(brackets.segments, indent + INDENT)
        self._write_comments(closed, indent + INDENT)
        self.is_closed = True
        self._append(closed, closed, indent)

    def _write_flat(self, first: int, last: int, indent: str) -> None:
        self._write_comments(first, indent)
        self._append(first, last, indent)

    def _append(self, first: int, last: int, indent: str) -> None:
        """Append tokens to the current line, or to a new one."""
        text = self._slice(first, last)
        if self.is_closed:
            self.lines.append(f"{indent}{text}")
        else:
            space = self.text[self.tokens[first - 1].end_pos : self.tokens[first].start_pos] if first else ""
            self.lines[-1] += f"{space}{text}"
        self.is_closed = False

    def _write_comments(self, number: int, indent: str) -> None:
        """Write the comments before the token *number*."""
        comments = self.comments.get(number, [])
        for comment in comments:
            if comment.is_trailing:
                self.lines[-1] += f"  {comment.text}"
                continue
            is_apart = comment.follows_blank and self.lines and self.lines[-1]
            self.lines += [*([""] if is_apart else []), f"{indent}{comment.text}"]
            if comment.precedes_blank and number < len(self.tokens):
                self.lines.append("")
        self.is_closed = self.is_closed or bool(comments)


def _first_token(item: int | Brackets) -> int:
    return item if isinstance(item, int) else item.opened


def _last_token(item: int | Brackets) -> int:
    return item if isinstance(item, int) else item.closed
