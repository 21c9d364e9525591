"""A message in the words of TPNS: everything of `POST /v3/push/app` but who is meant.

https://www.tencentcloud.com/document/product/1024/33764. At TPNS an application is of one platform, Android or iOS, and
has keys of its own; a message has a structure for each platform that it is meant for, and a call sends one of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import deep_merge
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import schema_validator
from audience.vendors.spec import Payload
from audience.vendors.tpns.message_rules import RULES

NAME = "tpns"
PLATFORMS = ("android", "ios")
BADGE_INCREMENT = -2  # a badge that grows by one
ACTION_BROWSER, ACTION_INTENT = 2, 3  # what a tap opens


def build_body(message: Message) -> Payload:
    """*message* as the body of a request without its target; MessageError for what TPNS would refuse.

    >>> from audience.messages import parse_message
    >>> build_body(parse_message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'message_type': 'notify', 'message': {'title': 'Hi', 'content': 'there', 'android': {}}}
    """
    said = deep_merge(_message_to_body(message), message.vendor.get(NAME, {}))
    validate_body(said)
    return said


def _message_to_body(message: Message) -> Payload:
    told = [name for name in message.platforms or PLATFORMS if name in PLATFORMS]
    silent = message.kind == "silent"
    content = _drop_none(
        title=message.title, content=message.body, xg_media_resources=None if silent else message.image
    )
    if "android" in told:
        content["android"] = _build_custom_content(message) if silent else _build_android_fields(message)
    if "ios" in told:
        aps = {"content-available": 1} if silent else _build_aps_fields(message)
        content["ios"] = {"aps": aps, **_build_custom_content(message)}
    return {
        "message_type": "message" if silent else "notify",
        "message": content,
        **_drop_none(expire_time=message.time_to_live),
        **_drop_none(environment=("dev" if message.test else "product") if "ios" in told else None),
    }


def _drop_none(**fields: Any) -> Payload:
    return {key: value for key, value in fields.items() if value is not None}


def _build_custom_content(message: Message) -> Payload:
    return {"custom_content": dump_json(dict(message.data))} if message.data else {}


def _build_android_fields(message: Message) -> Payload:
    return {
        **_drop_none(
            badge_type=BADGE_INCREMENT if message.badge == "+1" else message.badge,
            ring_raw=None if message.sound in (None, "default") else Path(str(message.sound)).stem,
            action=None if message.link is None else _build_tap_action(message.link),
        ),
        **_build_custom_content(message),
    }


def _build_tap_action(link: str) -> Payload:
    """A web page is opened by the browser, anything else by the app."""
    if link.lower().startswith(("http://", "https://")):
        return {"action_type": ACTION_BROWSER, "browser": {"url": link, "confirm": 0}}
    return {"action_type": ACTION_INTENT, "intent": link}


def _build_aps_fields(message: Message) -> Payload:
    """The title stands here, too: the page wants an alert, though the message's own title and content come first."""
    return _drop_none(
        alert=_drop_none(title=message.title),
        badge_type=BADGE_INCREMENT if message.badge == "+1" else message.badge,
        sound=message.sound,
    )


def unsupported_fields(message: Message) -> Iterator[Problem]:
    """What of *message* TPNS has no field for, on the platforms that are told."""
    told = message.platforms or PLATFORMS
    silent = message.kind == "silent"
    if "hmos" in told:
        yield Problem("unsupported-field", "TPNS reaches no HarmonyOS", path="$.platforms")
    if message.collapse_key is not None:
        hint = "vendor.tpns.collapse_id takes the id of an earlier push"
        yield Problem("unsupported-field", "TPNS names itself what is replaced", path="$.collapse_key", hint=hint)
    lacking = {
        "link": PLATFORMS if silent else ("ios",),
        "image": PLATFORMS if silent else (),
        "badge": PLATFORMS if silent else (),
        "sound": PLATFORMS if silent else (),
    }
    for name, platforms in lacking.items():
        without = [each for each in platforms if each in told]
        if getattr(message, name) is not None and without:
            advice = "put it into data, where the app finds it" if name in ("link", "image") else None
            yield Problem(
                "unsupported-field", f"TPNS has no {name} for {', '.join(without)}", path=f"$.{name}", hint=advice
            )


validate_body = schema_validator(Path(__file__).with_name("fields.json"), *RULES)
