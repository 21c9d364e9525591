"""Warnings of what TPNS, or a manufacturer's channel behind it, would cut or ignore in a body.

Sources: https://www.tencentcloud.com/document/product/1024/35286, and the fields of
https://www.tencentcloud.com/document/product/1024/33764.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.oem_channels import OemChannel, length_warnings
from audience.vendors.schema_check import get_in
from audience.vendors.spec import Payload
from audience.vendors.tpns.message_rules import TIMESTAMP_FORMAT, now_in_beijing, parse_timestamp, target_platforms

ANDROID_CHANNELS = (
    OemChannel("TPNS's own channel", 20, None),
    OemChannel("Xiaomi", 50, 128),
    OemChannel("Huawei", 40, 80),
    OemChannel("Meizu", 32, 100),
    OemChannel("OPPO", 32, 200),
    OemChannel("vivo", 40, 128),
)
APNS_CHANNELS = (OemChannel("Apple", 40, 110, counts_wide_double=True),)  # 20 and 55 Chinese characters
CHANNELS_BY_FIELD = {  # the only channels that support a field of $.message
    "accept_time": "TPNS's own channel",
    "thread_id": "TPNS's own channel",
    "thread_sumtext": "TPNS's own channel",
    "xg_media_resources": "Xiaomi (an address of its own upload) and TPNS's own channel",
    "xg_media_audio_resources": "TPNS's own channel",
    "android.n_ch_id": "TPNS's own channel",
    "android.n_ch_name": "TPNS's own channel",
    "android.n_id": "TPNS's own channel",
    "android.icon_color": "TPNS's own channel",
    "android.ring_raw": "Huawei, Xiaomi, FCM and TPNS's own channel",
    "android.icon_res": "FCM, Huawei, HONOR and TPNS's own channel",
    "android.show_type": "FCM and TPNS's own channel",
}
DEPRECATED_FIELDS = ("group_id", "message.android.n_id")
MIN_EXPIRE_SECONDS = 800
BADGE_INCREMENT = -2


def body_warnings(body: Payload) -> Iterator[Problem]:
    """Find what would be cut or ignored in a body.

    >>> body = {"message_type": "notify", "expire_time": 60, "message": {"title": "a", "content": "b", "android": {}}}
    >>> [problem.path for problem in body_warnings(body)]
    ['$.expire_time']
    """
    if "android" in target_platforms(body):
        yield from _android_warnings(body)
    if "ios" in target_platforms(body) and body["message_type"] == "notify":
        yield from _text_length_warnings(body, APNS_CHANNELS)
    yield from _ignored_field_warnings(body)
    lifetime = body.get("expire_time")
    if lifetime and lifetime < MIN_EXPIRE_SECONDS:
        message = f"TPNS keeps it for at least {MIN_EXPIRE_SECONDS} seconds, or for 0"
        yield Problem("changed", message, path="$.expire_time")
    send_time = parse_timestamp(body.get("send_time"), TIMESTAMP_FORMAT)
    if send_time and send_time < now_in_beijing():
        message = f"{body['send_time']} has passed in Beijing"
        hint = "TPNS sends it at once if that is less than 10 minutes ago"
        yield Problem("past", message, path="$.send_time", hint=hint)


def _android_warnings(body: Payload) -> Iterator[Problem]:
    if body["message_type"] == "message":
        message = "a silent message to Android apps uses TPNS's own channel only, not the manufacturers' channels"
        yield Problem("own-channel", message, path="$.message_type")
        return
    yield from _text_length_warnings(body, ANDROID_CHANNELS)
    for field, channels in CHANNELS_BY_FIELD.items():
        *parents, key = field.split(".")
        if key in get_in(body, "message", *parents):
            yield Problem("channel-ignores", f"only {channels} support {key}", path=f"$.message.{field}")
    yield from _oem_channel_warnings(get_in(body, "message", "android"))


def _oem_channel_warnings(android: Payload) -> Iterator[Problem]:
    """Find what single manufacturers' channels require or ignore."""
    if "badge_type" in android:
        channels = "Huawei" if android["badge_type"] == BADGE_INCREMENT else "Huawei and vivo"
        message = f"only {channels} support this badge_type"
        yield Problem("channel-ignores", message, path="$.message.android.badge_type")
    if "custom_content" in android:
        message = "Huawei's channel drops custom_content"
        hint = "put it into vendor.tpns.message.android.action"
        yield Problem("channel-ignores", message, path="$.message.android.custom_content", hint=hint)
    if "ring_raw" in android and "n_ch_id" not in android:
        hint = "set vendor.tpns.message.android.n_ch_id"
        yield Problem("ignored", "a sound has no effect without n_ch_id", path="$.message.android.ring_raw", hint=hint)


def _text_length_warnings(body: Payload, channels: tuple[OemChannel, ...]) -> Iterator[Problem]:
    message = get_in(body, "message")
    yield from length_warnings("$.message.title", message.get("title"), "title", channels)
    yield from length_warnings("$.message.content", message.get("content"), "content", channels)
    for key in ("title", "content"):
        if message.get(key) == "":
            yield Problem("channel-limit", f"manufacturers' channels reject an empty {key}", path=f"$.message.{key}")


def _ignored_field_warnings(body: Payload) -> Iterator[Problem]:
    for field in DEPRECATED_FIELDS:
        *parents, key = field.split(".")
        if key in get_in(body, *parents):
            yield Problem("disused", f"TPNS deprecates {key}", path=f"$.{field}")
    if "thread_sumtext" in get_in(body, "message") and "thread_id" not in get_in(body, "message"):
        yield Problem("ignored", "thread_sumtext has no effect without thread_id", path="$.message.thread_sumtext")
    if "collapse_id" in body and body.get("force_collapse") is not True and "android" in target_platforms(body):
        message = "OPPO and vivo do not replace messages, so their devices get nothing"
        hint = "set force_collapse: true to deliver to them"
        yield Problem("not-delivered", message, path="$.collapse_id", hint=hint)
    if body.get("account_push_type") == 0:
        message = "accounts get it on their newest device only"
        yield Problem("not-delivered", message, path="$.account_push_type", hint="set 1 to deliver to all devices")
    if "environment" in body and "ios" not in target_platforms(body):
        yield Problem("ignored", "environment is for iOS only", path="$.environment")
