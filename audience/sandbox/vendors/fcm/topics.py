"""Topics of FCM: /iid/v1:batchAdd, /iid/v1:batchRemove and /iid/info, and the subscriptions of one token.

https://developers.google.com/instance-id/reference/server and, for /v1/projects/*/registrations/*/topicSubscriptions,
what Firebase's client for Python 7.7.0 calls and the discovery document of the API lists. Limits:
https://firebase.google.com/docs/cloud-messaging/topic-messaging. Whether a call with many tokens counts as one of the
3,000 a second is not said there: here it does. Nor is what the batches reply to a topic that cannot be: here the call
is refused as a whole.
"""

import re
from datetime import UTC, datetime

import numpy as np

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population_rows import Rows
from audience.sandbox.request_checks import is_string_list, parse_json_object
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors.fcm.conditions import TOPIC_PATTERN

BATCHES = {"/iid/v1:batchAdd": True, "/iid/v1:batchRemove": False}  # and whether it subscribes
INFO_PATH = "/iid/info/"
SUBSCRIPTIONS = re.compile(r"/v1/projects/([^/]+)/registrations/([^/]+)/topicSubscriptions(?:/([^/]+))?")
TOKEN_PATTERN = r"[A-Za-z0-9_:\-]+"
MAX_TOKENS, MAX_TOPICS = 1_000, 2_000
RATE_LIMIT = (3_000, 1.0)  # calls, seconds
TOPIC_PREFIX = "/topics/"


def name_topic_endpoint(path: str) -> str:
    """Return the endpoint of a path, with `*` in place of names, or "" if it is none of topics.

    >>> name_topic_endpoint("/iid/info/t1"), name_topic_endpoint("/v1/projects/p/registrations/t1/topicSubscriptions/a")
    ('/iid/info/*', '/v1/projects/*/registrations/*/topicSubscriptions/*')
    """
    if path in BATCHES:
        return path
    if path.startswith(INFO_PATH):
        return f"{INFO_PATH}*"
    match = SUBSCRIPTIONS.fullmatch(path)
    if match is None:
        return ""
    return f"/v1/projects/*/registrations/*/topicSubscriptions{'/*' if match[3] else ''}"


