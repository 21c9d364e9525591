"""Bodies of Getui: everything of a push except its audience and its request_id.

Sources: as in the package. A push has two parts: `push_message` goes through Getui's own connection to apps that have
one, `push_channel` through the channels of Apple and the manufacturers to the others. A notification of the first part
is shown on Android and HarmonyOS only; an app on iOS gets it from Apple, which is why `settings.strategy.ios` is 4 as
the page recommends: Apple first, then Getui. A request has no field for its platforms, see message_rules.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from audience.errors import MessageError, Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.messages.fields import CONTENT_TYPES
from audience.vendors.delivery_spec import Credentials
from audience.vendors.getui.message_rules import PLATFORM_PARTS, RULES, lacks_harmonyos
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    read_vivo_class,
    reject_changed_audience,
    require_plain,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import drop_empty
from audience.vendors.spec import Payload

NAME = "getui"
SUPPORT = ContentSupport(
    title="Getui",
    fields={
        "android": frozenset({"title", "body", "image", "link", "sound", "category", "thread_id", "channel_id"}),
        "ios": frozenset({"title", "body", "subtitle", "badge", "sound", "category", "thread_id"}),
        "harmonyos": frozenset({"title", "body", "category"}),
    },
    channels={
        "huawei": frozenset({"channel_id", "sound"}),
        "xiaomi": frozenset({"channel_id", "sound"}),
        "oppo": frozenset({"channel_id"}),
        "vivo": frozenset({"channel_id"}),
    },
)
PLATFORM_WORDS = dict.fromkeys(PLATFORM_PARTS.values(), "platforms")
NOT_KEPT = -1  # of a message that nobody gets later
APPLE_FIRST = {"default": 1, "ios": 4}
LINKS = ("http://", "https://")


def build_body(message: Message) -> Payload:
    """Write *message* as a push without `audience`, or raise MessageError for what Getui would refuse.

    >>> from audience.messages import parse_message
    >>> body = build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    >>> body["push_message"]
    {'notification': {'title': 'Hi', 'body': 'there', 'click_type': 'startapp'}}
    """
    require_plain(message)
    plain = resolve_message(message)
    if problems := list(_refusals(plain)):
        raise MessageError(*problems)
    request = _message_to_body(plain)
    merged = merge_patch(request, plain.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(plain, _expect_parts(plain), _list_parts(merged), PLATFORM_WORDS)
    return merged


def _list_parts(body: Payload) -> Payload:
    """Return the platforms that *body* has a part for."""
    return {"push_channel": dict.fromkeys(get_in(body, "push_channel"), True)}


def _expect_parts(message: Message) -> Payload:
    """Return the platforms that a body of *message* has a part for, as it says itself."""
    parts = [PLATFORM_PARTS[name].rpartition(".")[2] for name in SUPPORT.target_platforms(message)]
    return {"push_channel": dict.fromkeys(parts, True)}


def _says_nothing(message: Message) -> bool:
    """Return whether all of *message* is left to the vendor's own words."""
    return not message.data and all(getattr(message, name) is None for name in CONTENT_TYPES)


def _refusals(message: Message) -> Iterator[Problem]:
    """Find what of *message* would reach others than meant."""
    if message.test:
        reason = "Getui has no development environment in a request: an application has the certificate of one"
        yield Problem("no-such-target", reason, path="$.test", hint="use the keys of an application for tests")
    if message.kind == "silent" and 0 < len(SUPPORT.target_platforms(message)) < len(SUPPORT.fields):
        reason = "a message to the app reaches it on every platform"
        hint = 'leave platforms out, and narrow the audience, as in "vip AND platform:ios"'
        yield Problem("other-platform", reason, path="$.platforms", hint=hint)


def fit_message(message: Message, credentials: Credentials) -> Message:
    """Return *message* without a part for HarmonyOS, if the application has no such devices."""
    if lacks_harmonyos(credentials) and not message.platforms:
        return replace(message, platforms=("android", "ios")) if message.kind == "notification" else message
    return message


def _message_to_body(message: Message) -> Payload:
    platforms, settings = SUPPORT.target_platforms(message), _build_settings(message)
    if _says_nothing(message):
        return drop_empty(settings=settings)
    if message.kind == "silent":
        ios: Payload = {"type": "notify", "aps": {"content-available": 1}, **_build_payload(message)}
        push = drop_empty(transmission=dump_json(dict(message.data)) if message.data else None)
        return drop_empty(settings=settings, push_message=push, push_channel={"ios": ios} if push else {})
    parts: Payload = {}
    if "android" in platforms:
        parts["android"] = {"ups": _build_ups(message)}
    if "ios" in platforms:
        parts["ios"] = _build_ios(message)
    if "harmonyos" in platforms:
        parts["harmony"] = {"notification": _build_harmony(message)}
    push = {"notification": _build_android(message)} if "android" in platforms else _build_other(message)
    return drop_empty(settings=settings, push_message=push, push_channel=parts)


