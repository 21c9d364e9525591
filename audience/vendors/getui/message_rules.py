"""Rules of Getui for a body beyond the types of its fields, and for a body together with its target.

A request has no field for platforms. A notification of `push_message` is shown on Android and HarmonyOS, whose words
for it are `phone_type`; a `transmission` reaches the app on every platform. So a message that leaves out a platform
which it would reach goes only to conditions that leave that platform out, too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials
from audience.vendors.getui.schedule import time_problems
from audience.vendors.schema_check import get_in
from audience.vendors.shared.maker_words import find_changed_targets
from audience.vendors.spec import Payload

PLATFORM_PARTS = {
    "android": "$.push_channel.android",
    "ios": "$.push_channel.ios",
    "harmonyos": "$.push_channel.harmony",
}
CONTENTS = ("notification", "transmission")
APP_ONLY_SETTINGS = ("speed", "schedule_time")
NEEDED_BY_CLICK = {"url": "url", "intent": "intent", "payload": "payload", "payload_custom": "payload", "want": "want"}


def lacks_harmonyos(credentials: Credentials) -> bool:
    """Return whether the user says that the application has no devices with HarmonyOS."""
    return credentials.keys.get("harmonyos") == "no"


def is_app_push(target: Payload) -> bool:
    """Return whether *target* is everyone or devices by tags, which Getui calls a push to the app.

    >>> is_app_push({"audience": "all"}), is_app_push({"audience": {"cid": ["a"]}})
    (True, False)
    """
    audience: Any = target.get("audience")
    return audience == "all" or (isinstance(audience, dict) and ("tag" in audience or "fast_custom_tag" in audience))


def target_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: settings for the app, and platforms that are not meant."""
    for key in APP_ONLY_SETTINGS:
        if key in get_in(body, "settings") and not all(map(is_app_push, targets)):
            message, hint = f"{key} is for everyone and for tags only", "leave it out, or set send_at"
            yield Problem("no-such-target", message, path=f"$.settings.{key}", hint=hint)
    lacking = list(_lacking_platforms(body))
    if lacks_harmonyos(credentials):
        lacking = [name for name in lacking if name != "harmonyos"]
    if lacking and not all(_is_narrowed(target, lacking) for target in targets):
        message = f"the message is not for {' and '.join(lacking)}, where it would be shown or reach the app, too"
        hint = 'leave platforms out, and write them in the expression, as in "vip AND platform:ios"'
        if lacking == ["harmonyos"]:
            hint += "; if the application has no devices with HarmonyOS, set its key `harmonyos` to `no`"
        yield Problem("no-such-target", message, path="$.platforms", hint=hint)


def _lacking_platforms(body: Payload) -> Iterator[str]:
    """Yield the platforms without a part that a notification reaches all the same."""
    push, parts = get_in(body, "push_message"), get_in(body, "push_channel")
    alert = get_in(parts, "ios", "aps").get("alert")
    has_part = {
        "android": "notification" in push or "notification" in get_in(parts, "android", "ups"),
        "ios": bool(alert),
        "harmonyos": "notification" in get_in(parts, "harmony"),
    }
    if not any(has_part.values()):
        return  # for the app alone, on every platform
    for name, is_meant in has_part.items():
        reaches = "transmission" in push or ("notification" in push and name != "ios")
        if reaches and not is_meant:
            yield name


def _is_narrowed(target: Payload, lacking: Sequence[str]) -> bool:
    """Return whether the conditions of *target* ask for a phone_type, and for none of the *lacking* platforms."""
    audience: Any = target.get("audience")
    conditions = audience.get("tag") if isinstance(audience, dict) else None
    for each in conditions if isinstance(conditions, list) else ():
        if each.get("key") == "phone_type" and each.get("opt_type") in ("or", "and"):
            return not {name.lower() for name in each.get("values", ())} & {*lacking}
    return False


def _content_problems(body: Any) -> Iterator[Problem]:
    """Find a push without a content for Getui's own connection, which it always needs, or with two of them."""
    push = get_in(body, "push_message")
    found = [name for name in CONTENTS if name in push]
    if len(found) != 1:
        reason = f"exactly one of {' and '.join(CONTENTS)} is required, found {len(found)}"
        hint = "give the message a title and a body, or, if it is silent, data"
        yield Problem("missing-key" if not found else "excluded", reason, path="$.push_message", hint=hint)
    ups, harmony = get_in(body, "push_channel", "android", "ups"), get_in(body, "push_channel", "harmony")
    for part, path in ((ups, "$.push_channel.android.ups"), (harmony, "$.push_channel.harmony")):
        if all(name in part for name in CONTENTS):
            yield Problem("excluded", f"{' and '.join(CONTENTS)} exclude each other", path=path)
    if {"big_text", "big_image"} <= {*get_in(push, "notification")}:
        path = "$.push_message.notification"
        yield Problem("excluded", "big_text and big_image exclude each other", path=path, hint="leave image out")


def _click_problems(body: Any) -> Iterator[Problem]:
    """Find a click without what it opens."""
    places = (
        ("push_message", "notification"),
        ("push_channel", "android", "ups", "notification"),
        ("push_channel", "harmony", "notification"),
    )
    for place in places:
        notification = get_in(body, *place)
        click = notification.get("click_type")
        needed = NEEDED_BY_CLICK.get(click) if isinstance(click, str) else None
        if needed and not notification.get(needed):
            path = f"$.{'.'.join(place)}"
            yield Problem("missing-key", f"{needed!r} is required for the click_type {click}", path=path)


def _ios_problems(body: Any) -> Iterator[Problem]:
    """Find a notification on iOS that shows nothing."""
    ios = get_in(body, "push_channel", "ios")
    aps, path = get_in(ios, "aps"), "$.push_channel.ios.aps"
    if ios and ios.get("type") != "voip" and not aps.get("alert") and aps.get("content-available") != 1:
        yield Problem("missing-key", "'alert' is required", path=path, hint="give the message a text")


def _filter_problems(body: Any) -> Iterator[Problem]:
    """Find options of manufacturers' channels that choose the devices, which is left to the expression."""
    for place in (("android", "ups", "options"), ("harmony", "options")):
        options = get_in(body, "push_channel", *place)
        yield from find_changed_targets(options, f"$.push_channel.{'.'.join(place)}")


RULES = (_content_problems, _click_problems, _ios_problems, _filter_problems, time_problems)
