"""EMAS tag expressions: a name, or JSON of {"tag"}, {"and": […]}, {"or": […]}, {"not": {"tag"}}.

https://help.aliyun.com/document_detail/434847.html. An expression is about keys, not devices: a tag that is bound to an
alias and one that is bound to the device itself do not meet.
"""

import json
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, VendorRefusal
from audience.sandbox.tag_store import TagStore
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.emas.tag_bindings import find_key_tags, find_named_keys

MAX_DEPTH, MAX_OPERANDS, MAX_TAGS, MAX_TAG_CHARS = 2, 10, 50, 128
BAD_EXPRESSION_CODE = "InvalidTargetValue.Format"


def evaluate_tag_expression(value: str, state: VendorState) -> DeviceMask:
    """Return the devices that the value of a TAG target matches, by the tags of any kind of key."""
    devices = _evaluate_keys(value, find_key_tags("DEVICE", state).seen_by_pushes())
    for kind in sorted(state.key_tags.keys() - {"DEVICE"}):
        keys = _evaluate_keys(value, state.key_tags[kind].seen_by_pushes())
        devices |= find_named_keys(kind, state).find_devices(keys, len(state.population))
    return devices


def _evaluate_keys(value: str, tags: TagStore) -> DeviceMask:
    """Return the keys that *value* matches."""
    if not value.lstrip().startswith("{"):
        return _devices_with_tag(value, tags)
    try:
        tree = json.loads(value)
    except ValueError:
        raise VendorRefusal(BAD_EXPRESSION_CODE, "the tag expression is not JSON") from None
    if _count_tags(tree) > MAX_TAGS:
        raise VendorRefusal(BAD_EXPRESSION_CODE, f"more than {MAX_TAGS} tags")
    if not _is_bounded(tree):
        raise VendorRefusal(BAD_EXPRESSION_CODE, "a NOT needs a tag beside it that bounds it")
    return _evaluate_node(tree, tags, 0)


def _evaluate_node(node: Any, tags: TagStore, depth: int) -> DeviceMask:
    match node:
        case {"tag": str(name)} if len(node) == 1:
            return _devices_with_tag(name, tags)
        case {"not": {"tag": str(name)}} if len(node) == len(node["not"]) == 1:
            return tags.population.registered_devices(tags.vendor) & ~_devices_with_tag(name, tags)
        case {"and": [_, *_] as parts} | {"or": [_, *_] as parts} if len(node) == 1:
            if depth == MAX_DEPTH:
                raise VendorRefusal(BAD_EXPRESSION_CODE, f"more than {MAX_DEPTH} levels of and, or")
            if len(parts) > MAX_OPERANDS:
                raise VendorRefusal(BAD_EXPRESSION_CODE, f"more than {MAX_OPERANDS} operands")
            join = np.logical_and if "and" in node else np.logical_or
            devices: DeviceMask = join.reduce([_evaluate_node(part, tags, depth + 1) for part in parts])
            return devices
    raise VendorRefusal(BAD_EXPRESSION_CODE, "a tag expression is of tag, and, or, and not of one tag")


def _is_bounded(node: Any) -> bool:
    """Return whether every match has a tag that is named without NOT."""
    match node:
        case {"and": list(parts)}:
            return any(_is_bounded(part) for part in parts)
        case {"or": list(parts)}:
            return all(_is_bounded(part) for part in parts)
        case {"not": _}:
            return False
    return True


def _count_tags(node: Any) -> int:
    match node:
        case {"and": list(parts)} | {"or": list(parts)}:
            return sum(_count_tags(part) for part in parts)
    return 1


def _devices_with_tag(name: str, tags: TagStore) -> DeviceMask:
    if not name or len(name) > MAX_TAG_CHARS:
        raise VendorRefusal("InvalidTag.LengthExceed" if name else "InvalidTag.Empty", "a tag has 1 to 128 characters")
    return tags.devices_with_tag(name)
