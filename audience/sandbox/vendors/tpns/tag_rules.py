"""TPNS's tag_rules, evaluated as its page says: AND before OR among items and among rules, NOT last of each.

https://www.tencentcloud.com/document/product/1024/33764
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from audience.sandbox.http_types import JSON, Mask, Refused
from audience.sandbox.request_checks import is_texts
from audience.sandbox.vendor_state import Desk

BARE = "xg_user_define"
COLUMNS = {
    "xg_auto_version": "version",
    "xg_auto_province": "province",
    "xg_auto_active": "active",
    "xg_auto_sdkversion": "sdk_version",
    "xg_auto_systemlanguage": "language",
    "xg_auto_devicebrand": "brand",
    "xg_auto_deviceversion": "model",
    "xg_auto_country": "country",
    "xg_auto_systemversion": "os_version",
}


def by_rules(rules: Any, desk: Desk) -> Mask:
    """Whom `tag_rules` means."""
    if not isinstance(rules, list) or not rules:
        raise Refused(1008007, "tag_rules must be a list of rules")
    return _joined([_rule(rule, desk) for rule in rules], rules, "operator")


def by_list(tags: Any, desk: Desk) -> Mask:
    """Whom the older `tag_list` means, {"tags": […], "op": "AND"}."""
    if not isinstance(tags, dict) or not is_texts(tags.get("tags")) or not tags["tags"]:
        raise Refused(1008007, "tag_list needs tags and op")
    if len(json.dumps(tags, ensure_ascii=False)) > 512:
        raise Refused(1008007, "tag_list has more than 512 characters")
    return _folded([tagged(desk, BARE, name) for name in tags["tags"]], _operator(tags, "op"))


def tagged(desk: Desk, kind: str, name: str) -> Mask:
    """Who has the tag *name* of the type *kind*; a custom `age:20` is the column age too."""
    people = desk.population
    if kind != BARE:
        return people.typed(COLUMNS[kind], _day(name) if kind == "xg_auto_active" else name)
    column, colon, value = name.partition(":")
    return people.bare(desk.vendor, name) | (people.typed(column, value) if colon else people.nobody())


def _rule(rule: Any, desk: Desk) -> Mask:
    if not isinstance(rule, dict) or not isinstance(rule.get("tag_items"), list) or not rule["tag_items"]:
        raise Refused(1008007, "a rule needs tag_items")
    items = rule["tag_items"]
    found = _joined([_item(item, desk) for item in items], items, "items_operator")
    return _unless(rule, found, desk)


def _item(item: Any, desk: Desk) -> Mask:
    if not isinstance(item, dict) or not is_texts(item.get("tags")) or not item["tags"]:
        raise Refused(1008007, "an item needs tags")
    kind = item.get("tag_type")
    if not isinstance(kind, str) or kind not in (BARE, *COLUMNS):
        raise Refused(1008007, f"tag_type {kind} is not known")
    found = _folded([tagged(desk, kind, name) for name in item["tags"]], _operator(item, "tags_operator"))
    return _unless(item, found, desk)


def _unless(part: JSON, found: Mask, desk: Desk) -> Mask:
    if not isinstance(part.get("is_not", False), bool):
        raise Refused(1008007, "is_not is true or false")
    return desk.population.known(desk.vendor) & ~found if part.get("is_not") else found


def _joined(values: Sequence[Mask], parts: Sequence[JSON], operator: str) -> Mask:
    """Join each value to what stands before it by its own operator, the first one's is ignored; AND binds tighter."""
    groups = [values[0]]
    for value, part in zip(values[1:], parts[1:], strict=True):
        if _operator(part, operator) == "AND":
            groups[-1] = groups[-1] & value
        else:
            groups.append(value)
    return _folded(groups, "OR")


def _folded(values: Sequence[Mask], operator: str) -> Mask:
    join = np.logical_and if operator == "AND" else np.logical_or
    found: Mask = join.reduce(values)
    return found


def _operator(part: JSON, name: str) -> str:
    operator = part.get(name)
    if operator not in ("AND", "OR"):
        raise Refused(1008007, f"{name} is AND or OR")
    return str(operator)


def _day(name: str) -> str:
    """20200408 as 2020-04-08."""
    try:
        return datetime.strptime(name, "%Y%m%d").date().isoformat()
    except ValueError:
        raise Refused(1008007, f"{name} is no day of the form 20200408") from None
