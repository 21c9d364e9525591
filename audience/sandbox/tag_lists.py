"""An audience of lists that are joined by AND: EngageLab's `to`, JPush's `audience`.

tag is any of, tag_and all of, tag_not none of; an empty list counts as absent.
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
    """What a vendor says when a list is of another type or too long, or has an id that nobody has."""

    wrong_type: int
    too_long: int
    unknown_id: int


def read_lists(audience: JsonObject, max_items: dict[str, int], codes: ListErrorCodes) -> dict[str, list[str]]:
    """The lists that are not empty, none of them longer than *most* says."""
    found = {}
    for key in LIST_KEYS:
        if names := audience.get(key):
            if not is_string_list(names):
                raise VendorRefusal(codes.wrong_type, f"{key} must be a list of texts")
            if len(names) > max_items.get(key, len(names)):
                raise VendorRefusal(codes.too_long, f"{key} has more than {max_items[key]}")
            found[key] = names
        elif names is not None and not isinstance(names, list):
            raise VendorRefusal(codes.wrong_type, f"{key} must be a list of texts")
    return found


def select_devices(lists: dict[str, list[str]], state: VendorState, codes: ListErrorCodes) -> DeviceMask:
    """Whom all of the *lists* mean."""
    people, vendor = state.population, state.vendor
    found = people.registered_devices(vendor)
    for key, names in lists.items():
        match key:
            case "tag":
                found &= np.logical_or.reduce([people.devices_with_tag(vendor, name) for name in names])
            case "tag_and":
                found &= np.logical_and.reduce([people.devices_with_tag(vendor, name) for name in names])
            case "tag_not":
                found &= ~np.logical_or.reduce([people.devices_with_tag(vendor, name) for name in names])
            case "alias":
                found &= _set_rows(
                    people.no_devices(), (row for rows in people.rows_by_name("alias", names).values() for row in rows)
                )
            case "registration_id":
                ids = people.rows_by_id(vendor)
                if unknown := [name for name in names if name not in ids]:
                    raise VendorRefusal(codes.unknown_id, f"registration_id {unknown[0]} is invalid or of another app")
                found &= _set_rows(people.no_devices(), map(ids.__getitem__, names))
    return found


def _set_rows(mask: DeviceMask, rows: Iterable[int]) -> DeviceMask:
    mask[list(rows)] = True
    return mask
