"""Bodies of EngageLab: everything of `POST /v4/push` except the target.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api. The fields of HarmonyOS, which the page leaves
out, are those of the vendor's own client, the Python package engagelab-apppush.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from audience.errors import Problem
from audience.messages import Message, merge_patch, message_for_platform, resolve_message
from audience.vendors.engagelab.localization import build_multi_language, unsupported_subtitles
from audience.vendors.engagelab.message_rules import DEFAULT_PLATFORMS, RULES
from audience.vendors.engagelab.targeting import PLATFORMS as PLATFORM_FIELD
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import (
    ContentSupport,
    drop_none,
    read_vivo_class,
    reject_changed_audience,
    share_content,
    unsupported_content,
)
from audience.vendors.shared.notification_fields import build_android_fields, build_hmos_fields, drop_empty
from audience.vendors.spec import Payload

NAME = "engagelab"
INTERRUPTION_LEVELS = {"high": "timeSensitive", "normal": "active"}
URGENCIES = {"high": "HIGH", "normal": "NORMAL"}  # of Huawei's channel
SUPPORT = ContentSupport(
    title="EngageLab",
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
        "oppo": frozenset({"channel_id"}),
        "vivo": frozenset({"channel_id"}),
    },
    silent=frozenset({"title", "body"}),
    default_platforms=DEFAULT_PLATFORMS,
)
AUDIENCE_WORDS = {"$.body.platform": "platforms", "$.body.options.apns_production": "test"}


def build_body(message: Message) -> Payload:
    """Write *message* as a request without `to`, or raise MessageError for what EngageLab would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'body': {'platform': ['android'], 'notification': {'android': {'alert': 'there', 'title': 'Hi'}}}}
    """
    plain = resolve_message(message)
    request = _merge_vendor(plain, {"body": _message_to_body(plain)})
    texts = {language: resolve_message(message, language=language) for language in message.languages}
    return localize(request, plain, texts) if texts else request


def _merge_vendor(message: Message, request: Payload) -> Payload:
    """Return *request* with the vendor's own words of *message*, checked."""
    merged = merge_patch(request, message.vendor.get(NAME, {}))
    validate_body(merged)
    reject_changed_audience(message, request, merged, AUDIENCE_WORDS)
    return merged


def localize(request: Payload, message: Message, texts: Mapping[str, Message]) -> Payload:
    """Return the *request* of *message* with its texts in other languages, or raise MessageError if it cannot."""
    languages = build_multi_language(message, texts, SUPPORT.target_platforms(message))
    options = {"multi_language": languages} if languages else {}
    return _merge_vendor(message, merge_patch(request, {"body": {"options": options}} if options else {}))


def _message_to_body(message: Message) -> Payload:
    platforms = _message_platforms(message)
    body: Payload = {"platform": list(platforms) if message.platforms else "all"}
    if message.kind == "silent":
        body |= drop_empty(message=_build_custom_message(share_content(message, SUPPORT)))
    else:
        notification = {name: builder(message) for name, builder in _BUILDERS.items() if name in platforms}
        body |= drop_empty(notification=drop_empty(**notification))
    return body | drop_empty(options=_build_options(message, platforms))


def _message_platforms(message: Message) -> tuple[str, ...]:
    """Return EngageLab's words for the platforms of *message*; without any, those that its page has."""
    return tuple(PLATFORM_FIELD.names[name] for name in message.platforms) or DEFAULT_PLATFORMS


def _build_ios_fields(message: Message) -> Payload:
    message = message_for_platform(message, "ios")
    alert = drop_empty(title=message.title, subtitle=message.subtitle, body=message.body)
    return {
        **drop_empty(
            alert=message.body if alert.keys() <= {"body"} else alert,
            extras=dict(message.data),
            sound=message.sound,
            badge=message.badge,
            category=message.category,
        ),
        **drop_empty(
            **{
                "thread-id": message.thread_id,
                "interruption-level": INTERRUPTION_LEVELS.get(message.priority or ""),
            }
        ),
    }


_BUILDERS = {"android": build_android_fields, "ios": _build_ios_fields, "hmos": build_hmos_fields}


def _build_custom_message(message: Message) -> Payload:
    """Build what the app gets; without a body, its content is the data."""
    data = dict(message.data)
    content = message.body if message.body is not None else data
    return drop_empty(msg_content=content, title=message.title, extras=data)


def _build_options(message: Message, platforms: tuple[str, ...]) -> Payload:
    """Build the options; apns_production is always set for iOS, because the page has two defaults for it."""
    has_ios = "ios" in platforms
    has_channels = "android" in platforms and message.kind == "notification"
    return drop_empty(
        time_to_live=message.time_to_live,
        apns_production=not message.test if has_ios else None,
        apns_collapse_id=message.collapse_key if has_ios else None,
        third_party_channel=_build_channels(message) if has_channels else None,
    )


def _build_channels(message: Message) -> Payload:
    """Build what single channels of manufacturers get, but for `distribution_new`, which only the user can decide."""
    overrides = {place: drop_none(override) for place, override in message.overrides.items()}
    huawei, vivo = overrides.get("huawei", {}), overrides.get("vivo", {})
    return drop_empty(
        huawei=drop_empty(
            channel_id=huawei.get("channel_id"),
            category=huawei.get("category"),
            urgency=URGENCIES.get(huawei.get("priority", "")),
        ),
        xiaomi=drop_empty(channel_id=overrides.get("xiaomi", {}).get("channel_id")),
        oppo=drop_empty(channel_id=overrides.get("oppo", {}).get("channel_id")),
        vivo=drop_empty(classification=read_vivo_class(vivo.get("channel_id"))),
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that EngageLab does not have on its platforms."""
    yield from unsupported_content(message, SUPPORT)
    targets = SUPPORT.target_platforms(message)
    if "ios" not in targets or message.kind == "silent":
        yield from unsupported_subtitles(message)
    lacking = [name for name in targets if name != "ios"]
    if message.collapse_key is not None and lacking:
        reason = f"EngageLab has no collapse_key for {', '.join(lacking)}"
        yield Problem("unsupported-field", reason, path="$.collapse_key")


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