def _build_settings(message: Message) -> Payload:
    """Build the milliseconds that a message is kept, and through which channel a notification goes on iOS."""
    seconds = message.time_to_live
    is_shown = message.kind == "notification" and not _says_nothing(message)
    has_alert = is_shown and "ios" in SUPPORT.target_platforms(message)
    return drop_empty(
        ttl=None if seconds is None else seconds * 1000 or NOT_KEPT,
        strategy=APPLE_FIRST if has_alert else None,
    )


def _build_android(message: Message) -> Payload:
    """Build what Getui shows on Android and HarmonyOS while the app has a connection to it."""
    android = message_for_platform(message, "android")
    return drop_empty(
        title=android.title,
        body=android.body,
        big_image=android.image,
        ring_name=android.sound,
        category=android.category,
        thread_id=android.thread_id,
        channel_id=android.channel_id,
        **_build_click(android),
    )


def _build_other(message: Message) -> Payload:
    """Build what apps with a connection get of a message that is not for Android: its data, and nothing to show."""
    return {"transmission": dump_json(dict(message.data))}


def _build_ups(message: Message) -> Payload:
    """Build what the channels of manufacturers show on Android."""
    android = message_for_platform(message, "android")
    notification = drop_empty(title=android.title, body=android.body, **_build_click(android))
    return {"notification": notification, **drop_empty(options=_build_options(android))}


def _build_options(android: Message) -> Payload:
    """Build what single channels of manufacturers get, by paths into their own bodies."""
    overrides = {place: drop_none(override) for place, override in android.overrides.items()}
    huawei, xiaomi, oppo, vivo = (overrides.get(name, {}) for name in ("huawei", "xiaomi", "oppo", "vivo"))
    notification = "/message/android/notification"
    return drop_empty(
        HW=drop_none(
            {
                f"{notification}/channel_id": huawei.get("channel_id"),
                f"{notification}/sound": huawei.get("sound"),
                f"{notification}/default_sound": False if "sound" in huawei else None,
            }
        ),
        XM=drop_none(
            {"/extra.channel_id": xiaomi.get("channel_id"), "/extra.sound_uri": xiaomi.get("sound")},
        ),
        OP=drop_none({"/channel_id": oppo.get("channel_id")}),
        VV=drop_none({"/classification": read_vivo_class(vivo.get("channel_id"))}),
    )


def _build_click(message: Message) -> Payload:
    """Build what a click does: it opens the app, with its data; a page of the web; or a page of the app by an intent.

    >>> _build_click(Message()), _build_click(Message(link="https://a.b"))
    ({'click_type': 'startapp'}, {'click_type': 'url', 'url': 'https://a.b'})
    >>> _build_click(Message(data={"n": 1}))
    {'click_type': 'payload', 'payload': '{"n":1}'}
    """
    payload = _build_payload(message)
    if message.link is None:
        return {"click_type": "payload" if payload else "startapp", **payload}
    if message.link.lower().startswith(LINKS):
        return {"click_type": "url", "url": message.link, **payload}
    return {"click_type": "intent", "intent": message.link, **payload}


def _build_payload(message: Message) -> Payload:
    return {"payload": dump_json(dict(message.data))} if message.data else {}


def _build_ios(message: Message) -> Payload:
    ios = message_for_platform(message, "ios")
    aps = drop_empty(
        alert=drop_empty(title=ios.title, subtitle=ios.subtitle, body=ios.body),
        sound=ios.sound,
        category=ios.category,
        **{"thread-id": ios.thread_id},
    )
    badge = None if ios.badge is None else str(ios.badge)
    collapse = drop_none({"apns-collapse-id": ios.collapse_key})
    return {"type": "notify", "aps": aps, **drop_empty(auto_badge=badge), **_build_payload(ios), **collapse}


def _build_harmony(message: Message) -> Payload:
    own = message_for_platform(message, "harmonyos")
    payload = _build_payload(own)
    click = "payload" if payload else "startapp"
    return drop_empty(title=own.title, body=own.body, category=own.category, click_type=click, **payload)


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that Getui does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    lacking = [name for name in SUPPORT.target_platforms(message) if name != "ios"]
    if message.collapse_key is not None and lacking:
        reason = f"Getui has no collapse_key for {', '.join(lacking)}"
        hint = "to replace a notification there, set its notify_id, a number, in vendor.getui"
        yield Problem("unsupported-field", reason, path="$.collapse_key", hint=hint)


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
