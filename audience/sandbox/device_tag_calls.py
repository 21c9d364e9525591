"""Tag interfaces of two siblings, EngageLab and JPush: `/tags/…` by tag and `/devices/…` by device.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_device and
https://www.engagelab.com/docs/app-push/developer-guide/rest-api/tag-alias-api. EngageLab's page states no number of ids
in a call; it has its sibling's. No page says what becomes of a call with an id that the vendor does not know: here it
changes nothing, as a push with such an id reaches nobody. With an id in both lists, the removal comes last.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from audience.sandbox.http_types import DeviceMask, HttpCall, JsonObject, ReplyBody, VendorRefusal
from audience.sandbox.population_rows import Rows
from audience.sandbox.request_checks import is_string_list, parse_json_object
from audience.sandbox.vendor_state import VendorState

MAX_CALL_IDS, MAX_CALL_TAGS, MAX_CALL_TAG_BYTES = 1_000, 100, 1_000  # of each direction
MAX_TAG_BYTES = 40


@dataclass(frozen=True, slots=True)
class TagInterface:
    """Paths, limits and error codes of one of the siblings.

    Attributes:
        version: First part of its paths, `/v4`.
        platforms: Names of platforms.
        tag_characters: Regular expression for one character of a tag.
        max_listed_tags: Largest number of tags that a list of all shows of each platform.
        max_device_tags: Largest number of tags of a device.
        max_tag_devices: Largest number of devices of a tag.
        max_tags: Largest number of tags of an application.
        wrong_method: Error code for a method that a path does not have, or for a path that is none.
        missing: Error code for a parameter that is needed.
        invalid: Error code for a value that is not allowed.
        unknown_id: Error code for a list with an id that no device has.
        unknown_device: Error code for the id of one device that no device has.
        done: Body of the reply to a change.
        format_status: Returns the reply to a question for the status of ids, from which of them are known.
    """

    version: str
    platforms: frozenset[str]
    tag_characters: str
    max_listed_tags: int | None
    max_device_tags: int
    max_tag_devices: int | None
    max_tags: int | None
    wrong_method: int
    missing: int
    invalid: int
    unknown_id: int
    unknown_device: int
    done: str
    format_status: Callable[[dict[str, bool]], ReplyBody]


class UnknownIds(VendorRefusal):
    """Refusal of a list with ids that no device has."""

    def __init__(self, code: int, ids: list[str]):
        super().__init__(code, f"registration_id {ids[0]} is invalid or of another app")
        self.ids = ids


def name_tag_endpoint(path: str) -> str:
    """Return the endpoint of a path, with `*` in place of tags and ids, or "" if it is none of tags or devices.

    >>> name_tag_endpoint("/v4/tags/vip/registration_ids/r1"), name_tag_endpoint("/v3/tags/")
    ('/v4/tags/*/registration_ids/*', '/v3/tags')
    """
    match path.removesuffix("/").split("/")[1:]:
        case [_, "tags" | "tags_count"] | [_, "devices", "status"]:
            return path.removesuffix("/")
        case [version, "tags" | "devices" as kind, _]:
            return f"/{version}/{kind}/*"
        case [version, "tags", _, "registration_ids", _]:
            return f"/{version}/tags/*/registration_ids/*"
    return ""


def handle_tag_call(call: HttpCall, state: VendorState, interface: TagInterface) -> ReplyBody:
    """Change or read tags, and return the body of the reply.

    Raises:
        VendorRefusal: The call is not allowed, or names an id that no device has.
    """
    parts = call.path.removeprefix(f"{interface.version}/").removesuffix("/").split("/")
    match call.method, parts:
        case "GET", ["tags"]:
            return {"tags": _list_tags(state, interface)}
        case "GET", ["tags_count"]:
            return {"tagsCount": _count_devices(call, state, interface)}
        case "GET", ["tags", tag, "registration_ids", device_id]:
            return {"result": state.tags.has(_find_device(device_id, state, interface), tag)}
        case "POST", ["tags", tag]:
            return _change_devices_of_tag(tag, call, state, interface)
        case "DELETE", ["tags", tag]:
            return _delete_tag(tag, call, state, interface)
        case "POST", ["devices", "status"]:
            return _report_status(call, state, interface)
        case "GET", ["devices", device_id]:
            row = _find_device(device_id, state, interface)
            return {"tags": state.tags.tags_of(row), "alias": state.population.alias_of_row(row)}
        case "POST", ["devices", device_id]:
            return _change_tags_of_device(device_id, call, state, interface)
    raise VendorRefusal(interface.wrong_method, f"{call.method} {call.path} is not an interface")


def _list_tags(state: VendorState, interface: TagInterface) -> list[str]:
    names = state.tags.names()
    if interface.max_listed_tags is None:
        return names
    platforms = [state.population.devices_on_platforms({name}) for name in sorted(interface.platforms)]
    listed: set[str] = set()
    for devices in platforms:
        there = (name for name in names if (devices & state.tags.devices_with_tag(name)).any())
        listed.update(name for _, name in zip(range(interface.max_listed_tags), there, strict=False))
    return sorted(listed)


def _count_devices(call: HttpCall, state: VendorState, interface: TagInterface) -> dict[str, int]:
    names = [name for name in call.query.get("tags", "").split(",") if name]
    if not names:
        raise VendorRefusal(interface.missing, "tags is missing")
    if len(names) > MAX_CALL_IDS:
        raise VendorRefusal(interface.invalid, f"more than {MAX_CALL_IDS} tags")
    devices = _devices_on_platforms(call, state, interface)
    return {name: int(np.count_nonzero(state.tags.devices_with_tag(name) & devices)) for name in names}


def _change_devices_of_tag(tag: str, call: HttpCall, state: VendorState, interface: TagInterface) -> str:
    _check_tag(tag, interface)
    added_ids, removed_ids = _read_changes(_read_body(call, interface), "registration_ids", MAX_CALL_IDS, interface)
    (added, unknown), (removed, further) = state.find_rows(added_ids), state.find_rows(removed_ids)
    if unknown or further:
        raise UnknownIds(interface.unknown_id, list(dict.fromkeys([*unknown, *further])))
    _check_quotas({tag: added}, state, interface)
    state.tags.add(tag, added)
    state.tags.remove(tag, removed)
    return interface.done


def _change_tags_of_device(device_id: str, call: HttpCall, state: VendorState, interface: TagInterface) -> str:
    row = _find_device(device_id, state, interface)
    rows = np.array([row], dtype=np.uint32)
    body = _read_body(call, interface)
    if body.keys() - {"tags"}:
        raise VendorRefusal(interface.invalid, "this sandbox keeps the aliases and numbers of its table")
    is_clearing = body.get("tags") == ""
    added, removed = ([], state.tags.tags_of(row)) if is_clearing else _read_tags(body, interface)
    _check_quotas(dict.fromkeys(added, rows), state, interface)
    for name in added:
        state.tags.add(name, rows)
    for name in removed:
        state.tags.remove(name, rows)
    return interface.done


def _read_tags(body: JsonObject, interface: TagInterface) -> tuple[list[str], list[str]]:
    added, removed = _read_changes(body, "tags", MAX_CALL_TAGS, interface)
    for names in (added, removed):
        if sum(len(name.encode()) for name in names) > MAX_CALL_TAG_BYTES:
            raise VendorRefusal(interface.invalid, f"tags of more than {MAX_CALL_TAG_BYTES} bytes")
    for name in (*added, *removed):
        _check_tag(name, interface)
    return added, removed


def _delete_tag(tag: str, call: HttpCall, state: VendorState, interface: TagInterface) -> str:
    _check_tag(tag, interface)
    devices = _devices_on_platforms(call, state, interface)
    rows = state.tags.rows_with_tag(tag)
    if call.query.get("platform") and not devices[rows].all():
        state.tags.remove(tag, rows[devices[rows]])
    else:
        state.tags.delete(tag)
    return interface.done


def _report_status(call: HttpCall, state: VendorState, interface: TagInterface) -> ReplyBody:
    """Return who is online: every device is."""
    ids: Any = _read_body(call, interface).get("registration_ids")
    if not is_string_list(ids) or not 1 <= len(ids) <= MAX_CALL_IDS:
        raise VendorRefusal(interface.invalid, f"registration_ids is a list of at most {MAX_CALL_IDS} ids")
    row_by_id = state.population.rows_by_id(state.vendor)
    return interface.format_status({each: each in row_by_id for each in ids})


def _check_quotas(rows_by_tag: dict[str, Rows], state: VendorState, interface: TagInterface) -> None:
    """Refuse more tags, of a device or in all, or more devices of a tag than the vendor keeps."""
    new_by_tag = {name: state.tags.devices_without(name, rows) for name, rows in rows_by_tag.items()}
    created = sum(not state.tags.exists(name) for name, rows in rows_by_tag.items() if len(rows))
    if created and state.exceeds_quota(len(state.tags.own_names()) + created, interface.max_tags):
        raise VendorRefusal(interface.invalid, f"an application has at most {interface.max_tags:,} tags")
    for name, rows in new_by_tag.items():
        if len(rows) and state.exceeds_quota(state.tags.count(name) + len(rows), interface.max_tag_devices):
            raise VendorRefusal(interface.invalid, f"a tag has at most {interface.max_tag_devices:,} devices")
    if state.exceeds_quota(state.tags.find_most_tags(list(new_by_tag.values())), interface.max_device_tags):
        raise VendorRefusal(interface.invalid, f"a device has at most {interface.max_device_tags:,} tags")


def _read_body(call: HttpCall, interface: TagInterface) -> JsonObject:
    return parse_json_object(call.body, interface.invalid)


def _read_changes(body: JsonObject, field: str, most: int, interface: TagInterface) -> tuple[list[str], list[str]]:
    """Return the lists `add` and `remove` of *field*."""
    changes: Any = body.get(field)
    if changes is None:
        raise VendorRefusal(interface.missing, f"{field} is missing")
    if not isinstance(changes, dict) or changes.keys() - {"add", "remove"}:
        raise VendorRefusal(interface.invalid, f"{field} has add and remove")
    added, removed = (changes.get(name) or [] for name in ("add", "remove"))
    for names in (added, removed):
        if not is_string_list(names) or len(names) > most:
            raise VendorRefusal(interface.invalid, f"add and remove of {field} are lists of at most {most} texts")
    if not added and not removed:
        raise VendorRefusal(interface.missing, f"{field} names nothing to add or to remove")
    return added, removed


def _check_tag(name: str, interface: TagInterface) -> None:
    if not re.fullmatch(f"(?:{interface.tag_characters})+", name) or len(name.encode()) > MAX_TAG_BYTES:
        raise VendorRefusal(interface.invalid, f"tag {name[:50]} has a wrong character, or more than 40 bytes")


def _find_device(device_id: str, state: VendorState, interface: TagInterface) -> int:
    row = state.population.rows_by_id(state.vendor).get(device_id)
    if row is None:
        raise VendorRefusal(interface.unknown_device, f"registration_id {device_id} is invalid or of another app")
    return row


def _devices_on_platforms(call: HttpCall, state: VendorState, interface: TagInterface) -> DeviceMask:
    names = _split_names(call.query.get("platform", ""))
    if odd := names - interface.platforms:
        raise VendorRefusal(interface.invalid, f"platform {min(odd)} is not known")
    return state.population.devices_on_platforms(names or {*interface.platforms})


def _split_names(text: str) -> set[str]:
    return {name for name in text.split(",") if name}
