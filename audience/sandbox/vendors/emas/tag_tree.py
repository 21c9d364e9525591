"""EMAS's TAG expression: a name, or JSON of {"tag"}, {"and": […]}, {"or": […]}, {"not": {"tag"}}.

https://help.aliyun.com/document_detail/434847.html. Every tag counts as bound to the device, as BindTag does today.
"""

import json
from typing import Any

import numpy as np

from audience.sandbox.http_types import Mask, Refused
from audience.sandbox.vendor_state import Desk

DEPTH, OPERANDS, TAGS, LONGEST = 2, 10, 50, 128
BAD = "InvalidTargetValue.Format"


def by_tags(value: str, desk: Desk) -> Mask:
    """Whom the target value of a TAG push means."""
    if not value.lstrip().startswith("{"):
        return _tag(value, desk)
    try:
        tree = json.loads(value)
    except ValueError:
        raise Refused(BAD, "the tag expression is not JSON") from None
    if _count(tree) > TAGS:
        raise Refused(BAD, f"more than {TAGS} tags")
    if not _bounds(tree):
        raise Refused(BAD, "a NOT needs a tag beside it that bounds it")
    return _node(tree, desk, 0)


def _node(node: Any, desk: Desk, depth: int) -> Mask:
    match node:
        case {"tag": str(name)} if len(node) == 1:
            return _tag(name, desk)
        case {"not": {"tag": str(name)}} if len(node) == len(node["not"]) == 1:
            return desk.population.known(desk.vendor) & ~_tag(name, desk)
        case {"and": [_, *_] as parts} | {"or": [_, *_] as parts} if len(node) == 1:
            if depth == DEPTH:
                raise Refused(BAD, f"more than {DEPTH} levels of and, or")
            if len(parts) > OPERANDS:
                raise Refused(BAD, f"more than {OPERANDS} operands")
            join = np.logical_and if "and" in node else np.logical_or
            found: Mask = join.reduce([_node(part, desk, depth + 1) for part in parts])
            return found
    raise Refused(BAD, "a tag expression is of tag, and, or, and not of one tag")


def _bounds(node: Any) -> bool:
    """Whether what it means lies within tags that are said without NOT."""
    match node:
        case {"and": list(parts)}:
            return any(_bounds(part) for part in parts)
        case {"or": list(parts)}:
            return all(_bounds(part) for part in parts)
        case {"not": _}:
            return False
    return True


def _count(node: Any) -> int:
    match node:
        case {"and": list(parts)} | {"or": list(parts)}:
            return sum(_count(part) for part in parts)
    return 1


def _tag(name: str, desk: Desk) -> Mask:
    if not name or len(name) > LONGEST:
        raise Refused("InvalidTag.LengthExceed" if name else "InvalidTag.Empty", "a tag has 1 to 128 characters")
    return desk.population.bare(desk.vendor, name)
