"""What TPNS, or a manufacturer's channel behind it, would cut or ignore in a body that it takes.

https://www.tencentcloud.com/document/product/1024/35286, and what the fields of
https://www.tencentcloud.com/document/product/1024/33764 say of channels.
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
CHANNELS_BY_FIELD = {  # by which channels alone, below $.message
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
    """What would be cut or ignored in the body *said*.

    >>> said = {"message_type": "notify", "expire_time": 60, "message": {"title": "a", "content": "b", "android": {}}}
    >>> [problem.path for problem in body_warnings(said)]
    ['$.expire_time']
    """
    if "android" in target_platforms(body):
        yield from _android_warnings(body)
    if "ios" in target_platforms(body) and body["message_type"] == "notify":
        yield from _text_length_warnings(body, APNS_CHANNELS)
    yield from _ignored_field_warnings(body)
    life = body.get("expire_time")
    if life and life < MIN_EXPIRE_SECONDS:
        yield Problem("changed", f"TPNS keeps it {MIN_EXPIRE_SECONDS} seconds at the least, or 0", path="$.expire_time")
    moment = parse_timestamp(body.get("send_time"), TIMESTAMP_FORMAT)
    if moment and moment < now_in_beijing():
        message, hint = f"{body['send_time']} has passed in Beijing", "TPNS starts it at once, for 10 minutes"
        yield Problem("past", message, path="$.send_time", hint=hint)


def _android_warnings(body: Payload) -> Iterator[Problem]:
    if body["message_type"] == "message":
        message = "messages to Android apps go by TPNS's own channel alone, and not by the makers'"
        yield Problem("own-channel", message, path="$.message_type")
        return
    yield from _text_length_warnings(body, ANDROID_CHANNELS)
    for where, channels in CHANNELS_BY_FIELD.items():
        *above, key = where.split(".")
        if key in get_in(body, "message", *above):
            yield Problem("channel-ignores", f"{key} is heeded by {channels} alone", path=f"$.message.{where}")
    yield from _oem_channel_warnings(get_in(body, "message", "android"))


def _oem_channel_warnings(android: Payload) -> Iterator[Problem]:
    """What single makers' channels ask for, or leave out."""
    if "badge_type" in android:
        channels = "Huawei" if android["badge_type"] == BADGE_INCREMENT else "Huawei and vivo"
        message = f"this badge_type is heeded by {channels} alone"
        yield Problem("channel-ignores", message, path="$.message.android.badge_type")
    if "custom_content" in android:
        message, hint = "Huawei's channel hands no custom_content on", "let vendor.tpns.message.android.action carry it"
        yield Problem("channel-ignores", message, path="$.message.android.custom_content", hint=hint)
    if "ring_raw" in android and "n_ch_id" not in android:
        hint = "vendor.tpns.message.android.n_ch_id"
        yield Problem("ignored", "a sound needs n_ch_id beside it", path="$.message.android.ring_raw", hint=hint)


def _text_length_warnings(body: Payload, channels: tuple[OemChannel, ...]) -> Iterator[Problem]:
    message = get_in(body, "message")
    yield from length_warnings("$.message.title", message.get("title"), "title", channels)
    yield from length_warnings("$.message.content", message.get("content"), "content", channels)
    for key in ("title", "content"):
        if message.get(key) == "":
            yield Problem("channel-limit", f"makers' channels take no empty {key}", path=f"$.message.{key}")


def _ignored_field_warnings(body: Payload) -> Iterator[Problem]:
    for where in DEPRECATED_FIELDS:
        *above, key = where.split(".")
        if key in get_in(body, *above):
            yield Problem("disused", f"TPNS is giving {key} up", path=f"$.{where}")
    if "thread_sumtext" in get_in(body, "message") and "thread_id" not in get_in(body, "message"):
        yield Problem("ignored", "thread_sumtext needs thread_id beside it", path="$.message.thread_sumtext")
    if "collapse_id" in body and body.get("force_collapse") is not True and "android" in target_platforms(body):
        message = "OPPO and vivo replace no message: their devices are not told"
        hint = "force_collapse: true tells them"
        yield Problem("not-delivered", message, path="$.collapse_id", hint=hint)
    if "environment" in body and "ios" not in target_platforms(body):
        yield Problem("ignored", "environment is for iOS alone", path="$.environment")
