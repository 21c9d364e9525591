"""Warnings of what Airship, or a platform behind it, would cut or ignore in a body.

Source: https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml, of the fields `live_activity`, `live_update`,
`deliver_to`, `content_available`, `sound` and `media_attachment`.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.airship.message_rules import DEVICE_TYPES
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

LIVE_FIELDS = {"ios": "live_activity", "android": "live_update"}


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> body = {"device_types": ["ios"], "notification": {"ios": {"alert": "Hi"}, "android": {"alert": "Hi"}}}
    >>> [problem.path for problem in body_warnings(body)]
    ['$.notification.android']
    """
    for name in ("android", "amazon", "ios", "web"):
        own, path = get_in(body, "notification", name), f"$.notification.{name}"
        if own and name not in body.get(DEVICE_TYPES, []):
            yield Problem("ignored", f"the message is not for {name}", path=path, hint="name it in device_types")
        live = LIVE_FIELDS.get(name, "")
        if live in own:
            reason = f"{live} reaches devices that have it under its name only; the others get nothing"
            yield Problem("channel-limit", reason, path=f"{path}.{live}")
    yield from _android_warnings(get_in(body, "notification", "android"))
    yield from _ios_warnings(get_in(body, "notification", "ios"))


def _android_warnings(own: Payload) -> Iterator[Problem]:
    path = "$.notification.android"
    if own.get("deliver_to") == "opted_in":
        reason = "devices on which notifications are switched off get nothing of it"
        yield Problem("channel-limit", reason, path=f"{path}.deliver_to")
    if "sound" in own:
        reason = "since Android 8 the notification channel decides on the sound"
        hint = None if "notification_channel" in own else "name a channel, which has its sound"
        yield Problem("ignored", reason, path=f"{path}.sound", hint=hint)
    if "delay_while_idle" in own:
        yield Problem("ignored", "Google has ignored delay_while_idle since 2016", path=f"{path}.delay_while_idle")


def _ios_warnings(own: Payload) -> Iterator[Problem]:
    path = "$.notification.ios"
    if "interactive" in own and "category" in own:
        reason = "the type of interactive is used in its place"
        yield Problem("ignored", reason, path=f"{path}.category")
    if "media_attachment" in own:
        reason = "apps without Airship's extension for media show no image"
        yield Problem("channel-limit", reason, path=f"{path}.media_attachment")
    alert = own.get("alert")
    for field in ("title", "subtitle"):
        if isinstance(alert, dict) and field in alert and field in own:
            yield Problem("ignored", f"alert has a {field} of its own", path=f"{path}.{field}")
