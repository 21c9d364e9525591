"""Text of the parts that an audience is divided into."""

from collections.abc import Mapping, Sequence
from typing import Any

from audience.cli.output.widgets import format_table
from audience.counts import format_count
from audience.requests.division import Division

MAX_SHOWN_PARTS = 20


def format_parts(parts: Sequence[Mapping[str, Any]], division: Division) -> str:
    """Return a table of *parts* with what they were divided by, and their devices."""
    labels = {
        "vendor": any("vendor" in part for part in parts),
        "variant": division.split is not None,
        "language": division.language_of is not None,
        "zone": division.timezone_of is not None,
    }
    names = [name for name, is_shown in labels.items() if is_shown]
    shown = parts[: MAX_SHOWN_PARTS if len(parts) > MAX_SHOWN_PARTS + 1 else None]
    rows = [(*(part[name] or "other" for name in names), f"{part['devices']:,}") for part in shown]
    table = format_table((*names, "devices"), rows, right_aligned=(len(names),))
    if len(shown) == len(parts):
        return table
    devices = sum(part["devices"] for part in parts[len(shown) :])
    return f"{table}\n… and {len(parts) - len(shown):,} more parts with {format_count(devices, 'device')}"
