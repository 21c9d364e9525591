"""Selectors of activities, of which those that count events from a number on are conditions of the language.

    did(purchase) >= 3      {"activity": "purchase", "metric": "count", "operator": "greater_eq", "value": 3}

All others go back to Airship unchanged: no page says whether `greater 2` is twice or three times, which moments a
window includes, or in which time zone its days are.
"""

import json

from audience.language.ast import Reference
from audience.vendors.payload_reader import PayloadCursor

ACTIVITY_KIND = "activity"
ACTIVITY_KEYS = (
    *("activity", "metric", "operator", "value", "after", "before", "on", "on_precision", "precision", "where"),
    "relative_to",
)
COUNT_KEYS = {"activity", "metric", "operator", "value"}


def parse_activity(selector: PayloadCursor) -> Reference:
    """Return the reference of a selector of what somebody did."""
    selector.only(ACTIVITY_KEYS)["activity"].string()
    return Reference("airship", ACTIVITY_KIND, selector.json_text())


def write_count(activity: str, least: int) -> Reference:
    """Return the reference of the devices that did *activity* at least *least* times.

    >>> print(write_count("purchase", 3).value)
    {"activity":"purchase","metric":"count","operator":"greater_eq","value":3}
    """
    selector = {"activity": activity, "metric": "count", "operator": "greater_eq", "value": least}
    return Reference("airship", ACTIVITY_KIND, PayloadCursor(selector).json_text())


def read_count(reference: Reference) -> tuple[str, int] | None:
    """Return the activity and the least number of times that *reference* is about; None if it is about anything else.

    >>> read_count(write_count("purchase", 3))
    ('purchase', 3)
    """
    if reference.kind != ACTIVITY_KIND:
        return None
    try:
        selector = json.loads(reference.value)
    except ValueError:
        return None
    if not isinstance(selector, dict) or selector.keys() != COUNT_KEYS:
        return None
    activity, least = selector["activity"], selector["value"]
    is_count = (selector["metric"], selector["operator"]) == ("count", "greater_eq")
    is_number = isinstance(least, int) and not isinstance(least, bool) and least > 0
    return (activity, least) if is_count and is_number and isinstance(activity, str) else None
