"""EMAS tags: BindTag, UnbindTag, QueryTags, ListTags, RemoveTag; CheckDevice and CheckDevices.

https://help.aliyun.com/document_detail/2249935.html. A tag is bound to a key: a device, an alias or an account. Keys
that nobody has are ignored, because no reply names keys. The page states no number of keys that UnbindTag takes; it is
that of BindTag here. A query shows a change at once; pushes follow within ten minutes.
"""

from collections.abc import Mapping

import numpy as np

from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.key_tags import KeyTags, NamedKeys, TagChange
from audience.sandbox.population_rows import Rows, sort_rows
from audience.sandbox.tag_store import TagStore
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.emas.fields import invalid_format, require_fields

KEY_TYPES = ("DEVICE", "ACCOUNT", "ALIAS")
MAX_KEYS, MAX_NAMES, MAX_TAG_CHARS = 1_000, 10, 128
MAX_TAGS, MAX_LISTED_TAGS, MAX_CHECKED_DEVICES = 10_000, 100, 100
TAG_ACTIONS = frozenset("BindTag UnbindTag QueryTags ListTags RemoveTag CheckDevice CheckDevices".split())


def run_tag_action(action: str, parameters: Mapping[str, str], state: VendorState) -> JsonObject:
    """Run one of TAG_ACTIONS and return the body of the reply.

    Raises:
        VendorRefusal: A parameter is missing, or not allowed.
    """
    match action:
        case "BindTag":
            return _change_tags("add", parameters, state)
        case "UnbindTag":
            return _change_tags("remove", parameters, state)
        case "QueryTags":
            return _query_tags(parameters, state)
        case "ListTags":
            return _format_tags(_list_names(state)[:MAX_LISTED_TAGS])
        case "RemoveTag":
            return _remove_tag(parameters, state)
        case "CheckDevice":
            require_fields(parameters, "DeviceId")
            return {"Available": parameters["DeviceId"] in state.population.rows_by_id(state.vendor)}
    return _check_devices(parameters, state)


def find_key_tags(kind: str, state: VendorState) -> KeyTags:
    """Return the tags of the keys of one kind."""
    if kind not in state.key_tags:
        store = state.tags if kind == "DEVICE" else TagStore(find_named_keys(kind, state).names, state.vendor)
        state.key_tags[kind] = KeyTags(store, state.clock, state.tag_delay)
    return state.key_tags[kind]


def find_named_keys(kind: str, state: VendorState) -> NamedKeys:
    """Return the aliases or the accounts."""
    if kind not in state.named_keys:
        state.named_keys[kind] = NamedKeys.collect(state.population.all_rows_by_name(kind.lower()))
    return state.named_keys[kind]


def _change_tags(verb: TagChange, parameters: Mapping[str, str], state: VendorState) -> JsonObject:
    require_fields(parameters, "ClientKey", "KeyType", "TagName")
    keys = _split(parameters, "ClientKey", MAX_KEYS)
    names = _split(parameters, "TagName", MAX_NAMES)
    if any(len(name) > MAX_TAG_CHARS for name in names):
        raise invalid_format("TagName")
    tags = find_key_tags(_read_key_type(parameters), state)
    if verb == "add":
        _check_tag_quota(names, state)
    rows = _find_rows(keys, tags.bound)
    for name in names:
        tags.change(verb, name, rows)
    return {}


def _check_tag_quota(names: list[str], state: VendorState) -> None:
    stores = [tags.bound for tags in state.key_tags.values()]
    created = {name for name in names if not any(store.exists(name) for store in stores)}
    if created and state.exceeds_quota(len(created.union(*(store.own_names() for store in stores))), MAX_TAGS):
        raise VendorRefusal("InvalidTagName.Format", f"an application has at most {MAX_TAGS:,} tags")


def _query_tags(parameters: Mapping[str, str], state: VendorState) -> JsonObject:
    require_fields(parameters, "ClientKey", "KeyType")
    (key,) = _split(parameters, "ClientKey", 1)
    store = find_key_tags(_read_key_type(parameters), state).bound
    rows = _find_rows([key], store)
    return _format_tags(store.tags_of(int(rows[0])) if len(rows) else [])


def _remove_tag(parameters: Mapping[str, str], state: VendorState) -> JsonObject:
    require_fields(parameters, "TagName")
    (name,) = _split(parameters, "TagName", 1)
    find_key_tags("DEVICE", state)
    for tags in state.key_tags.values():
        tags.change("delete", name, np.zeros(0, dtype=np.uint32))
    return {}


def _check_devices(parameters: Mapping[str, str], state: VendorState) -> JsonObject:
    require_fields(parameters, "DeviceIds")
    known = state.population.rows_by_id(state.vendor)
    ids = _split(parameters, "DeviceIds", MAX_CHECKED_DEVICES)
    return {"DeviceCheckInfos": {"DeviceCheckInfo": [{"DeviceId": each, "Available": each in known} for each in ids]}}


def _list_names(state: VendorState) -> list[str]:
    find_key_tags("DEVICE", state)
    return sorted({name for tags in state.key_tags.values() for name in tags.bound.names()})


def _format_tags(names: list[str]) -> JsonObject:
    return {"TagInfos": {"TagInfo": [{"TagName": name} for name in names]}}


def _find_rows(keys: list[str], store: TagStore) -> Rows:
    row_by_key = store.population.rows_by_id(store.vendor)
    return sort_rows(row for row in map(row_by_key.get, keys) if row is not None)


def _read_key_type(parameters: Mapping[str, str]) -> str:
    kind = parameters["KeyType"].upper()
    if kind not in KEY_TYPES:
        raise invalid_format("KeyType")
    return kind


def _split(parameters: Mapping[str, str], name: str, most: int) -> list[str]:
    parts = parameters[name].split(",")
    if not all(parts) or len(parts) > most:
        raise invalid_format(name)
    return parts
