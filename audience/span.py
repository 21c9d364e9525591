"""Positions in a text, and the caret line that shows them in a terminal."""

from dataclasses import dataclass

CONTEXT_CHARS = 60  # shown on either side of a position in a long line


@dataclass(frozen=True, slots=True)
class Span:
    """Characters *start* to *end* (exclusive) of *text*."""

    text: str
    start: int
    end: int

    @property
    def excerpt(self) -> str:
        """Text inside the span."""
        return self.text[self.start : self.end]


def display_width(text: str) -> int:
    """Return the terminal columns of *text*. Chinese characters take two, combining marks none.

    >>> display_width("杭州"), display_width("ab")
    (4, 2)
    """
    return sum(max(0, columns) for columns in _char_widths(text))


def format_caret_line(span: Span) -> str:
    """Return the line of *span* with carets below the position.

    >>> print(format_caret_line(Span("vip AND 杭州 老用户", 11, 14)))
     1 | vip AND 杭州 老用户
       |              ^^^^^^
    """
    number = span.text.count("\n", 0, span.start) + 1
    first = span.text.rfind("\n", 0, span.start) + 1
    last = span.text.find("\n", span.start)
    last = len(span.text) if last < 0 else last
    shown_from, shown_to = max(first, span.start - CONTEXT_CHARS), min(last, span.start + CONTEXT_CHARS)
    before = ("…" if shown_from > first else "") + _replace_control_chars(span.text[shown_from : span.start])
    after = _replace_control_chars(span.text[span.start : shown_to]) + ("…" if shown_to < last else "")
    excerpt = _replace_control_chars(span.text[span.start : min(span.end, shown_to)])
    margin = " " * len(str(number))
    carets = "^" * max(1, display_width(excerpt))
    return f" {number} | {before}{after}\n {margin} | {' ' * display_width(before)}{carets}"


def _replace_control_chars(text: str) -> str:
    """Replace control characters, which would move the carets, by spaces."""
    return "".join(char if columns >= 0 else " " for char, columns in zip(text, _char_widths(text), strict=True))


def _char_widths(text: str) -> list[int]:
    """Return the terminal columns of each character; negative for control characters."""
    from wcwidth import wcwidth  # imported here: it loads slowly, and only errors need it

    return list(map(wcwidth, text))
