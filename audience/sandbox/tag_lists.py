"""Targeting by lists joined with AND: EngageLab's `to` and JPush's `audience`.

`tag` matches any, `tag_and` all and `tag_not` none of its tags; an empty list counts as absent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from audience.sandbox.http_types import DeviceMask, JsonObject, VendorRefusal
from audience.sandbox.request_checks import is_string_list
from audience.sandbox.vendor_state import VendorState

LIST_KEYS = ("tag", "tag_and", "tag_not", "alias", "registration_id")


@dataclass(frozen=True, slots=True)
class ListErrorCodes:
    """Error codes for a list of the wrong type, one that is too long, and an unknown id, and the text of the last."""

    wrong_type: int
    too_long: int
    unknown_id: int
    unknown_text: str = "registration_id {} is invalid or of another app"


def read_lists(audience: JsonObject, max_items: dict[str, int], codes: ListErrorCodes) -> dict[str, list[str]]:
    """Return the non-empty lists.

    Raises:
        VendorRefusal: A list is longer than *max_items* allows, or not a list of strings.
    """
    lists = {}
    for key in LIST_KEYS:
        if names := audience.get(key):
            if not is_string_list(names):
                raise VendorRefusal(codes.wrong_type, f"{key} must be a list of strings")
            if len(names) > max_items.get(key, len(names)):
                raise VendorRefusal(codes.too_long, f"{key} has more than {max_items[key]}")
            lists[key] = names
        elif names is not None and not isinstance(names, list):
            raise VendorRefusal(codes.wrong_type, f"{key} must be a list of strings")
    return lists


def select_devices(lists: dict[str, list[str]], state: VendorState, codes: ListErrorCodes) -> DeviceMask:
    """Return the devices that match all *lists*."""
    population, vendor = state.population, state.vendor
    devices = population.registered_devices(vendor)
    for key, names in lists.items():
        match key:
            case "tag":
                devices &= np.logical_or.reduce([state.tags.devices_with_tag(name) for name in names])
            case "tag_and":
                devices &= np.logical_and.reduce([state.tags.devices_with_tag(name) for name in names])
            case "tag_not":
                devices &= ~np.logical_or.reduce([state.tags.devices_with_tag(name) for name in names])
            case "alias":
                devices &= _set_rows(
                    population.no_devices(),
                    (row for rows in population.rows_by_name("alias", names).values() for row in rows),
                )
            case "registration_id":
                ids = population.rows_by_id(vendor)
                if unknown := [name for name in names if name not in ids]:
                    raise VendorRefusal(codes.unknown_id, codes.unknown_text.format(unknown[0]))
                devices &= _set_rows(population.no_devices(), map(ids.__getitem__, names))
    return devices


def _set_rows(mask: DeviceMask, rows: Iterable[int]) -> DeviceMask:
    mask[list(rows)] = True
    return mask