def handle_topic_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Change or read the topics of tokens, and reply. The access token was checked.

    Raises:
        VendorRefusal: The call is not allowed, or names a token that no device has.
    """
    if not state.rate_limiter.try_acquire("topics", *RATE_LIMIT):
        raise VendorRefusal("QUOTA_EXCEEDED", "Too many changes of topics.")
    match = SUBSCRIPTIONS.fullmatch(call.path)
    if match is not None:
        return HttpReply(200, _handle_subscription(call, match, state))
    if call.headers.get("access_token_auth") != "true":
        raise VendorRefusal("UNAUTHENTICATED", "access_token_auth is missing")
    if call.path in BATCHES and call.method == "POST":
        return HttpReply(200, {"results": _change_batch(call, state)})
    if call.path.startswith(INFO_PATH) and call.method == "GET":
        return HttpReply(200, _describe_instance(call, state))
    raise VendorRefusal("NOT_FOUND", "no such path")


# Many tokens. --------------------------------------------------------------------------------------------------------


def _change_batch(call: HttpCall, state: VendorState) -> list[JsonObject]:
    """Subscribe or unsubscribe each token of a call, and return a result for each."""
    request = parse_json_object(call.body, "INVALID_ARGUMENT")
    topic, tokens = request.get("to"), request.get("registration_tokens") or []
    if not isinstance(topic, str) or not topic.startswith(TOPIC_PREFIX):
        raise VendorRefusal("INVALID_ARGUMENT", "to is /topics/ and a name")
    name = topic.removeprefix(TOPIC_PREFIX)
    _check_topic(name)
    if not is_string_list(tokens) or not 1 <= len(tokens) <= MAX_TOKENS:
        raise VendorRefusal("INVALID_ARGUMENT", f"registration_tokens is a list of 1 to {MAX_TOKENS} tokens")
    codes = [_change(token, name, BATCHES[call.path], state) for token in tokens]
    return [{"error": code} if code else {} for code in codes]


def _change(token: str, name: str, is_adding: bool, state: VendorState) -> str:
    """Subscribe or unsubscribe *token*, and return why that is not possible, or ""."""
    if not re.fullmatch(TOKEN_PATTERN, token):
        return "INVALID_ARGUMENT"
    rows, unknown = state.find_rows([token])
    if unknown:
        return "NOT_FOUND"
    if not is_adding:
        state.tags.remove(name, rows)
    elif _has_room(rows, name, state):
        state.tags.add(name, rows)
    else:
        return "TOO_MANY_TOPICS"
    return ""


def _has_room(rows: Rows, name: str, state: VendorState) -> bool:
    (row,) = rows.tolist()
    return state.tags.has(row, name) or not state.exceeds_quota(int(state.tags.tag_counts[row]) + 1, MAX_TOPICS)


def _describe_instance(call: HttpCall, state: VendorState) -> JsonObject:
    """Return what is known of a token; its topics with the parameter `details`."""
    token = call.path.removeprefix(INFO_PATH)
    if not re.fullmatch(TOKEN_PATTERN, token):
        raise VendorRefusal("INVALID_ARGUMENT", "InvalidToken")
    row = _find_row(token, state)
    about: JsonObject = {"application": "com.example", "authorizedEntity": "123456782354", "platform": "ANDROID"}
    topics = state.tags.tags_of(row) if call.query.get("details") == "true" else []
    if topics:
        day = datetime.fromtimestamp(state.clock(), UTC).date().isoformat()
        about["rel"] = {"topics": {name: {"addDate": day} for name in topics}}
    return about


# One token. ----------------------------------------------------------------------------------------------------------


def _handle_subscription(call: HttpCall, match: re.Match[str], state: VendorState) -> JsonObject:
    project, token, topic = match.groups()
    place = f"projects/{project}/registrations/{token}/topicSubscriptions"
    row = _find_row(token, state)
    rows = np.array([row], dtype=np.uint32)
    match call.method, topic:
        case "GET", None:
            return {"topicSubscriptions": [_describe(place, name, state) for name in state.tags.tags_of(row)]}
        case "POST", None:
            name = call.query.get("topic_name", call.query.get("topicName", ""))
            _check_topic(name)
            if state.tags.has(row, name):
                raise VendorRefusal("ALREADY_EXISTS", "the token has this topic")
            if not _has_room(rows, name, state):
                raise VendorRefusal("TOO_MANY_TOPICS", f"a token has at most {MAX_TOPICS:,} topics")
            state.tags.add(name, rows)
            return _describe(place, name, state)
        case "DELETE", str(name):
            allows_missing = "true" in (call.query.get("allow_missing"), call.query.get("allowMissing"))
            if not state.tags.has(row, name) and not allows_missing:
                raise VendorRefusal("NOT_FOUND", "the token does not have this topic")
            state.tags.remove(name, rows)
            return {}
    raise VendorRefusal("NOT_FOUND", "The requested URL was not found on this server.")


def _describe(place: str, name: str, state: VendorState) -> JsonObject:
    moment = datetime.fromtimestamp(state.clock(), UTC).isoformat().replace("+00:00", "Z")
    return {"name": f"{place}/{name}", "topicName": name, "createTime": moment}


def _find_row(token: str, state: VendorState) -> int:
    row = state.population.rows_by_id(state.vendor).get(token)
    if row is None:
        raise VendorRefusal("NOT_FOUND", "No information found about this instance id.")
    return row


def _check_topic(name: str) -> None:
    if not re.fullmatch(TOPIC_PATTERN, name):
        raise VendorRefusal("INVALID_ARGUMENT", "Invalid topic name.")
