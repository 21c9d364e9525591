"""Fields of notifications that EngageLab and JPush, which are siblings, write alike.

Sources: https://www.engagelab.com/docs/app-push/rest-api/create-push-api and
https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push.
"""

from typing import Any

from audience.messages import Message, message_for_platform
from audience.vendors.spec import Payload

BIG_PICTURE_STYLE = 3
ANDROID_PRIORITIES = {"high": 1, "normal": 0}  # from -2 to 2


def drop_empty(**fields: Any) -> Payload:
    """Return the *fields* that are not empty.

    >>> drop_empty(title="Hi", sound=None, extras={}, badge=0)
    {'title': 'Hi', 'badge': 0}
    """
    return {key: value for key, value in fields.items() if value is not None and value != {}}


def build_android_fields(message: Message) -> Payload:
    """Build what Android devices get of *message*."""
    message = message_for_platform(message, "android")
    return drop_empty(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=drop_empty(url=message.link),
        big_pic_path=message.image,
        style=BIG_PICTURE_STYLE if message.image is not None else None,
        sound=message.sound,
        priority=ANDROID_PRIORITIES.get(message.priority or ""),
        category=message.category,
        channel_id=message.channel_id,
        **_build_badge_fields(message),
    )


def build_hmos_fields(message: Message) -> Payload:
    """Build what devices with HarmonyOS get of *message*."""
    message = message_for_platform(message, "harmonyos")
    return drop_empty(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=drop_empty(url=message.link),
        large_icon=message.image,
        category=message.category,
        **_build_badge_fields(message),
    )


def _build_badge_fields(message: Message) -> Payload:
    if message.badge == "+1":
        return {"badge_add_num": 1}
    return drop_empty(badge_set_num=message.badge)
