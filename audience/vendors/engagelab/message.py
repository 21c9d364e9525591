"""Bodies of EngageLab: everything of `POST /v4/push` except the target.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api. The fields of HarmonyOS, which the page leaves
out, are those of the vendor's own client, the Python package engagelab-apppush.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import deep_merge
from audience.vendors.engagelab.targeting import PLATFORMS as PLATFORM_FIELD
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, json_nbytes, schema_validator
from audience.vendors.spec import Payload

NAME = "engagelab"
MESSAGE_KINDS = ("notification", "message", "live_activity", "voip")
IOS_ONLY_KINDS = ("live_activity", "voip")
PLATFORMS = ("android", "ios", "hmos")  # as EngageLab calls them
MAX_MESSAGE_BYTES = 4_000  # of notification and message
MAX_SAFE_MESSAGE_BYTES = 2_048  # the same limit in the page's table of error codes
MAX_LIVE_ACTIVITY_BYTES = 3_584
MAX_CUSTOM_ARGS_CHARS = 128
MAX_COLLAPSE_ID_BYTES = 64
MAX_CHANNEL_ID_BYTES = 1_000
MAX_TIME_TO_LIVE_SECONDS = 15 * 86_400
BIG_PICTURE_STYLE = 3


def build_body(message: Message) -> Payload:
    """Write *message* as a request without `to`, or raise MessageError for what EngageLab would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'body': {'platform': ['android'], 'notification': {'android': {'alert': 'there', 'title': 'Hi'}}}}
    """
    request = deep_merge({"body": _message_to_body(message)}, message.vendor.get(NAME, {}))
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
    """Return EngageLab's words for the platforms of *message*."""
    return tuple(PLATFORM_FIELD.names[name] for name in message.platforms) or PLATFORMS


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


# Rules beyond the schema. -------------------------------------------------------------------------------------------


def target_platforms(body: Any) -> list[str]:
    """Return the platforms of a request."""
    platform = get_in(body, "body").get("platform")
    names = [platform] if isinstance(platform, str) else platform if isinstance(platform, list) else []
    return list(PLATFORMS) if "all" in names else [name for name in PLATFORMS if name in names]


def platform_problems(body: Payload, target: Payload) -> Iterator[Problem]:
    """Find whether *target* is on other platforms than the message of *body*: nobody would get it."""
    named, own = target_platforms(target), target_platforms(body)
    if named and not set(named) & set(own):
        message = f"the audience is on {', '.join(named)}, and the message is for {', '.join(own)} only"
        yield Problem("other-platform", message, path="$.platforms", hint="change the audience or `platforms`")


def join_target(body: Payload, target: Payload) -> Payload:
    """Return the request of *body* to *target*: a platform has to be one of both.

    >>> join_target({"body": {"platform": ["ios", "hmos"]}}, {"to": "all", "body": {"platform": ["android", "ios"]}})
    {'body': {'platform': ['ios']}, 'to': 'all'}
    """
    request = deep_merge(body, target)
    if named := target_platforms(target):
        request["body"]["platform"] = [name for name in named if name in target_platforms(body)]
    return request


def _kind_problems(body: Any) -> Iterator[Problem]:
    kinds = [kind for kind in MESSAGE_KINDS if kind in get_in(body, "body")]
    if not kinds and isinstance(body.get("body"), dict):
        hint = "give a body, or set one of them in vendor.engagelab.body"
        yield Problem("missing-key", f"one of {', '.join(MESSAGE_KINDS)} is required", path="$.body", hint=hint)
    if len(kinds) > 1:
        hint = "EngageLab sends one of them in a request: 21054, 21057, 21306"
        yield Problem("excluded", f"{' and '.join(kinds)} exclude each other", path="$.body", hint=hint)
    for kind in kinds:
        if kind in IOS_ONLY_KINDS and target_platforms(body) != ["ios"]:
            hint = 'set "platforms": ["ios"]'
            yield Problem("excluded", f"{kind} is for iOS only: 21056, 21058", path="$.body.platform", hint=hint)


def _alert_problems(body: Any) -> Iterator[Problem]:
    """Find a platform that has neither its own text nor the one for all platforms."""
    notification = get_in(body, "body", "notification")
    if "notification" not in get_in(body, "body") or notification.get("alert"):
        return
    for name in target_platforms(body):
        own = get_in(notification, name)
        if not own.get("alert") and own.get("content-available") is not True:
            path, hint = f"$.body.notification.{name}", "give the message a body"
            yield Problem("missing-key", "'alert' is required: the text to show", path=path, hint=hint)


def _size_problems(body: Any) -> Iterator[Problem]:
    push = get_in(body, "body")
    options = get_in(push, "options")
    size = json_nbytes(*(push[kind] for kind in ("notification", "message") if kind in push))
    yield from _excess_problems(size, MAX_MESSAGE_BYTES, "bytes", "$.body", "notification and message together")
    live_size = json_nbytes(get_in(push, "live_activity"))
    yield from _excess_problems(live_size, MAX_LIVE_ACTIVITY_BYTES, "bytes", "$.body.live_activity", "a live activity")
    args = body.get("custom_args")
    length = len(args) if isinstance(args, str) else len(dump_json(args or ""))
    yield from _excess_problems(length, MAX_CUSTOM_ARGS_CHARS, "characters", "$.custom_args", "custom_args")
    for path, value, maximum in (
        ("$.body.options.apns_collapse_id", options.get("apns_collapse_id"), MAX_COLLAPSE_ID_BYTES),
        (
            "$.body.notification.android.channel_id",
            get_in(push, "notification", "android").get("channel_id"),
            MAX_CHANNEL_ID_BYTES,
        ),
    ):
        if isinstance(value, str):
            yield from _excess_problems(len(value.encode()), maximum, "bytes", path, path.rpartition(".")[2])
    lifetime, path = options.get("time_to_live"), "$.body.options.time_to_live"
    if isinstance(lifetime, str) and lifetime.isascii() and lifetime.isdigit():
        yield from _excess_problems(int(lifetime), MAX_TIME_TO_LIVE_SECONDS, "seconds", path, "time_to_live")


def _excess_problems(actual: int, maximum: int, unit: str, path: str, subject: str) -> Iterator[Problem]:
    if actual > maximum:
        yield Problem("too-long", f"{subject} takes {actual:,} {unit}; the maximum is {maximum:,}", path=path)


validate_body = schema_validator(
    Path(__file__).with_name("fields.json"), _kind_problems, _alert_problems, _size_problems
)
