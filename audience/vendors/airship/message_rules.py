"""Rules of Airship for a body beyond the types of its fields, and for a body together with its target.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.errors import Problem
from audience.vendors.airship.schedule import EXPIRY_FIELDS, parse_time
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

APP_TYPES = ("android", "amazon", "ios", "web")
DEVICE_TYPES = "device_types"
MAX_OVERRIDE_BYTES = 4_096
MAX_COLLAPSE_ID_BYTES = 64
MAX_WEB_SECONDS = 2_419_200
ADM_SECONDS = (60, 2_678_400)
RESERVED_WORDS, RESERVED_PREFIXES = ("from", "message_type", "data"), ("google", "gcm")
SHOWN_FIELDS = ("alert", "badge", "sound", "title", "subtitle")


def join_target(body: Payload, target: Payload) -> Payload:
    """Return the push of *body* to *target*: a platform has to be one of both.

    >>> join_target({"device_types": ["android", "ios"]}, {"audience": "all", "device_types": ["ios", "web"]})
    {'audience': 'all', 'device_types': ['ios']}
    """
    return {"audience": target["audience"], **body, DEVICE_TYPES: join_types(body, target)}


def join_types(body: Payload, target: Payload) -> list[str]:
    """Return the platforms of the body that are among those of the target, if that names any."""
    own: list[str] = body.get(DEVICE_TYPES, [])
    return [name for name in own if name in target.get(DEVICE_TYPES, own)]


def target_problems(body: Payload, targets: Sequence[Payload]) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: nobody is on the platforms of both."""
    for target in targets:
        if not join_types(body, target):
            named, own = ", ".join(target.get(DEVICE_TYPES, [])), ", ".join(body.get(DEVICE_TYPES, []))
            message = f"the audience is on {named}, and the message is for {own} only"
            yield Problem("other-platform", message, path="$.platforms", hint="name the platforms of both")


def _payload_problems(body: Any) -> Iterator[Problem]:
    """Find platforms that the message has nothing for: Airship refuses these."""
    shared = any(get_in(body).get(key) for key in ("message", "in_app"))
    notification = get_in(body, "notification")
    for name in _read_types(body):
        own = get_in(notification, name)
        if shared or notification.get("alert") or own:
            continue
        hint = "give the message a body; a silent message has data"
        yield Problem("missing-key", f"{name!r} is required", path="$.notification", hint=hint)


def _read_types(body: Any) -> list[str]:
    types = get_in(body).get(DEVICE_TYPES)
    return [name for name in APP_TYPES if isinstance(types, list) and name in types]


def _alert_problems(body: Any) -> Iterator[Problem]:
    """Find a title that no text is below."""
    notification = get_in(body, "notification")
    for name in APP_TYPES:
        own = get_in(notification, name)
        if "title" in own and not (own.get("alert") or notification.get("alert")):
            yield Problem("missing-key", "'alert' is required", path=f"$.notification.{name}", hint="add a body")


def _size_problems(body: Any) -> Iterator[Problem]:
    for name in ("android", "ios"):
        size = json_nbytes(get_in(body, "notification", name))
        if size > MAX_OVERRIDE_BYTES:
            message = f"{name} takes {size:,} bytes; the maximum is {MAX_OVERRIDE_BYTES:,}"
            yield Problem("too-long", message, path=f"$.notification.{name}", hint="shorten the message, or its data")
    collapse_id = get_in(body, "notification", "ios").get("collapse_id")
    if isinstance(collapse_id, str) and len(collapse_id.encode()) > MAX_COLLAPSE_ID_BYTES:
        message = f"{collapse_id!r:.60} has more than {MAX_COLLAPSE_ID_BYTES} bytes"
        yield Problem("too-long", message, path="$.notification.ios.collapse_id", hint="shorten collapse_key")


def _data_problems(body: Any) -> Iterator[Problem]:
    """Find keys of data that Apple or Google keep for themselves."""
    if "aps" in get_in(body, "notification", "ios", "extra"):
        yield _reserved_key_problem("aps", "ios")
    for key in get_in(body, "notification", "android", "extra"):
        if key in RESERVED_WORDS or key.startswith(RESERVED_PREFIXES):
            yield _reserved_key_problem(key, "android")


def _reserved_key_problem(key: str, name: str) -> Problem:
    path = f"$.notification.{name}.extra.{key}"
    return Problem("wrong-value", f"Airship does not take data under {key!r}", path=path, hint="rename the key")


def _priority_problems(body: Any) -> Iterator[Problem]:
    """Find a silent message with a priority that APNs has for shown ones only."""
    own = get_in(body, "notification", "ios")
    is_shown = get_in(body, "notification").get("alert") or any(field in own for field in SHOWN_FIELDS)
    if own.get("priority") == 10 and not is_shown:
        message = "a message that shows nothing has the priority 5"
        yield Problem("wrong-value", message, path="$.notification.ios.priority", hint="leave it out")


def _expiry_problems(body: Any) -> Iterator[Problem]:
    """Find times to live that are no times, or out of range."""
    places = {"$.options.expiry": get_in(body, "options").get("expiry")}
    for name, field in EXPIRY_FIELDS.items():
        places[f"$.notification.{name}.{field}"] = get_in(body, "notification", name).get(field)
    for path, value in places.items():
        if isinstance(value, str) and parse_time(value) is None:
            hint = "write it like 2026-12-01T01:00:00: Airship's times are in UTC and have no offset"
            yield Problem("wrong-value", f"expected a time, found {value!r:.60}", path=path, hint=hint)
        low, high = ADM_SECONDS if ".amazon." in path else (0, MAX_WEB_SECONDS)
        is_bounded = ".amazon." in path or ".web." in path
        if type(value) is int and (value < 0 or (is_bounded and not low <= value <= high)):
            message = f"expected {low:,} to {high:,} seconds, found {value:,}" if is_bounded else f"{value} has passed"
            yield Problem("wrong-value", message, path=path, hint="correct it")


RULES = (_payload_problems, _alert_problems, _size_problems, _data_problems, _priority_problems, _expiry_problems)
