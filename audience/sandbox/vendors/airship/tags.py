"""Tags of channels at Airship: POST /api/channels/tags, and GET /api/channels/{id}.

https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml. What it leaves open: channels of any platform are
taken under any of the four keys, unknown ones without a word, as in a push; every group exists here but those that
begin with `ua_`, which Airship keeps itself. A call for those alone is refused, and one for others, too, warns of them.
More than 1,000 tags of a channel are "not supported", and refused here.
"""

from typing import Any

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population_rows import Rows
from audience.sandbox.request_checks import is_string_list, parse_json_object
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.airship.selectors import DEFAULT_GROUP, UUID, name_tag

TAGS_PATH, CHANNELS_PREFIX = "/api/channels/tags", "/api/channels/"
CHANNEL_KEYS = ("ios_channel", "android_channel", "amazon_channel", "channel")
DIRECTIONS = ("add", "remove", "set")
MAX_CHANNELS, MAX_TAGS, MAX_CHARS, MAX_CHANNEL_TAGS = 1_000, 100, 128, 1_000
RESERVED_PREFIX = "ua_"
MALFORMED, NO_CHANNEL = 40000, 40401

Groups = dict[str, list[str]]


def name_channel_endpoint(path: str) -> str:
    """Return the endpoint of a path, with `*` in place of a channel, or "" if it is none of channels.

    >>> name_channel_endpoint("/api/channels/c1"), name_channel_endpoint("/api/channels/tags")
    ('/api/channels/*', '/api/channels/tags')
    """
    channel = path.removeprefix(CHANNELS_PREFIX)
    if path == TAGS_PATH or channel == path or "/" in channel:
        return path if path == TAGS_PATH else ""
    return f"{CHANNELS_PREFIX}*"


def handle_channel_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Change the tags of channels, or show one channel. The keys were checked.

    Raises:
        VendorRefusal: The call is not allowed, or its channel is unknown.
    """
    path = call.path.rstrip("/")
    if path == TAGS_PATH and call.method == "POST":
        return _change_tags(call, state)
    if path != TAGS_PATH and call.method == "GET":
        return _show_channel(path.removeprefix(CHANNELS_PREFIX), state)
    raise VendorRefusal(405, "Method not allowed")


def _change_tags(call: HttpCall, state: VendorState) -> HttpReply:
    content = parse_json_object(call.body, MALFORMED)
    if odd := content.keys() - {"audience", *DIRECTIONS}:
        raise VendorRefusal(MALFORMED, f"unknown key {min(odd)}")
    rows = _find_channels(content.get("audience"), state)
    changes = {name: _read_groups(content[name], name) for name in DIRECTIONS if name in content}
    if not changes or ("set" in changes and len(changes) > 1):
        raise VendorRefusal(MALFORMED, "expected add and remove, or set")
    if any(set(tags) & set(changes.get("remove", {}).get(group, ())) for group, tags in changes.get("add", {}).items()):
        raise VendorRefusal(MALFORMED, "a tag is in add and in remove")
    reserved = sorted({group for groups in changes.values() for group in groups if group.startswith(RESERVED_PREFIX)})
    if all(group in reserved for groups in changes.values() for group in groups):
        raise VendorRefusal(400, "None of the tag groups exists")
    for direction, groups in changes.items():
        _apply(direction, {group: tags for group, tags in groups.items() if group not in reserved}, rows, state)
    warnings = {"warnings": [f"The following tag groups do not exist: {','.join(reserved)}"]} if reserved else {}
    return HttpReply(200, {"ok": True, **warnings})


def _find_channels(audience: Any, state: VendorState) -> Rows:
    """Return the rows of the channels of a call, and ignore channels that no device has."""
    if not isinstance(audience, dict) or not audience or audience.keys() - {*CHANNEL_KEYS}:
        raise VendorRefusal(MALFORMED, "expected channels\naudience")
    ids: list[str] = []
    for key, value in audience.items():
        names = [value] if isinstance(value, str) else value
        if not is_string_list(names) or not 1 <= len(names) <= MAX_CHANNELS:
            raise VendorRefusal(MALFORMED, f"expected 1 to {MAX_CHANNELS} channels\naudience.{key}")
        ids += names
    rows, unknown = state.find_rows(ids)
    if any(not UUID.fullmatch(each) for each in unknown):
        raise VendorRefusal(MALFORMED, "Invalid channel\naudience")
    return rows


def _read_groups(value: Any, direction: str) -> Groups:
    if not isinstance(value, dict) or not value:
        raise VendorRefusal(MALFORMED, f"expected groups of tags\n{direction}")
    groups: Groups = {}
    for group, tags in value.items():
        names = [tags] if isinstance(tags, str) else tags
        if not 1 <= len(group) <= MAX_CHARS or not is_string_list(names) or len(names) > MAX_TAGS:
            raise VendorRefusal(MALFORMED, f"expected at most {MAX_TAGS} tags\n{direction}.{group[:50]}")
        if not all(1 <= len(name) <= MAX_CHARS for name in names):
            raise VendorRefusal(MALFORMED, f"a tag has 1 to {MAX_CHARS} characters\n{direction}.{group[:50]}")
        groups[group] = names
    return groups


def _apply(direction: str, groups: Groups, rows: Rows, state: VendorState) -> None:
    wanted = [name_tag(group, tag) for group, tags in groups.items() for tag in dict.fromkeys(tags)]
    if direction != "remove":
        gains = [state.tags.devices_without(name, rows) for name in wanted]
        if state.exceeds_quota(state.tags.find_most_tags(gains), MAX_CHANNEL_TAGS):
            raise VendorRefusal(MALFORMED, f"a channel has at most {MAX_CHANNEL_TAGS:,} tags\n{direction}")
    if direction == "set":
        for name in state.tags.names():
            if _split(name)[0] in groups and name not in wanted:
                state.tags.remove(name, rows)
    for name in wanted:
        if direction == "remove":
            state.tags.remove(name, rows)
        else:
            state.tags.add(name, rows)


def _show_channel(channel: str, state: VendorState) -> HttpReply:
    row = state.population.rows_by_id(state.vendor).get(channel)
    if row is None:
        raise VendorRefusal(NO_CHANNEL, "Entity not found")
    groups: Groups = {}
    for group, tag in map(_split, state.tags.tags_of(row)):
        groups.setdefault(group, []).append(tag)
    about: JsonObject = {"channel_id": channel, "device_type": "android", "installed": True, "opt_in": True}
    about |= {"tags": groups.pop(DEFAULT_GROUP, []), "tag_groups": {**groups, "ua_locale_language": ["en"]}}
    return HttpReply(200, {"ok": True, "channel": about})


def _split(name: str) -> tuple[str, str]:
    """Return the group and the tag of a name of the sandbox's own."""
    group, separator, tag = name.partition(":")
    is_grouped = bool(separator) and group.startswith("group.")
    return (group.removeprefix("group."), tag) if is_grouped else (DEFAULT_GROUP, name)
