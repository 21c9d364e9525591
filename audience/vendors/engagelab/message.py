"""A message in the words of EngageLab: everything of `POST /v4/push` but who is meant.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api; the fields of HarmonyOS, which the page leaves out,
are those of the vendor's own client, the Python package engagelab-apppush.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import merged
from audience.vendors.payload_reader import dump
from audience.vendors.schema_check import at, checker, size
from audience.vendors.spec import Payload

NAME = "engagelab"
KINDS = ("notification", "message", "live_activity", "voip")
IOS_ALONE = ("live_activity", "voip")
PLATFORMS = ("android", "ios", "hmos")
MOST_BYTES = 4_000  # of notification and message
LEAST_BYTES = 2_048  # the same limit, as the page's table of error codes has it
LIVE_BYTES = 3_584
ARGS_CHARACTERS = 128
COLLAPSE_BYTES = 64
CHANNEL_BYTES = 1_000
LONGEST_LIFE = 15 * 86_400
BIG_PICTURE = 3


def body(message: Message) -> Payload:
    """*message* as the body of a request without `to`; MessageError for what EngageLab would refuse.

    >>> from audience.messages import message
    >>> body(message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'body': {'platform': ['android'], 'notification': {'android': {'alert': 'there', 'title': 'Hi'}}}}
    """
    said = merged({"body": _body(message)}, message.vendor.get(NAME, {}))
    CHECK(said)
    return said


def _body(message: Message) -> Payload:
    told = message.platforms or PLATFORMS
    found: Payload = {"platform": list(message.platforms) or "all"}
    if message.kind == "silent":
        found |= _set(message=_custom(message))
    else:
        wordings = {"android": _android, "ios": _ios, "hmos": _hmos}
        found |= _set(notification=_set(**{name: wordings[name](message) for name in told}))
    return found | _set(options=_options(message, told))


def _set(**fields: Any) -> Payload:
    """The *fields* that say something."""
    return {key: value for key, value in fields.items() if value is not None and value != {}}


def _android(message: Message) -> Payload:
    return _set(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=_set(url=message.link),
        big_pic_path=message.image,
        style=BIG_PICTURE if message.image is not None else None,
        sound=message.sound,
        **_badge(message),
    )


def _hmos(message: Message) -> Payload:
    return _set(
        alert=message.body,
        title=message.title,
        extras=dict(message.data),
        intent=_set(url=message.link),
        large_icon=message.image,
        **_badge(message),
    )


def _badge(message: Message) -> Payload:
    if message.badge == "+1":
        return {"badge_add_num": 1}
    return _set(badge_set_num=message.badge)


def _ios(message: Message) -> Payload:
    alert = message.body if message.title is None else _set(title=message.title, body=message.body)
    return _set(alert=alert, extras=dict(message.data), sound=message.sound, badge=message.badge)


def _custom(message: Message) -> Payload:
    """What is handed to the app; without a body its content is the data themselves."""
    data = dict(message.data)
    content = message.body if message.body is not None else data
    return _set(msg_content=content, title=message.title, extras=data)


def _options(message: Message, told: tuple[str, ...]) -> Payload:
    """The page gives two defaults for apns_production, so it is always said where iOS is told."""
    ios = "ios" in told
    return _set(
        time_to_live=message.time_to_live,
        apns_production=not message.test if ios else None,
        apns_collapse_id=message.collapse_key if ios else None,
    )


def lost(message: Message) -> Iterator[Problem]:
    """What of *message* EngageLab has no field for, on the platforms that are told."""
    told = message.platforms or PLATFORMS
    silent = message.kind == "silent"
    lacking = {
        "link": told if silent else ("ios",),
        "image": told if silent else ("ios",),
        "badge": told if silent else (),
        "sound": told if silent else ("hmos",),
        "collapse_key": ("android", "hmos"),
    }
    for name, platforms in lacking.items():
        without = [each for each in platforms if each in told]
        if getattr(message, name) is not None and without:
            hint = "put it into data, where the app finds it" if name in ("link", "image") else None
            yield Problem("lost", f"EngageLab has no {name} for {', '.join(without)}", path=f"$.{name}", hint=hint)


# What a schema cannot say. ------------------------------------------------------------------------------------------


def told_by(said: Any) -> list[str]:
    """The platforms that the body *said* tells."""
    platform = at(said, "body").get("platform")
    names = [platform] if isinstance(platform, str) else platform if isinstance(platform, list) else []
    return list(PLATFORMS) if "all" in names else [name for name in PLATFORMS if name in names]


def _one_kind(said: Any) -> Iterator[Problem]:
    kinds = [kind for kind in KINDS if kind in at(said, "body")]
    if not kinds and isinstance(said.get("body"), dict):
        hint = "give a body, or one of them by vendor.engagelab.body"
        yield Problem("missing-key", f"one of {', '.join(KINDS)} is required", path="$.body", hint=hint)
    if len(kinds) > 1:
        hint = "EngageLab sends one of them in a request: 21054, 21057, 21306"
        yield Problem("excluded", f"{' and '.join(kinds)} exclude each other", path="$.body", hint=hint)
    for kind in kinds:
        if kind in IOS_ALONE and told_by(said) != ["ios"]:
            hint = 'say "platforms": ["ios"]'
            yield Problem("excluded", f"{kind} is for iOS alone: 21056, 21058", path="$.body.platform", hint=hint)


def _alerts(said: Any) -> Iterator[Problem]:
    """Every platform that is told needs its text, or the one above all platforms."""
    found = at(said, "body", "notification")
    if "notification" not in at(said, "body") or found.get("alert"):
        return
    for name in told_by(said):
        own = at(found, name)
        if not own.get("alert") and own.get("content-available") is not True:
            path, hint = f"$.body.notification.{name}", "give the message a body"
            yield Problem("missing-key", "'alert' is required: what is shown", path=path, hint=hint)


def _sizes(said: Any) -> Iterator[Problem]:
    whole = at(said, "body")
    options = at(whole, "options")
    shown = size(*(whole[kind] for kind in ("notification", "message") if kind in whole))
    yield from _longer(shown, MOST_BYTES, "bytes", "$.body", "notification and message together")
    live = size(at(whole, "live_activity"))
    yield from _longer(live, LIVE_BYTES, "bytes", "$.body.live_activity", "a live activity")
    args = said.get("custom_args")
    length = len(args) if isinstance(args, str) else len(dump(args or ""))
    yield from _longer(length, ARGS_CHARACTERS, "characters", "$.custom_args", "custom_args")
    for path, value, most in (
        ("$.body.options.apns_collapse_id", options.get("apns_collapse_id"), COLLAPSE_BYTES),
        (
            "$.body.notification.android.channel_id",
            at(whole, "notification", "android").get("channel_id"),
            CHANNEL_BYTES,
        ),
    ):
        if isinstance(value, str):
            yield from _longer(len(value.encode()), most, "bytes", path, path.rpartition(".")[2])
    life = options.get("time_to_live")
    if isinstance(life, str) and life.isascii() and life.isdigit():
        yield from _longer(int(life), LONGEST_LIFE, "seconds", "$.body.options.time_to_live", "time_to_live")


def _longer(found: int, most: int, unit: str, path: str, what: str) -> Iterator[Problem]:
    if found > most:
        yield Problem("too-long", f"{what} takes {found:,} {unit}; {most:,} is the most", path=path)


CHECK = checker(Path(__file__).with_name("fields.json"), _one_kind, _alerts, _sizes)
