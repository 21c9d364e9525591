"""Text and HTML of a profile."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from audience.counts import format_count
from audience.index.query.insight.text_layout import (
    MIN_NAME_WIDTH,
    draw_bar,
    fit_bar,
    format_columns,
    format_ratio,
    format_share,
    shorten,
)

if TYPE_CHECKING:  # a profile prints itself
    from audience.index.query.insight.profile import Profile, ProfiledAttribute, ProfiledValue

EVERYBODY = "everybody"
MAX_EXPRESSION_WIDTH = 100
HEADING_WIDTH = 48  # beside the text of an audience
TITLES = ("", "", "share", EVERYBODY, "lift", "95 % from", "to", "devices")
RIGHT_ALIGNED = (2, 3, 4, 5, 6, 7)


def format_profile(profile: "Profile", width: int | None = None) -> str:
    """Return a profile as text: a heading, and a table with bars for each attribute.

    A bar is the share in the audience, the mark `│` where that in the base ends.

    Args:
        profile: Profile.
        width: Columns of the terminal, which bars and names are fitted to; None is any width.
    """
    tables = (line for each in profile.attributes for line in _format_attribute(each, profile, width))
    return "\n".join([*_format_heading(profile, width), *tables])


def _format_heading(profile: "Profile", width: int | None = None) -> Iterator[str]:
    text_width = MAX_EXPRESSION_WIDTH if width is None else max(width - HEADING_WIDTH, MIN_NAME_WIDTH)
    base = EVERYBODY if profile.against is None else shorten(profile.against, text_width)
    share = f" ({format_share(profile.count / profile.base_count)} of them)" if _is_part(profile) else ""
    yield f"audience   {shorten(profile.expression, text_width)}: {format_count(profile.count, 'device')}"
    yield f"against    {base}: {format_count(profile.base_count, 'device')}{share}"
    yield f"snapshot   {profile.snapshot}, as of {profile.as_of.isoformat(timespec='seconds')}"


def _is_part(profile: "Profile") -> bool:
    return profile.against is None and profile.base_count > 0


def _format_attribute(attribute: "ProfiledAttribute", profile: "Profile", width: int | None) -> Iterator[str]:
    """Yield the lines of an attribute: its name, and one line for each value."""
    yield ""
    yield f"{shorten(attribute.name)}  {describe_attribute(attribute, profile)}"
    if not attribute.values:
        yield "  no device has a value"
        return
    base = EVERYBODY if profile.against is None else "base"
    titles = [base if title == EVERYBODY else title for title in TITLES]
    rows = [_format_value(each) for each in attribute.values]
    bar_width, name_width = fit_bar(rows, titles, 2, width)
    full_share = max(max(each.share, each.base_share) for each in attribute.values)
    bars = [draw_bar(each.share, each.base_share, full_share, bar_width) for each in attribute.values]
    rows = [(shorten(name, name_width), bar, *cells) for (name, _, *cells), bar in zip(rows, bars, strict=True)]
    yield from (f"  {line}" for line in format_columns(titles, rows, RIGHT_ALIGNED))
    if attribute.others is not None:
        yield f"  {describe_others(attribute)}"


def _format_value(value: "ProfiledValue") -> Sequence[str]:
    """Return the cells of a line, that of the bar empty."""
    return (
        shorten(value.value),
        "",
        format_share(value.share),
        format_share(value.base_share),
        f"×{format_ratio(value.lift)}" if value.lift is not None else "",
        format_ratio(value.low),
        format_ratio(value.high) if value.high is not None or value.low is None else "∞",
        f"{value.count:,}",
    )


def describe_attribute(attribute: "ProfiledAttribute", profile: "Profile") -> str:
    """Return the kind of an attribute, how many devices have a value, and how much it reveals."""
    kinds = {"tag": "tags", "string": "text", "number": "numbers", "date": "days", "time": "moments"}
    kinds |= {"version": "versions", "event": "devices a day"}
    parts = [kinds[attribute.kind]]
    if attribute.timezone is not None:
        parts[0] += f" of {attribute.timezone}"
    if attribute.is_multiple and attribute.kind != "event":
        parts.append("several a device")
    if profile.count and profile.base_count and (attribute.known < profile.count or _lacks_some(attribute, profile)):
        shares = attribute.known / profile.count, attribute.base_known / profile.base_count
        base = EVERYBODY if profile.against is None else "the base"
        parts.append(f"known of {format_share(shares[0])}, of {base} {format_share(shares[1])}")
    parts.append(f"reveals {format_share(attribute.information)}")
    return ", ".join(parts)


def _lacks_some(attribute: "ProfiledAttribute", profile: "Profile") -> bool:
    return attribute.base_known < profile.base_count


def describe_others(attribute: "ProfiledAttribute") -> str:
    """Return how many values are not listed, and how many devices have them."""
    others = attribute.others
    assert others is not None
    noun = "earlier day" if attribute.kind == "event" else "other value"
    counts = format_count(others.count, "device")
    if attribute.is_multiple and attribute.kind != "event":
        counts = f"{others.count:,} times"
    return f"… and {format_count(others.values, noun)}: {counts} (of {others.base_count:,})"


def format_profile_html(profile: "Profile") -> str:
    """Return a profile as HTML tables, whose bars are backgrounds of cells."""
    heading = "<br>".join(escape(line) for line in _format_heading(profile))
    tables = "".join(_format_html_attribute(each, profile) for each in profile.attributes)
    return f"<div><p>{heading}</p>{tables}</div>"


def _format_html_attribute(attribute: "ProfiledAttribute", profile: "Profile") -> str:
    full_share = max((max(each.share, each.base_share) for each in attribute.values), default=0)
    base = EVERYBODY if profile.against is None else "base"
    titles = "".join(f"<th>{title}</th>" for title in ("", "share", base, "lift", "95 %", "devices"))
    rows = "".join(_format_html_value(each, full_share) for each in attribute.values)
    others = "" if attribute.others is None else f"<tr><td colspan=6>{escape(describe_others(attribute))}</td></tr>"
    caption = f"{escape(attribute.name)} <small>{escape(describe_attribute(attribute, profile))}</small>"
    return f"<table><caption>{caption}</caption><tr>{titles}</tr>{rows}{others}</table>"


def _format_html_value(value: "ProfiledValue", full_share: float) -> str:
    percent = 100 * value.share / full_share if full_share else 0
    bar = f"background:linear-gradient(90deg,rgba(70,130,220,.35) {percent:.1f}%,transparent {percent:.1f}%)"
    interval = "" if value.low is None else f"{format_ratio(value.low)} to {format_ratio(value.high) or '∞'}"
    cells = (
        format_share(value.base_share),
        "" if value.lift is None else f"×{format_ratio(value.lift)}",
        interval,
        f"{value.count:,}",
    )
    return (
        f"<tr><th>{escape(value.value)}</th><td style='min-width:12em;{bar}'>{format_share(value.share)}</td>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )
