"""An audience of lists that are joined by AND: EngageLab's `to`, JPush's `audience`.

tag is any of, tag_and all of, tag_not none of; an empty list counts as absent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from audience.sandbox.http_types import JSON, Mask, Refused
from audience.sandbox.request_checks import is_texts
from audience.sandbox.vendor_state import Desk

KEYS = ("tag", "tag_and", "tag_not", "alias", "registration_id")


@dataclass(frozen=True, slots=True)
class Codes:
    """What a vendor says when a list is of another type or too long, or has an id that nobody has."""

    type: int
    length: int
    unknown_id: int


def filled(audience: JSON, most: dict[str, int], codes: Codes) -> dict[str, list[str]]:
    """The lists that are not empty, none of them longer than *most* says."""
    found = {}
    for key in KEYS:
        if names := audience.get(key):
            if not is_texts(names):
                raise Refused(codes.type, f"{key} must be a list of texts")
            if len(names) > most.get(key, len(names)):
                raise Refused(codes.length, f"{key} has more than {most[key]}")
            found[key] = names
        elif names is not None and not isinstance(names, list):
            raise Refused(codes.type, f"{key} must be a list of texts")
    return found


def chosen(lists: dict[str, list[str]], desk: Desk, codes: Codes) -> Mask:
    """Whom all of the *lists* mean."""
    people, vendor = desk.population, desk.vendor
    found = people.known(vendor)
    for key, names in lists.items():
        match key:
            case "tag":
                found &= np.logical_or.reduce([people.bare(vendor, name) for name in names])
            case "tag_and":
                found &= np.logical_and.reduce([people.bare(vendor, name) for name in names])
            case "tag_not":
                found &= ~np.logical_or.reduce([people.bare(vendor, name) for name in names])
            case "alias":
                found &= _rows(people.nobody(), (row for rows in people.named("alias", names).values() for row in rows))
            case "registration_id":
                ids = people.ids(vendor)
                if unknown := [name for name in names if name not in ids]:
                    raise Refused(codes.unknown_id, f"registration_id {unknown[0]} is invalid or of another app")
                found &= _rows(people.nobody(), map(ids.__getitem__, names))
    return found


def _rows(mask: Mask, rows: Iterable[int]) -> Mask:
    mask[list(rows)] = True
    return mask
