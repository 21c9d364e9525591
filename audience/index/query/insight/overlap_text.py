"""Text and HTML of an overlap."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from audience.counts import format_count
from audience.index.query.insight.text_layout import (
    MIN_NAME_WIDTH,
    draw_bar,
    format_columns,
    format_share,
    shorten,
)
from audience.span import display_width

if TYPE_CHECKING:  # an overlap prints itself
    from audience.index.query.insight.overlap import Overlap, OverlapPair

MAX_LISTED_NAMES = 12  # audiences whose matrix has a column for each
MAX_COMBINATIONS = 40
MEMBER, NO_MEMBER = "●", "·"


def format_overlap(overlap: "Overlap", width: int | None = None) -> str:
    """Return an overlap as text: the audiences, what each contains of each other, and their combinations.

    Args:
        overlap: Overlap.
        width: Columns of the terminal, which bars, names and texts are fitted to; None is any width.
    """
    lines = [*_format_segments(overlap, width), "", *_format_matrix(overlap)]
    if overlap.combinations is not None and len(overlap.segments) > 1:
        lines += ["", *_format_combinations(overlap, width)]
    return "\n".join(lines)


def _format_segments(overlap: "Overlap", width: int | None) -> Iterator[str]:
    """Yield the audiences with their numbers, by which the other tables call them."""
    yield (
        f"{format_count(overlap.devices, 'device')}, snapshot {overlap.snapshot}, "
        f"as of {overlap.as_of.isoformat(timespec='seconds')}"
    )
    full_share = max((segment.share for segment in overlap.segments), default=0)
    rows = [
        (
            f"{number}",
            shorten(segment.name, 24),
            draw_bar(segment.share, None, full_share),
            format_share(segment.share),
            f"{segment.count:,}",
            "" if segment.expression == shorten(segment.name, 24) else shorten(segment.expression, 60),
        )
        for number, segment in enumerate(overlap.segments, 1)
    ]
    share = overlap.none / overlap.devices if overlap.devices else 0
    rows.append(("", "none of them", "", format_share(share), f"{overlap.none:,}", ""))
    yield from _format_fitting(("", "audience", "", "share", "devices", ""), rows, (0, 3, 4), width)


def _format_fitting(
    titles: Sequence[str], rows: Sequence[Sequence[str]], right_aligned: Sequence[int], width: int | None
) -> list[str]:
    """Return a table of *width* columns, whose last cells are cut, and left out where there is hardly room."""
    without_last = format_columns(titles[:-1], [row[:-1] for row in rows], right_aligned)
    if width is None:
        return format_columns(titles, rows, right_aligned)
    room = width - max(map(display_width, without_last)) - 2
    if room < MIN_NAME_WIDTH:
        return without_last
    return format_columns(titles, [(*row[:-1], shorten(row[-1], room)) for row in rows], right_aligned)


def _format_matrix(overlap: "Overlap") -> Iterator[str]:
    """Yield how much of each audience the others contain; of many audiences, the pairs that share most."""
    if len(overlap.segments) > MAX_LISTED_NAMES:
        yield from _format_pairs(overlap)
        return
    yield "share of the audience of a row that the audience of a column contains"
    titles = ("", "", *(f"{number}" for number in range(1, len(overlap.segments) + 1)))
    rows = [
        (f"{number}", shorten(segment.name, 24), *(_format_contained(pair) for pair in row))
        for number, (segment, row) in enumerate(zip(overlap.segments, overlap.pairs, strict=True), 1)
    ]
    yield from format_columns(titles, rows, (0, *range(2, len(titles))))


def _format_contained(pair: "OverlapPair") -> str:
    return "-" if pair.contained is None else format_share(pair.contained)


def _format_pairs(overlap: "Overlap") -> Iterator[str]:
    names = [segment.name for segment in overlap.segments]
    pairs = [
        (overlap.pairs[row][column], overlap.pairs[column][row], names[row], names[column])
        for row in range(len(names))
        for column in range(row + 1, len(names))
    ]
    pairs.sort(key=lambda each: -(each[0].jaccard or 0))
    rows = [
        (
            shorten(first),
            shorten(second),
            f"{pair.both:,}",
            "-" if pair.jaccard is None else format_share(pair.jaccard),
            _format_contained(pair),
            _format_contained(mirrored),
        )
        for pair, mirrored, first, second in pairs[:MAX_COMBINATIONS]
    ]
    yield from format_columns(
        ("audience", "other", "both", "of either", "of the audience", "of the other"), rows, (2, 3, 4, 5)
    )
    if len(pairs) > MAX_COMBINATIONS:
        yield f"… and {len(pairs) - MAX_COMBINATIONS:,} pairs that share less"


def _format_combinations(overlap: "Overlap", width: int | None) -> Iterator[str]:
    """Yield the combinations as the rows of an UpSet plot: a dot for each audience, and a bar."""
    assert overlap.combinations is not None
    yield "devices in these audiences and in no other"
    names = [segment.name for segment in overlap.segments]
    shown = overlap.combinations[:MAX_COMBINATIONS]
    full = max((each.count for each in shown), default=0)
    rows = [
        (
            *(MEMBER if name in each.names else NO_MEMBER for name in names),
            draw_bar(each.count / full, None, 1.0),
            f"{each.count:,}",
            shorten(" + ".join(each.names), 60),
        )
        for each in shown
    ]
    titles = (*(f"{number}" for number in range(1, len(names) + 1)), "", "devices", "")
    yield from _format_fitting(titles, rows, (len(names) + 1,), width)
    if len(overlap.combinations) > MAX_COMBINATIONS:
        rest = overlap.combinations[MAX_COMBINATIONS:]
        count = format_count(sum(each.count for each in rest), "device")
        yield f"… and {len(rest):,} smaller combinations: {count}"


def format_overlap_html(overlap: "Overlap") -> str:
    """Return an overlap as HTML: how much of each audience the others contain, and the combinations."""
    names = [segment.name for segment in overlap.segments]
    titles = "".join(f"<th>{escape(name)}</th>" for name in ("", "devices", *names))
    rows = "".join(
        f"<tr><th>{escape(segment.name)}</th><td>{segment.count:,}</td>{''.join(map(_format_html_pair, row))}</tr>"
        for segment, row in zip(overlap.segments, overlap.pairs, strict=True)
    )
    caption = f"share of a row that a column contains; {overlap.none:,} of {overlap.devices:,} devices are in none"
    matrix = f"<table><caption>{escape(caption)}</caption><tr>{titles}</tr>{rows}</table>"
    return f"<div>{matrix}{_format_html_combinations(overlap)}</div>"


def _format_html_pair(pair: "OverlapPair") -> str:
    share = pair.contained or 0
    return (
        f"<td style='background:rgba(70,130,220,{share / 2:.2f})' title='{pair.both:,}'>{_format_contained(pair)}</td>"
    )


def _format_html_combinations(overlap: "Overlap") -> str:
    if not overlap.combinations:
        return ""
    shown = overlap.combinations[:MAX_COMBINATIONS]
    rows = "".join(f"<tr><th>{escape(' + '.join(each.names))}</th><td>{each.count:,}</td></tr>" for each in shown)
    rest = len(overlap.combinations) - len(shown)
    more = f"<tr><td colspan=2>… and {rest:,} smaller ones</td></tr>" if rest else ""
    return f"<table><caption>in these audiences and in no other</caption>{rows}{more}</table>"
