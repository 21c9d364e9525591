"""Bodies of EngageLab: everything of `POST /v4/push` except the target.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api. The fields of HarmonyOS, which the page leaves
out, are those of the vendor's own client, the Python package engagelab-apppush.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message, merge_patch
from audience.vendors.engagelab.message_rules import DEFAULT_PLATFORMS, RULES
from audience.vendors.engagelab.targeting import PLATFORMS as PLATFORM_FIELD
from audience.vendors.schema_check import schema_validator
from audience.vendors.shared.content_support import require_plain, unsupported_content
from audience.vendors.spec import Payload

NAME = "engagelab"
BIG_PICTURE_STYLE = 3


def build_body(message: Message) -> Payload:
    """Write *message* as a request without `to`, or raise MessageError for what EngageLab would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'body': {'platform': ['android'], 'notification': {'android': {'alert': 'there', 'title': 'Hi'}}}}
    """
    require_plain(message)
    request = merge_patch({"body": _message_to_body(message)}, message.vendor.get(NAME, {}))
    validate_body(request)
    return request


def _message_to_body(message: Message) -> Payload:
    platforms = _message_platforms(message)
    body: Payload = {"platform": list(platforms) if message.platforms else "all"}
    if message.kind == "silent":
        body |= _drop_empty(message=_build_custom_message(message))
    else:
        builders = {"android": _build_android_fields, "ios": _build_ios_fields, "hmos": _build_hmos_fields}
        body |= _drop_empty(notification=_drop_empty(**{name: builders[name](message) for name in platforms}))
    return body | _drop_empty(options=_build_options(message, platforms))


def _message_platforms(message: Message) -> tuple[str, ...]:
    """Return EngageLab's words for the platforms of *message*; without any, those that its page has."""
    return tuple(PLATFORM_FIELD.names[name] for name in message.platforms) or DEFAULT_PLATFORMS


def _drop_empty(**fields: Any) -> Payload:
    """Return the *fields* that are not empty."""
    return {key: value for key, value in fields.items() if value is not None and value != {}}


def _build_android_fields(message: Message) -> Payload:
    return _drop_empty(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=_drop_empty(url=message.link),
        big_pic_path=message.image,
        style=BIG_PICTURE_STYLE if message.image is not None else None,
        sound=message.sound,
        **_build_badge_fields(message),
    )


def _build_hmos_fields(message: Message) -> Payload:
    return _drop_empty(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=_drop_empty(url=message.link),
        large_icon=message.image,
        **_build_badge_fields(message),
    )


def _build_badge_fields(message: Message) -> Payload:
    if message.badge == "+1":
        return {"badge_add_num": 1}
    return _drop_empty(badge_set_num=message.badge)


def _build_ios_fields(message: Message) -> Payload:
    alert = message.body if message.title is None else _drop_empty(title=message.title, body=message.body)
    return _drop_empty(alert=alert, extras=dict(message.data), sound=message.sound, badge=message.badge)


def _build_custom_message(message: Message) -> Payload:
    """Build what the app gets; without a body, its content is the data."""
    data = dict(message.data)
    content = message.body if message.body is not None else data
    return _drop_empty(msg_content=content, title=message.title, extras=data)


def _build_options(message: Message, platforms: tuple[str, ...]) -> Payload:
    """Build the options; apns_production is always set for iOS, because the page has two defaults for it."""
    has_ios = "ios" in platforms
    return _drop_empty(
        time_to_live=message.time_to_live,
        apns_production=not message.test if has_ios else None,
        apns_collapse_id=message.collapse_key if has_ios else None,
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """Find the fields of *message* that EngageLab does not have on its platforms."""
    yield from unsupported_content(message, "EngageLab")
    targets = _message_platforms(message)
    is_silent = message.kind == "silent"
    lacking = {
        "link": targets if is_silent else ("ios",),
        "image": targets if is_silent else ("ios",),
        "badge": targets if is_silent else (),
        "sound": targets if is_silent else ("hmos",),
        "collapse_key": ("android", "hmos"),
    }
    for name, platforms in lacking.items():
        affected = ", ".join(platform for platform in platforms if platform in targets)
        if getattr(message, name) is not None and affected:
            hint = "put it into data, where the app can read it" if name in ("link", "image") else None
            yield Problem("unsupported-field", f"EngageLab has no {name} for {affected}", path=f"$.{name}", hint=hint)


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
