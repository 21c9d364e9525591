"""Bodies of JPush: everything of `POST /v3/push` except the audience and the cid.

Sources: https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push, and for fields that the page has had since 2019 the
clients cavlabs/jiguang-sdk-go (Go) and jpush 3.4.1 (Python).
"""

from collections.abc import Iterator
from pathlib import Path

from audience.errors import Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.jpush.message_rules import RULES
from audience.vendors.jpush.targeting import PLATFORMS as PLATFORM_FIELD
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    read_vivo_class,
    reject_changed_audience,
    require_plain,
    share_content,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import build_android_fields, build_hmos_fields, drop_empty
from audience.vendors.spec import Payload

NAME = "jpush"
INTERRUPTION_LEVELS = {"high": "time-sensitive", "normal": "active"}
IMPORTANCES = {"high": "HIGH", "normal": "NORMAL"}  # of Huawei's channel
SUPPORT = ContentSupport(
    title="JPush",
    fields={
        "android": frozenset(
            {"title", "body", "image", "link", "badge", "sound", "priority", "category", "channel_id"},
        ),
        "ios": frozenset({"title", "body", "subtitle", "badge", "sound", "priority", "category", "thread_id"}),
        "harmonyos": frozenset({"title", "body", "image", "link", "badge", "category"}),
    },
    channels={
        "huawei": frozenset({"channel_id", "category", "priority"}),
        "xiaomi": frozenset({"channel_id"}),
        "oppo": frozenset({"channel_id", "category"}),
        "vivo": frozenset({"channel_id", "category"}),
    },
    silent=frozenset({"title", "body"}),
)
AUDIENCE_WORDS = {"$.platform": "platforms", "$.options.apns_production": "test"}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without `audience`, or raise MessageError for what JPush would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'platform': ['android'], 'notification': {'android': {'alert': 'there', 'title': 'Hi'}}}
    """
    require_plain(message)
    plain = resolve_message(message)
    request = _message_to_body(plain)
    merged = merge_patch(request, plain.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(plain, request, merged, AUDIENCE_WORDS)
    return merged


def _message_to_body(message: Message) -> Payload:
    platforms = SUPPORT.target_platforms(message)
    body: Payload = {"platform": [PLATFORM_FIELD.names[name] for name in platforms] if message.platforms else "all"}
    if message.kind == "silent":
        body |= drop_empty(message=_build_custom_message(share_content(message, SUPPORT)))
    else:
        parts = {PLATFORM_FIELD.names[name]: _BUILDERS[name](message) for name in platforms}
        body |= drop_empty(notification=drop_empty(**parts))
    return body | drop_empty(options=_build_options(message, platforms))


def _build_ios_fields(message: Message) -> Payload:
    message = message_for_platform(message, "ios")
    level = INTERRUPTION_LEVELS.get(message.priority or "")
    return drop_empty(
        alert=drop_empty(title=message.title, subtitle=message.subtitle, body=message.body),
        extras=dict(message.data),
        sound=message.sound,
        badge=message.badge,
        category=message.category,
        **{"thread-id": message.thread_id, "interruption-level": level},
    )


_BUILDERS = {"android": build_android_fields, "ios": _build_ios_fields, "harmonyos": build_hmos_fields}


def _build_custom_message(message: Message) -> Payload:
    """Build what the app gets; its content is a text, and without a body that of the data."""
    data = dict(message.data)
    content = message.body if message.body is not None else dump_json(data) if data else None
    return drop_empty(msg_content=content, title=message.title, extras=data)


def _build_options(message: Message, platforms: tuple[str, ...]) -> Payload:
    """Build the options; apns_production is always set for iOS: page and clients differ in its default."""
    has_ios = "ios" in platforms
    has_channels = "android" in platforms and message.kind == "notification"
    return drop_empty(
        time_to_live=message.time_to_live,
        apns_production=not message.test if has_ios else None,
        apns_collapse_id=message.collapse_key if has_ios else None,
        third_party_channel=_build_channels(message) if has_channels else None,
    )


def _build_channels(message: Message) -> Payload:
    """Build what single channels of manufacturers get, but for `distribution`, which only the user can decide."""
    overrides = {place: drop_none(override) for place, override in message.overrides.items()}
    huawei, xiaomi, oppo, vivo = (overrides.get(name, {}) for name in ("huawei", "xiaomi", "oppo", "vivo"))
    return drop_empty(
        huawei=drop_empty(
            channel_id=huawei.get("channel_id"),
            category=huawei.get("category"),
            importance=IMPORTANCES.get(huawei.get("priority", "")),
        ),
        xiaomi=drop_empty(channel_id=xiaomi.get("channel_id")),
        oppo=drop_empty(channel_id=oppo.get("channel_id"), category=oppo.get("category")),
        vivo=drop_empty(classification=read_vivo_class(vivo.get("channel_id")), category=vivo.get("category")),
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that JPush does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    lacking = [name for name in SUPPORT.target_platforms(message) if name != "ios"]
    if message.collapse_key is not None and lacking:
        reason = f"JPush has no collapse_key for {', '.join(lacking)}"
        hint = "to replace a message on Android, set options.override_msg_id in vendor.jpush"
        yield Problem("unsupported-field", reason, path="$.collapse_key", hint=hint)


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
