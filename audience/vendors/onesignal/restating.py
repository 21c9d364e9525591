"""Restate the targeting of a payload in OneSignal's keys of today, for its way back to OneSignal.

A filter keeps its own relation: `!=` goes back as it is, whatever it matches at OneSignal.
"""

from typing import Any

from audience.errors import Problem
from audience.vendors.onesignal.fields import FIELDS
from audience.vendors.onesignal.filter_reading import depends_on_missing_keys, parse_value
from audience.vendors.onesignal.platforms import named_flags
from audience.vendors.onesignal.request_keys import find_target_keys
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import Payload, Restated


def restate(payload: Any) -> Restated:
    """Return the targeting of *payload*, which can be parsed, and what its reading takes for granted.

    >>> restate({"include_external_user_ids": ["u1"], "contents": {"en": "Hi"}}).payload
    {'include_aliases': {'external_id': ['u1']}, 'target_channel': 'push'}
    """
    request = PayloadCursor(payload).json_object()
    keys = find_target_keys(request)
    target = request[keys[0]]
    flags = dict.fromkeys(named_flags(keys[0], request), True)
    match keys[0]:
        case "filters":
            restated = {"filters": [_restate_entry(entry) for entry in target.items() if not _is_and(entry)]}
            return Restated({**restated, **flags}, tuple(_filter_assumptions(target)))
        case "include_player_ids":
            return Restated({"include_subscription_ids": target.value})
        case "include_external_user_ids":
            return Restated(_target_users({"external_id": target.value}))
        case "include_aliases":
            return Restated({**_target_users(target.value), **flags})
    return Restated({**{key: request[key].value for key in keys}, **flags})


def _target_users(aliases: Payload) -> Payload:
    return {"include_aliases": aliases, "target_channel": "push"}


def _is_and(entry: PayloadCursor) -> bool:
    return "operator" in entry and bool(entry["operator"].value == "AND")


def _restate_entry(entry: PayloadCursor) -> Payload:
    """Return *entry* with its value as text."""
    if "value" not in entry or (entry["field"].value != "tag" and entry["field"].value not in FIELDS):
        return dict(entry.object())
    return {**entry.object(), "value": parse_value(entry["value"])}


def _filter_assumptions(filters: PayloadCursor) -> list[Problem]:
    """Return what the reading of *filters* takes for granted about OneSignal's relations."""
    problems = []
    if names := ", ".join(depends_on_missing_keys(filters)):
        problems.append(Problem("unequal", f"`!=` also matches a device without {names}"))
    return problems
