"""Warnings of what Getui, or a manufacturer's channel behind it, would cut, ignore or refuse in a body.

Sources: as in the package; for the channels of manufacturers and their numbers of messages
https://github.com/dcloudio/unidocs-zh/blob/HEAD/docs/uniCloud/uni-cloud-push/options.md.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload

OWN, UPS = "$.push_message.notification", "$.push_channel.android.ups"
OWN_ONLY = ("big_image", "big_text", "ring_name", "thread_id", "channel_id", "badge_add_num", "category")
CHANNEL_CHOICES = {"HW": "/message/android/category", "XM": "/extra.channel_id", "VV": "/classification"}


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut, ignored or refused in a body.

    >>> own = {"title": "Hi", "body": "there", "click_type": "url", "url": "https://a.b", "payload": "{}"}
    >>> [problem.code for problem in body_warnings({"push_message": {"notification": own}})]
    ['ignored']
    """
    own, ups = get_in(body, "push_message", "notification"), get_in(body, "push_channel", "android", "ups")
    yield from _click_warnings(own, OWN)
    yield from _click_warnings(get_in(ups, "notification"), f"{UPS}.notification")
    if "notification" in ups:
        yield from _channel_warnings(own, get_in(ups, "options"))
    settings, path = get_in(body, "settings"), "$.settings"
    if "schedule_time" in settings:
        message = "Getui schedules pushes of applications only that it has allowed it"
        yield Problem("near-limit", message, path=f"{path}.schedule_time", hint="without it, set send_at, and --hold")
    ios = get_in(body, "push_channel", "ios")
    strategy = get_in(settings, "strategy")
    if get_in(ios, "aps").get("alert") and strategy.get("ios", strategy.get("default", 1)) not in (2, 4):
        message = "while the app has a connection to Getui, iOS shows no notification of it"
        hint = "leave settings.strategy out: then it is 4 for ios"
        yield Problem("channel-ignores", message, path="$.push_channel.ios.aps.alert", hint=hint)


def _click_warnings(notification: Payload, path: str) -> Iterator[Problem]:
    click = notification.get("click_type")
    if "payload" in notification and click not in ("payload", "payload_custom"):
        hint = "leave link out, or put what the page needs into it"
        yield Problem("ignored", f"the data is lost: a click opens the {click}", path=f"{path}.payload", hint=hint)
    intent = notification.get("intent")
    if isinstance(intent, str) and "#Intent;" not in intent:
        hint = "write intent://host/path?#Intent;…;end, as intent.toUri(Intent.URI_INTENT_SCHEME) does"
        message = "Getui opens a page of the app by an intent"
        yield Problem("channel-ignores", message, path=f"{path}.intent", hint=hint)


def _channel_warnings(own: Payload, options: Payload) -> Iterator[Problem]:
    """Find what only Getui's own channel has, and messages that a manufacturer counts as marketing."""
    for key in OWN_ONLY:
        if key in own:
            message = f"the channels of manufacturers, which reach devices that are offline, have no {key}"
            hint = "set it for each manufacturer: in overrides, or in options of vendor.getui"
            yield Problem("channel-ignores", message, path=f"{OWN}.{key}", hint=hint)
    lacking = [name for name, key in CHANNEL_CHOICES.items() if key not in get_in(options, name)]
    if lacking:
        message = "manufacturers show a device 2 to 5 marketing messages of an app a day, and drop the rest"
        hint = "set the category or channel that they have granted: in overrides, or in options of vendor.getui"
        yield Problem("channel-limit", message, path=f"{UPS}.options", hint=hint)
