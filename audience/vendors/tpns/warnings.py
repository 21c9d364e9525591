"""What TPNS, or a manufacturer's channel behind it, would cut or ignore in a body that it takes.

https://www.tencentcloud.com/document/product/1024/35286, and what the fields of
https://www.tencentcloud.com/document/product/1024/33764 say of channels.
"""

from collections.abc import Iterator

from audience.errors import Problem
from audience.vendors.oem_channels import Channel, cut
from audience.vendors.schema_check import at
from audience.vendors.spec import Payload
from audience.vendors.tpns.message_rules import MOMENT, now, read, structures

ANDROID = (
    Channel("TPNS's own channel", 20, None),
    Channel("Xiaomi", 50, 128),
    Channel("Huawei", 40, 80),
    Channel("Meizu", 32, 100),
    Channel("OPPO", 32, 200),
    Channel("vivo", 40, 128),
)
APNS = (Channel("Apple", 40, 110, wide=True),)  # 20 and 55 Chinese characters
HEEDED = {  # by which channels alone, below $.message
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
DISUSED = ("group_id", "message.android.n_id")
SHORTEST_LIFE = 800
ONE_MORE = -2


def warnings(said: Payload) -> Iterator[Problem]:
    """What would be cut or ignored in the body *said*.

    >>> said = {"message_type": "notify", "expire_time": 60, "message": {"title": "a", "content": "b", "android": {}}}
    >>> [problem.path for problem in warnings(said)]
    ['$.expire_time']
    """
    if "android" in structures(said):
        yield from _android(said)
    if "ios" in structures(said) and said["message_type"] == "notify":
        yield from _lengths(said, APNS)
    yield from _ignored(said)
    life = said.get("expire_time")
    if life and life < SHORTEST_LIFE:
        yield Problem("changed", f"TPNS keeps it {SHORTEST_LIFE} seconds at the least, or 0", path="$.expire_time")
    moment = read(said.get("send_time"), MOMENT)
    if moment and moment < now():
        message, hint = f"{said['send_time']} has passed in Beijing", "TPNS starts it at once, for 10 minutes"
        yield Problem("past", message, path="$.send_time", hint=hint)


def _android(said: Payload) -> Iterator[Problem]:
    if said["message_type"] == "message":
        message = "messages to Android apps go by TPNS's own channel alone, and not by the makers'"
        yield Problem("own-channel", message, path="$.message_type")
        return
    yield from _lengths(said, ANDROID)
    for where, channels in HEEDED.items():
        *above, key = where.split(".")
        if key in at(said, "message", *above):
            yield Problem("channel-ignores", f"{key} is heeded by {channels} alone", path=f"$.message.{where}")
    yield from _makers(at(said, "message", "android"))


def _makers(android: Payload) -> Iterator[Problem]:
    """What single makers' channels ask for, or leave out."""
    if "badge_type" in android:
        channels = "Huawei" if android["badge_type"] == ONE_MORE else "Huawei and vivo"
        message = f"this badge_type is heeded by {channels} alone"
        yield Problem("channel-ignores", message, path="$.message.android.badge_type")
    if "custom_content" in android:
        message, hint = "Huawei's channel hands no custom_content on", "let vendor.tpns.message.android.action carry it"
        yield Problem("channel-ignores", message, path="$.message.android.custom_content", hint=hint)
    if "ring_raw" in android and "n_ch_id" not in android:
        hint = "vendor.tpns.message.android.n_ch_id"
        yield Problem("ignored", "a sound needs n_ch_id beside it", path="$.message.android.ring_raw", hint=hint)


def _lengths(said: Payload, channels: tuple[Channel, ...]) -> Iterator[Problem]:
    message = at(said, "message")
    yield from cut("$.message.title", message.get("title"), "title", channels)
    yield from cut("$.message.content", message.get("content"), "content", channels)
    for key in ("title", "content"):
        if message.get(key) == "":
            yield Problem("channel-limit", f"makers' channels take no empty {key}", path=f"$.message.{key}")


def _ignored(said: Payload) -> Iterator[Problem]:
    for where in DISUSED:
        *above, key = where.split(".")
        if key in at(said, *above):
            yield Problem("disused", f"TPNS is giving {key} up", path=f"$.{where}")
    if "thread_sumtext" in at(said, "message") and "thread_id" not in at(said, "message"):
        yield Problem("ignored", "thread_sumtext needs thread_id beside it", path="$.message.thread_sumtext")
    if "collapse_id" in said and said.get("force_collapse") is not True and "android" in structures(said):
        message = "OPPO and vivo replace no message: their devices are not told"
        hint = "force_collapse: true tells them"
        yield Problem("not-told", message, path="$.collapse_id", hint=hint)
    if "environment" in said and "ios" not in structures(said):
        yield Problem("ignored", "environment is for iOS alone", path="$.environment")
