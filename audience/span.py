"""Places in a text, and the caret line that points at them in a terminal."""

from dataclasses import dataclass

CONTEXT_CHARS = 60  # characters kept on either side of a place in a long line


@dataclass(frozen=True, slots=True)
class Span:
    """Characters *start* to *end* (not included) of *text*."""

    text: str
    start: int
    end: int

    @property
    def excerpt(self) -> str:
        return self.text[self.start : self.end]


def display_width(text: str) -> int:
    """Terminal columns that *text* takes: Chinese characters take two, combining marks none.

    >>> display_width("杭州"), display_width("ab")
    (4, 2)
    """
    return sum(max(0, columns) for columns in _char_widths(text))


def format_caret_line(span: Span) -> str:
    """Draw the line of *span* with carets beneath the place.

    >>> print(format_caret_line(Span("vip AND 杭州 老用户", 11, 14)))
     1 | vip AND 杭州 老用户
       |              ^^^^^^
    """
    number = span.text.count("\n", 0, span.start) + 1
    first = span.text.rfind("\n", 0, span.start) + 1
    last = span.text.find("\n", span.start)
    last = len(span.text) if last < 0 else last
    left, right = max(first, span.start - CONTEXT_CHARS), min(last, span.start + CONTEXT_CHARS)
    before = ("…" if left > first else "") + _replace_control_chars(span.text[left : span.start])
    after = _replace_control_chars(span.text[span.start : right]) + ("…" if right < last else "")
    place = _replace_control_chars(span.text[span.start : min(span.end, right)])
    margin = " " * len(str(number))
    return f" {number} | {before}{after}\n {margin} | {' ' * display_width(before)}{'^' * max(1, display_width(place))}"


def _replace_control_chars(text: str) -> str:
    """*text* with one space for every control character, which would move the caret."""
    return "".join(char if columns >= 0 else " " for char, columns in zip(text, _char_widths(text), strict=True))


def _char_widths(text: str) -> list[int]:
    """Terminal columns of each character of *text*; below 0 for a control character."""
    from wcwidth import wcwidth  # here, as it takes long to load and only errors are underlined

    return list(map(wcwidth, text))
