"""Fields of a notification on each platform, under the names of PushV2; Push has a prefix before them."""

from typing import Any

from audience.messages import Message, message_for_platform
from audience.vendors.emas.message_fields import derive_notify_id, drop_none, format_extras, strip_extension
from audience.vendors.spec import Payload

INTERRUPTION_LEVELS = {"high": "time-sensitive", "normal": "active"}
BAR_PRIORITIES = {"high": 1, "normal": 0}  # of the notification bar on Android, from -2 to 2
URGENCIES = {"high": "HIGH", "normal": "NORMAL"}  # of Huawei's channel


def build_ios_fields(message: Message) -> Payload:
    """Build the fields for iOS.

    >>> build_ios_fields(Message(title="Hi", body="there", badge="+1"))
    {'ApnsEnv': 'PRODUCT', 'BadgeAutoIncrement': True}
    """
    message = message_for_platform(message, "ios")
    return drop_none(
        ApnsEnv="DEV" if message.test else "PRODUCT",
        Subtitle=message.subtitle,
        Category=message.category,
        ThreadId=message.thread_id,
        InterruptionLevel=INTERRUPTION_LEVELS.get(message.priority or ""),
        Badge=message.badge if isinstance(message.badge, int) else None,
        BadgeAutoIncrement=True if message.badge == "+1" else None,
        Music=message.sound,
        Mutable=True if message.image else None,
        CollapseId=message.collapse_key,
        ExtParameters=format_extras(message, "ios"),
    )


def build_android_fields(message: Message) -> Payload:
    """Build the fields for Android, except those that open a link, and those of channels."""
    message = message_for_platform(message, "android")
    return drop_none(
        ChannelId=message.channel_id,
        **_build_badge_fields(message),
        Music=strip_extension(message.sound),
        RenderStyle="2" if message.image else None,
        PictureUrl=message.image,
        NotifyId=derive_notify_id(message.collapse_key),
        ExtParameters=format_extras(message, "android"),
    )


def channel_values(message: Message) -> dict[str, dict[str, Any]]:
    """Return the fields of each manufacturer's channel that has some, without those that are removed."""
    overrides = {place: drop_none(**override) for place, override in message.overrides.items()}
    return {channel: overrides.get(channel, {}) for channel in ("huawei", "xiaomi", "oppo", "vivo")}


def build_harmony_fields(message: Message) -> Payload:
    """Build the fields for HarmonyOS."""
    message = message_for_platform(message, "harmonyos")
    return drop_none(
        Category=message.category,
        **_build_badge_fields(message),
        Sound=message.sound,
        ImageUrl=message.image,
        Uri=message.link,
        NotifyId=derive_notify_id(message.collapse_key),
        ExtParameters=format_extras(message, "harmonyos"),
    )


def _build_badge_fields(message: Message) -> Payload:
    return {
        "BadgeSetNum": message.badge if isinstance(message.badge, int) else None,
        "BadgeAddNum": 1 if message.badge == "+1" else None,
    }
