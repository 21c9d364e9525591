"""Places in a text, and the caret line that points at them in a terminal."""

from dataclasses import dataclass

WINDOW = 60  # characters kept on either side of a place in a long line


@dataclass(frozen=True, slots=True)
class Span:
    """Characters *start* to *end* (not included) of *text*."""

    text: str
    start: int
    end: int

    @property
    def words(self) -> str:
        return self.text[self.start : self.end]


def width(text: str) -> int:
    """Terminal columns that *text* takes: Chinese characters take two, combining marks none.

    >>> width("杭州"), width("ab")
    (4, 2)
    """
    return sum(max(0, columns) for columns in _columns(text))


def underline(span: Span) -> str:
    """Draw the line of *span* with carets beneath the place.

    >>> print(underline(Span("vip AND 杭州 老用户", 11, 14)))
     1 | vip AND 杭州 老用户
       |              ^^^^^^
    """
    number = span.text.count("\n", 0, span.start) + 1
    first = span.text.rfind("\n", 0, span.start) + 1
    last = span.text.find("\n", span.start)
    last = len(span.text) if last < 0 else last
    left, right = max(first, span.start - WINDOW), min(last, span.start + WINDOW)
    before = ("…" if left > first else "") + _printable(span.text[left : span.start])
    after = _printable(span.text[span.start : right]) + ("…" if right < last else "")
    place = _printable(span.text[span.start : min(span.end, right)])
    margin = " " * len(str(number))
    return f" {number} | {before}{after}\n {margin} | {' ' * width(before)}{'^' * max(1, width(place))}"


def _printable(text: str) -> str:
    """*text* with one space for every control character, which would move the caret."""
    return "".join(char if columns >= 0 else " " for char, columns in zip(text, _columns(text), strict=True))


def _columns(text: str) -> list[int]:
    """Terminal columns of each character of *text*; below 0 for a control character."""
    from wcwidth import wcwidth  # here, as it takes long to load and only errors are underlined

    return list(map(wcwidth, text))
