"""Rules of OneSignal for a body beyond the types of its fields, and for a body together with its target.

Source: https://documentation.onesignal.com/reference/push-notification.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.errors import Problem
from audience.messages import merge_patch
from audience.vendors.delivery_spec import Credentials
from audience.vendors.onesignal.platforms import BROWSER_FLAGS, FLAGS_IGNORED_BESIDE, PLATFORMS_BY_FLAG
from audience.vendors.onesignal.schedule import time_problems
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

FLAGS = (*PLATFORMS_BY_FLAG, *BROWSER_FLAGS)
WEB_FLAGS = ("isAnyWeb", *BROWSER_FLAGS)
MAX_CUSTOM_DATA_BYTES = 2_048


def read_flags(payload: Any) -> list[str]:
    """Return the flags of platforms that a body or a target sets.

    >>> read_flags({"isAndroid": True, "isIos": True, "contents": {"en": "Hi"}})
    ['isIos', 'isAndroid']
    """
    return [flag for flag in FLAGS if get_in(payload).get(flag) is True]


def join_target(body: Payload, target: Payload) -> Payload:
    """Return the request of *body* to *target*: a platform has to be one of both.

    >>> join_target({"isIos": True, "isAndroid": True}, {"filters": [], "isIos": True, "isHuawei": True})
    {'isIos': True, 'filters': []}
    """
    own, named = read_flags(body), read_flags(target)
    joined = merge_patch(body, target)
    if not own or not named:
        return joined
    kept = join_flags(own, named)
    return {key: value for key, value in joined.items() if key not in FLAGS or key in kept}


def join_flags(own: Sequence[str], named: Sequence[str]) -> list[str]:
    """Return the platforms of both; a browser is one of all browsers.

    >>> join_flags(["isIos", "isAnyWeb"], ["isFirefox"])
    ['isFirefox']
    """
    both = [flag for flag in FLAGS if flag in own and flag in named]
    browsers = [flag for flag in BROWSER_FLAGS if "isAnyWeb" in own and flag in named and flag not in both]
    others = [flag for flag in BROWSER_FLAGS if "isAnyWeb" in named and flag in own and flag not in both]
    return [*both, *browsers, *others]


def target_problems(body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
    """Find why *body* cannot go to *targets*: platforms that would be ignored, or that nobody is on."""
    own = read_flags(body)
    for target in targets:
        ignoring = [key for key in FLAGS_IGNORED_BESIDE if key in target]
        named = read_flags(target)
        if own and ignoring:
            message = f"OneSignal ignores platforms beside {ignoring[0]}: devices on others would get the message, too"
            hint = 'write the platforms in the expression, as in "vip AND platform:ios", and none in the message'
            yield Problem("no-such-target", message, path="$.platforms", hint=hint)
        elif own and named and not join_flags(own, named):
            message = f"the audience is on {', '.join(named)}, and the message is for {', '.join(own)} only"
            yield Problem("other-platform", message, path="$.platforms", hint="name the platforms of both")


def _content_problems(body: Any) -> Iterator[Problem]:
    """Find a message that shows nothing and wakes nothing."""
    words = get_in(body)
    if not any(words.get(key) for key in ("contents", "content_available", "template_id", "apns_alert")):
        yield Problem("missing-key", "'contents' is required", path="$", hint="give the message a body")


def _language_problems(body: Any) -> Iterator[Problem]:
    """Find titles and subtitles that are not in the languages of the texts."""
    languages = set(get_in(body, "contents"))
    for name in ("headings", "subtitle"):
        own = get_in(body, name)
        if own and languages and set(own) != languages:
            lacking = ", ".join(sorted(languages.symmetric_difference(own)))
            message = f"{name} must be in the languages of contents; they differ in {lacking}"
            yield Problem("wrong-value", message, path=f"$.{name}", hint="write each language in both")


def _badge_problems(body: Any) -> Iterator[Problem]:
    words = get_in(body)
    if "ios_badgeCount" in words and "ios_badgeType" not in words:
        yield Problem("missing-key", "'ios_badgeType' is required beside ios_badgeCount", path="$", hint="SetTo")


def _delay_problems(body: Any) -> Iterator[Problem]:
    words = get_in(body)
    if "delivery_time_of_day" in words and words.get("delayed_option") != "timezone":
        hint = 'add "delayed_option": "timezone"'
        message = "delivery_time_of_day is for the delayed_option timezone"
        yield Problem("missing-key", message, path="$.delivery_time_of_day", hint=hint)


def _size_problems(body: Any) -> Iterator[Problem]:
    size = json_nbytes(get_in(body, "custom_data"))
    if size > MAX_CUSTOM_DATA_BYTES:
        message = f"custom_data takes {size:,} bytes; the maximum is {MAX_CUSTOM_DATA_BYTES:,}"
        yield Problem("too-long", message, path="$.custom_data")


RULES = (_content_problems, _language_problems, _badge_problems, _delay_problems, _size_problems, time_problems)
