"""Firebase Cloud Messaging: conditions of at most five topics, or tokens. It has topics in the place of tags.

https://firebase.google.com/docs/cloud-messaging/send-topic-messages: only its beginning could be read, on 2026-11-21;
what it says of conditions by those who quote it, and the rest by Firebase's own clients and their samples.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import Expr, Ids, Tag
from audience.vendors.payload_reader import listed, loaded, mapping, only, refuse, string
from audience.vendors.shared import topic_conditions
from audience.vendors.shared.topic_conditions import Dialect, left_to_right
from audience.vendors.spec import Limit, Payload, Vendor, one_list

PAGE = "https://firebase.google.com/docs/cloud-messaging/send-topic-messages"
LISTS = "https://github.com/firebase/firebase-admin-python/blob/main/firebase_admin/_messaging_encoder.py"
NOT_ALONE = "https://github.com/firebase/firebase-admin-python/issues/145"
PERCENT = "https://github.com/firebase/firebase-android-sdk/issues/8620"

LIMITS = {"topics": Limit(5, PAGE), "tokens": Limit(500, LISTS)}  # of topics as PAGE is quoted
LONE_NOT = False  # documented once, and refused by the server since 2018: NOT_ALONE
WRITES_PERCENT = False  # documented as legal in a name, and fails in the Android SDK 25.1.0: PERCENT

NAME = r"[a-zA-Z0-9\-_.~%]+"
DIALECT = Dialect(
    title="FCM",
    shape=Tree(tags=5, lone_not=LONE_NOT),
    readable=NAME,
    legal=NAME if WRITES_PERCENT else NAME.replace("%", ""),
    hint="letters, digits and - _ . ~",
    most_read=LIMITS["topics"].most,
    mixed=left_to_right,
)
TARGETS = ("token", "fid", "topic", "condition")


def parse(payload: Any) -> Expr:
    """Read `{"message": {…}}`, a message alone, or the `{"tokens": […]}` of a multicast message.

    Brackets come first, then operators from left to right, as the page is quoted.

    >>> from audience.language.printer import render
    >>> render(parse({"message": {"condition": "'a' in topics || 'b' in topics && 'c' in topics"}}))
    '(a OR b) AND c'
    """
    request = loaded(payload)
    if "message" in request:
        only(request, ("message", "validate_only", "validateOnly"), "$")
        return _message(mapping(request["message"], "$.message"), "$.message")
    if "tokens" in request or "fids" in request:
        return _multicast(request)
    return _message(request, "$")


def _multicast(request: Payload) -> Expr:
    if request.get("fids"):
        _no_fid("$.fids")
    for key in TARGETS:
        if key in request:
            refuse("two-targets", f"{key} stands beside tokens", f"$.{key}", "a message has one target")
    return Ids("registration_id", tuple(listed(request.get("tokens"), "$.tokens", LIMITS["tokens"])))


def _message(message: Payload, path: str) -> Expr:
    found = [key for key in TARGETS if key in message]
    if not found:
        refuse("missing-key", f"there is none of {', '.join(TARGETS)}", path, "a message has one target")
    if len(found) > 1:
        refuse("two-targets", f"{' and '.join(found)} stand side by side", path, "a message has one target")
    [key] = found
    value = string(message[key], f"{path}.{key}")
    match key:
        case "token":
            return Ids("registration_id", (value,))
        case "topic":
            return topic_conditions.topic(value, f"{path}.topic", DIALECT)
        case "condition":
            return topic_conditions.read(value, f"{path}.condition", DIALECT)
    _no_fid(f"{path}.fid")


def _no_fid(path: str) -> NoReturn:
    refuse("opaque", "a fid names an installation, which is another id than a token", path, "name its token")


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("a AND (b OR NOT c)"))
    {'message': {'condition': "'a' in topics && ('b' in topics || !('c' in topics))"}}
    """
    if isinstance(expr, Ids) and expr.kind == "registration_id":
        tokens = one_list(expr, LIMITS["tokens"].most)
        return {"message": {"token": tokens[0]}} if len(tokens) == 1 else listing(tokens)
    return {"message": topic_conditions.write(expr, DIALECT)}


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why FCM has no topic for *tag*."""
    return topic_conditions.unnamed(tag, DIALECT)


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    return topic_conditions.conditions(expr, DIALECT)


def listing(ids: Sequence[str]) -> Payload:
    """The tokens of a multicast message, at most 500; a client sends it as one message for each."""
    return {"tokens": list(ids)}


VENDOR = Vendor(
    name="fcm",
    title="Firebase Cloud Messaging (HTTP v1)",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any AND, OR and NOT of ≤ 5 topics, NOT beside a topic that bounds it; or tokens, alone; no broadcast",
    limits=LIMITS,
    known_by=("fcm", "registration_token"),
    shape=DIALECT.shape,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=500,
)
