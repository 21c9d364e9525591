"""A message in the words of TPNS: everything of `POST /v3/push/app` but who is meant.

https://www.tencentcloud.com/document/product/1024/33764. At TPNS an application is of one platform, Android or iOS, and
has keys of its own; a message has a structure for each platform that it is meant for, and a call sends one of them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audience.errors import Problem
from audience.messages import Message
from audience.vendors.delivery_spec import merged
from audience.vendors.payload_reader import dump
from audience.vendors.schema_check import checker
from audience.vendors.spec import Payload
from audience.vendors.tpns.message_rules import RULES

NAME = "tpns"
PLATFORMS = ("android", "ios")
ONE_MORE = -2  # a badge that grows by one
BROWSER, PAGE_OF_APP = 2, 3  # what a tap opens


def body(message: Message) -> Payload:
    """*message* as the body of a request without its target; MessageError for what TPNS would refuse.

    >>> from audience.messages import message
    >>> body(message({"title": "Hi", "body": "there", "platforms": ["android"]}))
    {'message_type': 'notify', 'message': {'title': 'Hi', 'content': 'there', 'android': {}}}
    """
    said = merged(_body(message), message.vendor.get(NAME, {}))
    CHECK(said)
    return said


def _body(message: Message) -> Payload:
    told = [name for name in message.platforms or PLATFORMS if name in PLATFORMS]
    silent = message.kind == "silent"
    content = _set(title=message.title, content=message.body, xg_media_resources=None if silent else message.image)
    if "android" in told:
        content["android"] = _custom(message) if silent else _android(message)
    if "ios" in told:
        aps = {"content-available": 1} if silent else _aps(message)
        content["ios"] = {"aps": aps, **_custom(message)}
    return {
        "message_type": "message" if silent else "notify",
        "message": content,
        **_set(expire_time=message.time_to_live),
        **_set(environment=("dev" if message.test else "product") if "ios" in told else None),
    }


def _set(**fields: Any) -> Payload:
    return {key: value for key, value in fields.items() if value is not None}


def _custom(message: Message) -> Payload:
    return {"custom_content": dump(dict(message.data))} if message.data else {}


def _android(message: Message) -> Payload:
    return {
        **_set(
            badge_type=ONE_MORE if message.badge == "+1" else message.badge,
            ring_raw=None if message.sound in (None, "default") else Path(str(message.sound)).stem,
            action=None if message.link is None else _action(message.link),
        ),
        **_custom(message),
    }


def _action(link: str) -> Payload:
    """A web page is opened by the browser, anything else by the app."""
    if link.lower().startswith(("http://", "https://")):
        return {"action_type": BROWSER, "browser": {"url": link, "confirm": 0}}
    return {"action_type": PAGE_OF_APP, "intent": link}


def _aps(message: Message) -> Payload:
    """The title stands here, too: the page wants an alert, though the message's own title and content come first."""
    return _set(
        alert=_set(title=message.title),
        badge_type=ONE_MORE if message.badge == "+1" else message.badge,
        sound=message.sound,
    )


def lost(message: Message) -> Iterator[Problem]:
    """What of *message* TPNS has no field for, on the platforms that are told."""
    told = message.platforms or PLATFORMS
    silent = message.kind == "silent"
    if "hmos" in told:
        yield Problem("lost", "TPNS reaches no HarmonyOS", path="$.platforms")
    if message.collapse_key is not None:
        hint = "vendor.tpns.collapse_id takes the id of an earlier push"
        yield Problem("lost", "TPNS names itself what is replaced", path="$.collapse_key", hint=hint)
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
            yield Problem("lost", f"TPNS has no {name} for {', '.join(without)}", path=f"$.{name}", hint=advice)


CHECK = checker(Path(__file__).with_name("fields.json"), *RULES)
