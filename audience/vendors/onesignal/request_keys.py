"""Keys of a request to OneSignal that name the audience: which one is used, and what to write for a wrong one."""

import re
from collections.abc import Mapping
from typing import Any

from audience.vendors.payload_reader import PayloadCursor, dump_json
from audience.vendors.spec import VendorLimit

PAGE = "https://documentation.onesignal.com/reference/create-notification"
MAX_SUBSCRIPTIONS = VendorLimit(20_000, PAGE)
TARGET_KEYS = ("filters", "include_subscription_ids", "include_aliases", "included_segments")
DEPRECATED_KEYS = {
    "include_player_ids": "include_subscription_ids",
    "include_external_user_ids": 'include_aliases with "external_id"',
}
OPAQUE_KEYS = (
    "include_email_tokens",
    "include_phone_numbers",
    "include_ios_tokens",
    "include_android_reg_ids",
    "include_amazon_reg_ids",
    "include_wp_wns_uris",
    "include_chrome_reg_ids",
    "include_chrome_web_reg_ids",
)
KNOWN_KEYS = (*TARGET_KEYS, *DEPRECATED_KEYS, *OPAQUE_KEYS, "excluded_segments")
# Keys that OneSignal does not know and ignores: the request would reach others than meant.
MISTAKES = {
    "filter": "filters",
    "segment": "included_segments",
    "segments": "included_segments",
    "includesegments": "included_segments",
    "includesegment": "included_segments",
    "includedsegment": "included_segments",
    "excludesegments": "excluded_segments",
    "excludesegment": "excluded_segments",
    "excludedsegment": "excluded_segments",
    "alias": "include_aliases",
    "aliases": "include_aliases",
    "includealias": "include_aliases",
    "includedaliases": "include_aliases",
    "externalids": 'include_aliases: {"external_id": […]}',
    "externaluserids": 'include_aliases: {"external_id": […]}',
    "includeexternalids": 'include_aliases: {"external_id": […]}',
    "playerids": "include_subscription_ids",
    "subscriptionids": "include_subscription_ids",
    "includeplayerid": "include_subscription_ids",
    "includesubscriptionid": "include_subscription_ids",
    "includedsubscriptionids": "include_subscription_ids",
    **{re.sub("_", "", key): key for key in KNOWN_KEYS},
}


def is_absent(value: Any) -> bool:
    """Return whether *value* is one of the spellings of an absent value: null, false, and anything empty."""
    return value is None or value is False or value in ("", [], {})


def find_target_keys(request: PayloadCursor) -> list[str]:
    """Return the key of *request* that names the audience, followed by the one of excluded segments, if any.

    Fail if there is none, or several, or one that OneSignal does not know.
    """
    for key, value in request.object().items():
        if not is_absent(value) and key not in KNOWN_KEYS:
            _check_spelling(request[key], key)
    keys = [key for key in KNOWN_KEYS if not is_absent(request[key].value)]
    if not keys:
        _fail_without_target(request)
    channel = request.get("target_channel", "push")
    if channel.value != "push":
        channel.fail("other-channel", f"{channel.value!r} is not a push channel")
    for key in keys:
        if key in OPAQUE_KEYS:
            request[key].fail("opaque", "only OneSignal knows its devices", f"use one of {', '.join(TARGET_KEYS)}")
    if keys == ["excluded_segments"]:
        hint = 'write "included_segments": ["All"] beside it'
        request["excluded_segments"].fail("missing-key", "excluded_segments without included_segments", hint)
    if len(keys) > 1 and keys != ["included_segments", "excluded_segments"]:
        message = f"{keys[1]} cannot be combined with {keys[0]}; OneSignal takes one of them"
        request[keys[1]].fail("second-target", message, "send a request for each, or use tags of both in filters")
    return keys


def _check_spelling(value: PayloadCursor, key: str) -> None:
    """Fail if *key* is one that is taken for a key of OneSignal's."""
    if key == "tags" and isinstance(value.value, list):
        value.fail("unknown-key", "OneSignal has replaced tags by filters", f"write {_tags_as_filters(value.value)}")
    meant = MISTAKES.get(re.sub("[^a-z]", "", key.lower()))
    if meant is not None:
        value.fail("unknown-key", f"OneSignal has no key {key!r} and ignores it", f"write {meant}")


def _tags_as_filters(tags: list[Any]) -> str:
    """Return old `tags` as `filters`."""
    entries = [
        {"field": "tag", **entry} if isinstance(entry, Mapping) and "operator" not in entry else entry for entry in tags
    ]
    return f'"filters": {dump_json(entries)}'


def _fail_without_target(request: PayloadCursor) -> None:
    empty = [key for key in KNOWN_KEYS if request[key].value in ([], {}, "")]
    hint = f'name it by one of {", ".join(TARGET_KEYS)}; every subscriber is "included_segments": ["All"]'
    if empty:
        request[empty[0]].fail("empty-target", f"{empty[0]} is empty and matches no device", hint)
    request.fail("missing-key", "missing target", hint)
