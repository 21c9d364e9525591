"""Fields of a notification on each platform, under the names of PushV2; Push has a prefix before them."""

from audience.messages import Message
from audience.vendors.emas.message_fields import derive_notify_id, drop_none, format_extras, strip_extension
from audience.vendors.spec import Payload


def build_ios_fields(message: Message) -> Payload:
    """Build the fields for iOS.

    >>> build_ios_fields(Message(title="Hi", body="there", badge="+1"))
    {'ApnsEnv': 'PRODUCT', 'BadgeAutoIncrement': True}
    """
    return drop_none(
        ApnsEnv="DEV" if message.test else "PRODUCT",
        Badge=message.badge if isinstance(message.badge, int) else None,
        BadgeAutoIncrement=True if message.badge == "+1" else None,
        Music=message.sound,
        Mutable=True if message.image else None,
        CollapseId=message.collapse_key,
        ExtParameters=format_extras(message, "ios"),
    )


def build_android_fields(message: Message) -> Payload:
    """Build the fields for Android, except those that open a link."""
    return drop_none(
        **_build_badge_fields(message),
        Music=strip_extension(message.sound),
        RenderStyle="2" if message.image else None,
        PictureUrl=message.image,
        NotifyId=derive_notify_id(message.collapse_key),
        ExtParameters=format_extras(message, "android"),
    )


def build_harmony_fields(message: Message) -> Payload:
    """Build the fields for HarmonyOS."""
    return drop_none(
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
