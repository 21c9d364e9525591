"""Lay out tables with bars as plain text, for terminals and for `print`."""

from collections.abc import Sequence

from audience.span import display_width

BAR_WIDTH, MIN_BAR_WIDTH = 24, 8  # columns of the terminal
EIGHTHS = " ▏▎▍▌▋▊▉█"
BASE_MARK = "│"
MAX_NAME_WIDTH, MIN_NAME_WIDTH = 40, 12


def draw_bar(share: float, base_share: float | None, full_share: float, width: int = BAR_WIDTH) -> str:
    """Return a bar for *share*, and a mark where that of the base would end; *full_share* fills *width* characters.

    >>> draw_bar(0.5, 0.25, 1.0, 8), draw_bar(0.25, 0.5, 1.0, 8), draw_bar(0.0625, None, 1.0, 8)
    ('█│██', '██ │', '▌')
    """
    if full_share <= 0:
        return ""
    eighths = round(8 * width * min(share / full_share, 1))
    if share > 0:
        eighths = max(eighths, 1)  # so that one device is seen
    cells = [*("█" * (eighths // 8)), *([EIGHTHS[eighths % 8]] if eighths % 8 else [])]
    if base_share is not None and base_share > 0:
        at = min(max(round(width * min(base_share / full_share, 1)) - 1, 0), width - 1)
        cells += [" "] * (at + 1 - len(cells))
        cells[at] = BASE_MARK
    return "".join(cells)


def format_share(share: float) -> str:
    """Return a share as a percentage, with as many digits as a small one needs.

    >>> format_share(0.5), format_share(0.0123), format_share(0.00012), format_share(0.0), format_share(0.9999)
    ('50.0%', '1.23%', '0.012%', '0%', '99.99%')
    """
    if share in (0, 1):
        return f"{share:.0%}"
    if share >= 0.1:
        return f"{share:.1%}" if share < 0.9995 else f"{int(share * 10_000) / 100:.2f}%"
    return f"{share:.2%}" if share >= 0.001 else f"{100 * share:.2g}%"


def format_ratio(ratio: float | None) -> str:
    """Return a ratio with three digits; nothing without one.

    >>> format_ratio(1.234), format_ratio(12.34), format_ratio(1234.5), format_ratio(0.0012), format_ratio(None)
    ('1.23', '12.3', '1,234', '0.0012', '')
    """
    if not ratio:
        return "" if ratio is None else "0"
    if ratio >= 1_000:
        return f"{ratio:,.0f}"
    if ratio >= 100:
        return f"{ratio:.0f}"
    if ratio >= 10:
        return f"{ratio:.1f}"
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def format_columns(titles: Sequence[str], rows: Sequence[Sequence[str]], right_aligned: Sequence[int]) -> list[str]:
    """Return a title line and a line for each row, with columns two spaces apart."""
    lines = [titles, *rows]
    widths = [max(display_width(line[column]) for line in lines) for column in range(len(titles))]
    return [
        "  ".join(
            pad(cell, width, is_right=column in right_aligned)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def fit_bar(rows: Sequence[Sequence[str]], titles: Sequence[str], indent: int, width: int | None) -> tuple[int, int]:
    """Return the widths of bars and of names for which a table fits *width* columns; None is any width.

    Args:
        rows: Cells, names first and bars second, of which the bars are empty.
        titles: Titles of the columns.
        indent: Columns before the table.
        width: Columns of the terminal.
    """
    if width is None:
        return BAR_WIDTH, MAX_NAME_WIDTH
    columns = [max(map(display_width, cells)) for cells in zip(titles, *rows, strict=True)]
    fixed = indent + sum(columns[2:]) + 2 * (len(columns) - 1)
    bar = min(max(width - fixed - columns[0], MIN_BAR_WIDTH), BAR_WIDTH)
    return bar, min(max(width - fixed - bar, MIN_NAME_WIDTH), MAX_NAME_WIDTH)


def pad(text: str, width: int, *, is_right: bool = False) -> str:
    """Return *text* with spaces up to *width* columns of the terminal."""
    spaces = " " * max(0, width - display_width(text))
    return spaces + text if is_right else text + spaces


def shorten(text: str, width: int = MAX_NAME_WIDTH) -> str:
    r"""Return *text* on one line of at most *width* columns, without characters that control the terminal.

    >>> shorten("a" * 9, 5), shorten("广东省深圳市", 6), shorten("a\nb", 9)
    ('aaaa…', '广东…', 'a\\nb')
    """
    printable = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    if display_width(printable) <= width:
        return printable
    while printable and display_width(printable) > width - 1:
        printable = printable[:-1]
    return f"{printable}…"
