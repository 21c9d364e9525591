"""Checks of EngageLab for the fields of a push, and the codes of its page for what they find.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api
"""

import json
from pathlib import Path
from typing import Any

from audience.sandbox.field_checks import FieldProblem, find_field_problem, get_field, load_field_table
from audience.sandbox.http_types import JsonObject, VendorRefusal
from audience.sandbox.request_checks import number_or_text, total_json_bytes

TABLE = Path(__file__).with_name("push.txt")
CONTENT_FIELDS = ("notification", "message", "live_activity", "voip")
PLATFORMS = {"android", "ios", "hmos", "web"}
PAGE_PLATFORMS = {"android", "ios"}  # those of "all"; others have texts of their own
MAKERS = ("xiaomi", "huawei", "meizu", "oppo", "vivo", "fcm", "honor")
LANGUAGES = set(
    "en ar zh-Hans zh-Hant cs da nl fr de hi it ja ko ms ru es th vi id no sv pl tr he pt ro hu fi el".split()
)
MAX_CONTENT_BYTES, MAX_LIVE_ACTIVITY_BYTES = 4_000, 3_584  # bytes
MAX_CUSTOM_ARGS_CHARS, MAX_TTL_SECONDS = 128, 15 * 86_400
CODE_BY_KIND = {
    "unknown": 21015,
    "missing": 21002,
    "empty": 21002,
    "type": 21016,
    "bytes": 21016,
    "chars": 21016,
    "items": 21016,
}
CODE_BY_NAME = {"distribution_new": 27009, "event": 21050, "content-state": 21053}


def check_push(push: JsonObject) -> set[str]:
    """Check the fields of a push; return the platforms that it is for.

    Raises:
        VendorRefusal: A field is unknown, missing, of another type, or has a value that the page does not allow.
    """
    body = push.get("body")
    contents = [name for name in CONTENT_FIELDS if isinstance(body, dict) and body.get(name)]
    _check_coexistence(contents)
    if problem := find_field_problem(push, load_field_table(TABLE)):
        raise VendorRefusal(_code_of(problem), f"{problem.path}: {problem.expected}")
    if not contents:
        raise VendorRefusal(21002, f"one of {', '.join(CONTENT_FIELDS)} is needed")
    body = push["body"]
    _check_custom_args(push.get("custom_args"))
    platforms = _parse_platforms(body)
    _check_options(body.get("options") or {}, contents[0], body.get("notification") or {})
    match contents[0]:
        case "notification":
            _check_notification(body["notification"], platforms)
        case "live_activity":
            _check_live_activity(body["live_activity"]["ios"], platforms, push["to"])
        case "voip" if platforms != {"ios"}:
            raise VendorRefusal(21058, "voip only supports ios")
    if total_json_bytes(body.get("notification"), body.get("message")) > MAX_CONTENT_BYTES:
        raise VendorRefusal(21005, f"more than {MAX_CONTENT_BYTES} bytes")
    return platforms


def _code_of(problem: FieldProblem) -> int:
    if problem.path.endswith("big_push_duration") and problem.kind == "range":
        return 23006
    if problem.name in CODE_BY_NAME and problem.kind != "unknown":
        return CODE_BY_NAME[problem.name]
    return CODE_BY_KIND.get(problem.kind, 21003)


def _check_coexistence(contents: list[str]) -> None:
    if len(contents) > 1:
        code = 21057 if "voip" in contents else 21054 if "live_activity" in contents else 21306
        raise VendorRefusal(code, f"{' and '.join(contents)} together")


def _check_custom_args(args: Any) -> None:
    for value in args.values() if isinstance(args, dict) else [args or ""]:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if len(text) > MAX_CUSTOM_ARGS_CHARS:
            raise VendorRefusal(21016, f"a value of custom_args has more than {MAX_CUSTOM_ARGS_CHARS} characters")


def _parse_platforms(body: JsonObject) -> set[str]:
    value = body["platform"]
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise VendorRefusal(21016, "platform is all, a platform, or a list of them")
    if set(names) - PLATFORMS - {"all"}:
        raise VendorRefusal(21003, f"platform {names} is not known")
    if "all" in names:
        return PAGE_PLATFORMS | (PLATFORMS & (body.get("notification") or {}).keys())
    return set(names)


def _check_notification(notification: JsonObject, platforms: set[str]) -> None:
    """Reject a platform that has neither a text of its own nor the one for all platforms."""
    for name in sorted(platforms | (PLATFORMS & notification.keys())):
        if get_field(notification, f"{name}.alert") is None and notification.get("alert") is None:
            raise VendorRefusal(21002, f"alert of {name} is missing")


def _check_live_activity(ios: JsonObject, platforms: set[str], target: Any) -> None:
    if platforms != {"ios"}:
        raise VendorRefusal(21056, "live_activity only supports ios")
    named = [key for key in target if target[key]] if isinstance(target, dict) else []
    if ios["event"] == "start":
        if not ios.get("attributes-type"):
            raise VendorRefusal(21052, "attributes-type is empty")
        if target != "all" and named != ["registration_id"]:
            raise VendorRefusal(21051, "only broadcast or registration_id at a start")
    elif "live_activity_id" not in named:
        raise VendorRefusal(21002, "live_activity_id is needed to update an activity")
    if total_json_bytes({"ios": ios}) > MAX_LIVE_ACTIVITY_BYTES:
        raise VendorRefusal(21005, f"live_activity has more than {MAX_LIVE_ACTIVITY_BYTES} bytes")


def _check_options(options: JsonObject, content_type: str, notification: JsonObject) -> None:
    live = 0 if options.get("time_to_live") is None else options["time_to_live"]
    seconds = number_or_text(live) if isinstance(live, str) else live
    if not isinstance(seconds, int) or not 0 <= seconds <= MAX_TTL_SECONDS:
        raise VendorRefusal(21003, "time_to_live is from 0 to 15 days")
    if options.get("big_push_duration") is not None and content_type in ("live_activity", "voip"):
        raise VendorRefusal(21059, "no big_push_duration for this type")
    if odd := [name for name in options.get("multi_language") or {} if name not in LANGUAGES]:
        raise VendorRefusal(21015, f"multi_language has no code {odd[0]}")
    channels = options.get("third_party_channel") or {}
    if odd := [name for name in channels if name not in MAKERS]:
        raise VendorRefusal(21015, f"third_party_channel has no {odd[0]}")
    texts = [get_field(notification, path) for path in ("alert", "android.alert")]
    if channels and content_type == "notification" and "" in texts and not any(texts):
        raise VendorRefusal(27008, "third_party_channel needs an alert that is not empty")
