"""Rules of EngageLab for a body, beyond the types of its fields.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api. Two errors of the page: the message of 21059
names a field of kinds that exclude it, and 27008 an alert that third_party_channel needs.
"""

from collections.abc import Iterator
from typing import Any

from audience.errors import Problem
from audience.messages import merge_patch
from audience.vendors.payload_reader import dump_json
from audience.vendors.schema_check import get_in, json_nbytes
from audience.vendors.spec import Payload

MESSAGE_KINDS = ("notification", "message", "live_activity", "voip")
IOS_ONLY_KINDS = ("live_activity", "voip")
PLATFORMS = ("android", "ios", "hmos", "web")  # as EngageLab calls them
DEFAULT_PLATFORMS = ("android", "ios")  # those of the page, and so of "all"
MAX_MESSAGE_BYTES = 4_000  # of notification and message
MAX_SAFE_MESSAGE_BYTES = 2_048  # the same limit in the page's table of error codes
MAX_LIVE_ACTIVITY_BYTES = 3_584
MAX_CUSTOM_ARGS_CHARS = 128  # of a value
MAX_COLLAPSE_ID_BYTES = 64
MAX_CHANNEL_ID_BYTES = 1_000
MAX_TIME_TO_LIVE_SECONDS = 15 * 86_400


def target_platforms(body: Any) -> list[str]:
    """Return the platforms of a request; of "all" those that the page has, and others with texts of their own.

    >>> target_platforms({"body": {"platform": "all", "notification": {"alert": "Hi", "hmos": {}}}})
    ['android', 'ios', 'hmos']
    """
    platform = get_in(body, "body").get("platform")
    names = [platform] if isinstance(platform, str) else platform if isinstance(platform, list) else []
    if "all" in names:
        names = [*DEFAULT_PLATFORMS, *get_in(body, "body", "notification")]
    return [name for name in PLATFORMS if name in names]


def platform_problems(body: Payload, target: Payload) -> Iterator[Problem]:
    """Find whether *target* is on platforms that the message of *body* is not for.

    A message that names platforms narrows the audience. One that names none has texts for those of the page only, so
    the others would be left out by accident.
    """
    named, own = target_platforms(target), target_platforms(body)
    lacking = [name for name in named if name not in own]
    if lacking and (lacking == named or get_in(body, "body").get("platform") == "all"):
        message = f"the audience is on {', '.join(named)}, and the message is for {', '.join(own)} only"
        hint = f"name {', '.join(lacking)} in `platforms` of the message, or change the audience"
        yield Problem("other-platform", message, path="$.platforms", hint=hint)


def join_target(body: Payload, target: Payload) -> Payload:
    """Return the request of *body* to *target*: a platform has to be one of both.

    >>> join_target({"body": {"platform": ["ios", "hmos"]}}, {"to": "all", "body": {"platform": ["android", "ios"]}})
    {'body': {'platform': ['ios']}, 'to': 'all'}
    """
    request = merge_patch(body, target)
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
        if not get_in(notification, name).get("alert"):
            path, hint = f"$.body.notification.{name}", "give the message a body"
            yield Problem("missing-key", "'alert' is required: the text to show", path=path, hint=hint)


def _pace_problems(body: Any) -> Iterator[Problem]:
    """Find a paced push of a kind that has none."""
    if "big_push_duration" in get_in(body, "body", "options"):
        for kind in IOS_ONLY_KINDS:
            if kind in get_in(body, "body"):
                message = f"{kind} is not sent at a pace: 21059"
                yield Problem("excluded", message, path="$.body.options.big_push_duration", hint="remove the field")


def _custom_args_problems(body: Any) -> Iterator[Problem]:
    """Find values of custom_args that are too long, each counted in characters: of a text, else of its JSON."""
    args = body.get("custom_args")
    values = {f".{key}": value for key, value in args.items()} if isinstance(args, dict) else {"": args}
    for key, value in values.items():
        length = len(value if isinstance(value, str) else dump_json(value))
        subject = f"custom_args{key}"
        yield from _excess_problems(length, MAX_CUSTOM_ARGS_CHARS, "characters", f"$.{subject}", subject)


def _size_problems(body: Any) -> Iterator[Problem]:
    push = get_in(body, "body")
    options = get_in(push, "options")
    size = json_nbytes(*(push[kind] for kind in ("notification", "message") if kind in push))
    yield from _excess_problems(size, MAX_MESSAGE_BYTES, "bytes", "$.body", "notification and message together")
    live_size = json_nbytes(get_in(push, "live_activity"))
    yield from _excess_problems(live_size, MAX_LIVE_ACTIVITY_BYTES, "bytes", "$.body.live_activity", "a live activity")
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


RULES = (_kind_problems, _alert_problems, _pace_problems, _custom_args_problems, _size_problems)
