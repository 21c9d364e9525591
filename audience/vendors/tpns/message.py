"""Bodies of TPNS: everything of `POST /v3/push/app` except the target.

Source: https://www.tencentcloud.com/document/product/1024/33764. A TPNS application serves one platform, Android or
iOS, and has its own keys. A body has a structure for each of its platforms, and a call sends one of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import PLATFORM_OF_CHANNEL, Message, merge_patch, message_for_platform
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    reject_changed_audience,
    require_plain,
    share_content,
    unsupported_content,
)
from audience.vendors.spec import Payload
from audience.vendors.tpns.loops import loop_problems
from audience.vendors.tpns.message_rules import RULES

NAME = "tpns"
PLATFORMS = ("android", "ios")
BADGE_INCREMENT = -2  # increments the badge by one
ACTION_BROWSER, ACTION_INTENT = 2, 3  # action of a tap
INTERRUPTION_LEVELS = {"high": "time-sensitive", "normal": "active"}
SUPPORT = ContentSupport(
    title="TPNS",
    fields={
        "android": frozenset({"title", "body", "image", "link", "badge", "sound", "thread_id", "channel_id"}),
        "ios": frozenset(
            {"title", "body", "subtitle", "image", "badge", "sound", "priority", "category", "thread_id"},
        ),
    },
    channels={
        "huawei": frozenset({"channel_id", "category"}),
        **dict.fromkeys(("xiaomi", "oppo", "vivo", "fcm"), frozenset({"channel_id"})),
    },
    shared=frozenset({"title", "body", "image", "thread_id"}),
    silent=frozenset({"title", "body"}),
)
_CHANNEL_PREFIXES = {"huawei": "hw", "xiaomi": "xm", "fcm": "fcm", "oppo": "oppo", "vivo": "vivo"}
AUDIENCE_WORDS = {"$.message.android": "platforms", "$.message.ios": "platforms", "$.environment": "test"}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without its target, or raise MessageError for what TPNS would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'message_type': 'notify', 'message': {'title': 'Hi', 'content': 'there', 'android': {}}}
    """
    require_plain(message)
    own = _message_to_body(message)
    body = merge_patch(own, message.vendor.get(NAME, {}))
    validate_body(body)
    reject_changed_audience(message, _audience_words(own), _audience_words(body), AUDIENCE_WORDS)
    return body


def _audience_words(body: Payload) -> Payload:
    """Return what of *body* decides who gets it: the platforms that it has a structure for, and the environment."""
    platforms = {name: True for name in PLATFORMS if name in get_in(body, "message")}
    return drop_none({"message": platforms, "environment": body.get("environment")})


def keep_platform(message: Message, platform: str) -> Message:
    """Return *message* for the application of one platform: title and text are those of this platform.

    >>> message = Message(title="Hi", body="b", overrides={"ios": {"title": "Hi iOS"}})
    >>> build_body(keep_platform(message, "ios"))["message"]["title"]
    'Hi iOS'
    """
    if message.platforms and platform not in message.platforms:
        return message  # a send method refuses it
    others = [name for name in PLATFORMS if name != platform and (not message.platforms or name in message.platforms)]
    patch = message.vendor.get(NAME, {})
    if isinstance(patch.get("message"), dict):
        kept = {key: value for key, value in patch["message"].items() if key not in others}
        patch = {**patch, "message": kept}
    return replace(
        message,
        platforms=(platform,),
        overrides={
            place: override
            for place, override in message.overrides.items()
            if PLATFORM_OF_CHANNEL.get(place, place) == platform
        },
        vendor={**message.vendor, NAME: patch} if NAME in message.vendor else message.vendor,
    )


def _message_to_body(message: Message) -> Payload:
    platforms = [name for name in message.platforms or PLATFORMS if name in PLATFORMS]
    is_silent = message.kind == "silent"
    shared = share_content(message, SUPPORT)
    content = _drop_none(title=shared.title, content=shared.body)
    if not is_silent:
        content |= _drop_none(xg_media_resources=shared.image, thread_id=shared.thread_id)
    if "android" in platforms:
        content["android"] = _build_custom_content(message) if is_silent else _build_android_fields(message)
    if "ios" in platforms:
        aps = {"content-available": 1} if is_silent else _build_aps_fields(message)
        content["ios"] = {"aps": aps, **_build_custom_content(message)}
    return {
        "message_type": "message" if is_silent else "notify",
        "message": content,
        **_drop_none(expire_time=message.time_to_live),
        **_drop_none(environment=("dev" if message.test else "product") if "ios" in platforms else None),
    }


def _drop_none(**fields: Any) -> Payload:
    return {key: value for key, value in fields.items() if value is not None}


def _build_custom_content(message: Message) -> Payload:
    return {"custom_content": dump_json(dict(message.data))} if message.data else {}


def _build_android_fields(message: Message) -> Payload:
    message = message_for_platform(message, "android")
    return {
        **_drop_none(
            badge_type=BADGE_INCREMENT if message.badge == "+1" else message.badge,
            ring_raw=None if message.sound in (None, "default") else Path(str(message.sound)).stem,
            action=None if message.link is None else _build_tap_action(message.link),
            n_ch_id=message.channel_id,
        ),
        **_build_channel_fields(message),
        **_build_custom_content(message),
    }


def _build_channel_fields(message: Message) -> Payload:
    overrides = message.overrides
    ids = {f"{prefix}_ch_id": overrides.get(place, {}).get("channel_id") for place, prefix in _CHANNEL_PREFIXES.items()}
    return _drop_none(**ids, hw_category=overrides.get("huawei", {}).get("category"))


def _build_tap_action(link: str) -> Payload:
    """Build the action that opens a web page in the browser, and any other link in the app."""
    if link.lower().startswith(("http://", "https://")):
        return {"action_type": ACTION_BROWSER, "browser": {"url": link, "confirm": 0}}
    return {"action_type": ACTION_INTENT, "intent": link}


def _build_aps_fields(message: Message) -> Payload:
    """Build the fields for APNs; the page requires an alert, although the title of the message takes precedence."""
    title = share_content(message, SUPPORT).title
    message = message_for_platform(message, "ios")
    level = {"interruption-level": INTERRUPTION_LEVELS.get(message.priority or "")}
    return _drop_none(
        alert=_drop_none(title=title, subtitle=message.subtitle),
        badge_type=BADGE_INCREMENT if message.badge == "+1" else message.badge,
        sound=message.sound,
        category=message.category,
        **level,
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that TPNS does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    if "harmonyos" in message.platforms:
        yield Problem("unsupported-field", "TPNS does not support HarmonyOS", path="$.platforms")
    if message.collapse_key is not None:
        yield Problem(
            "unsupported-field",
            "TPNS has no keys for messages to replace",
            path="$.collapse_key",
            hint="set vendor.tpns.collapse_id to the id of the earlier push",
        )


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES, loop_problems)
