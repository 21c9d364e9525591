"""JSON Merge Patch, by which every part of a message changes another one.

Source: https://www.rfc-editor.org/rfc/rfc7396.
"""

from collections.abc import Mapping
from typing import Any


def merge_patch(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return *document* with *patch* applied: objects key by key, null removes a key, other values replace the old one.

    >>> merge_patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3, "c": None}, "d": []})
    {'a': {'b': 3}, 'd': []}
    """
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            old = merged.get(key)
            merged[key] = merge_patch(old if isinstance(old, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged


def join_patches(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patch that does what *first* and then *second* do; `find_unjoinable` finds what has none.

    >>> join_patches({"a": {"b": None, "c": 1}}, {"a": {"c": None}})
    {'a': {'b': None, 'c': None}}
    """
    joined = dict(first)
    for key, value in second.items():
        old = joined.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            joined[key] = join_patches(old, value)
        else:
            joined[key] = value
    return joined


def find_unjoinable(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the path of a key that *first* removes or replaces, and *second* merges with; None if there is none.

    No single patch does both: it would merge with what is below the key before *first* removed it.

    >>> find_unjoinable({"a": {"b": None}}, {"a": {"b": {"c": 1}}}), find_unjoinable({"a": 1}, {"a": 2})
    (('a', 'b'), None)
    """
    for key, value in second.items():
        if key in first and isinstance(value, Mapping):
            old = first[key]
            path = find_unjoinable(old, value) if isinstance(old, Mapping) else ()
            if path is not None:
                return (key, *path)
    return None
