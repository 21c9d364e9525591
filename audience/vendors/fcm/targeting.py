"""Targeting of FCM: conditions of at most five topics, or tokens. Topics serve as tags.

https://firebase.google.com/docs/cloud-messaging/send-topic-messages: only the beginning of the page was readable, on
2026-11-21. Its rules for conditions come from quotations of it, the rest from Firebase's own clients and samples.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import Expr, Ids, Reference, Tag, any_of, or_terms
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.shared import topic_conditions
from audience.vendors.shared.topic_conditions import TopicDialect, fold_left_to_right
from audience.vendors.spec import Payload, VendorLimit, require_single_list

PAGE = "https://firebase.google.com/docs/cloud-messaging/send-topic-messages"
LEGACY_DOCS = "https://firebase.google.com/docs/cloud-messaging/http-server-ref"
ENCODER_SOURCE = "https://github.com/firebase/firebase-admin-python/blob/main/firebase_admin/_messaging_encoder.py"
UNBOUNDED_NOT_ISSUE = "https://github.com/firebase/firebase-admin-python/issues/145"
PERCENT_ISSUE = "https://github.com/firebase/firebase-android-sdk/issues/8620"

LIMITS = {"topics": VendorLimit(5, PAGE), "tokens": VendorLimit(500, ENCODER_SOURCE)}  # topics: as PAGE is quoted
ALLOWS_UNBOUNDED_NOT = False  # documented once, rejected by the server since 2018: UNBOUNDED_NOT_ISSUE
ALLOWS_PERCENT = False  # documented as legal in a name, fails in the Android SDK 25.1.0: PERCENT_ISSUE

TOPIC_PATTERN = r"[a-zA-Z0-9\-_.~%]+"
DIALECT = TopicDialect(
    title="FCM",
    shape=Tree(max_tags=5, allows_unbounded_not=ALLOWS_UNBOUNDED_NOT),
    readable_pattern=TOPIC_PATTERN,
    legal_pattern=TOPIC_PATTERN if ALLOWS_PERCENT else TOPIC_PATTERN.replace("%", ""),
    legal_hint="letters, digits and - _ . ~",
    max_topics_read=LIMITS["topics"].maximum,
    mixed_precedence=fold_left_to_right,
)
TARGET_KEYS = ("token", "fid", "topic", "condition")
LEGACY_LIMITS = {"registration_ids": VendorLimit(1_000, LEGACY_DOCS)}
LEGACY_KEYS = ("to", "registration_ids")
INSTALLATION = "fid"  # kind of the reference to an installation, which has no token


def parse(payload: Any) -> Expr:
    """Parse a message, alone or in `{"message": {…}}`, a multicast `{"tokens": […]}`, a legacy request, a condition.

    Brackets bind first, then operators from left to right, as the page is quoted.

    >>> from audience.language.printer import render
    >>> render(parse({"message": {"condition": "'a' in topics || 'b' in topics && 'c' in topics"}}))
    '(a OR b) AND c'
    """
    if isinstance(payload, str) and " in topics" in payload and not payload.lstrip().startswith("{"):
        payload = {"condition": payload}  # as programs pass it to Firebase's libraries
    request = PayloadCursor(payload).json_object()
    if "message" in request:
        request.only(("message", "validate_only", "validateOnly"))
        return _parse_message(request["message"])
    if legacy_keys := request.present_keys(LEGACY_KEYS):
        return _parse_legacy(legacy_keys, request)
    if "tokens" in request or "fids" in request:
        return _parse_multicast(request)
    return _parse_message(request)


def _parse_legacy(keys: Sequence[str], request: PayloadCursor) -> Expr:
    """Read a target of the API that was shut down in 2024, and warn with what is written today."""
    others = [key for key in (*keys[1:], *TARGET_KEYS) if not request[key].is_absent]
    if others:
        request[others[0]].fail("two-targets", f"{others[0]} beside {keys[0]}", "a message has one target")
    target = request[keys[0]]
    if keys[0] == "registration_ids":
        ids = target.ids(LEGACY_LIMITS["registration_ids"])
        target.warn("registration_ids is of the legacy API, which is shut down; write one message.token per id")
        return Ids("registration_id", tuple(ids))
    name = target.string()
    if name.startswith("/topics/"):
        target.warn(f"to is of the legacy API, which is shut down; write message.topic {name[8:]!r}")
        return topic_conditions.read_topic(name, target, DIALECT)
    target.warn("to is of the legacy API, which is shut down; write message.token")
    return Ids("registration_id", (name,))


def _parse_multicast(request: PayloadCursor) -> Expr:
    for key in TARGET_KEYS:
        if not request[key].is_absent:
            request[key].fail("two-targets", f"{key} beside tokens", "a message has one target")
    fids = [] if request["fids"].is_absent else request["fids"].ids(LIMITS["tokens"])
    references: list[Expr] = [Reference("fcm", INSTALLATION, fid) for fid in fids]
    if references and request["tokens"].is_absent:
        return any_of(references)
    return any_of([Ids("registration_id", tuple(request["tokens"].ids(LIMITS["tokens"]))), *references])


def _parse_message(message: PayloadCursor) -> Expr:
    keys = message.present_keys(TARGET_KEYS)
    if not keys:
        message.fail("missing-key", f"expected one of {', '.join(TARGET_KEYS)}", "a message has one target")
    if len(keys) > 1:
        message.fail("two-targets", f"{' and '.join(keys)} cannot be combined", "a message has one target")
    target = message[keys[0]]
    value = target.string()
    match keys[0]:
        case "token":
            return Ids("registration_id", (value,))
        case "topic":
            return topic_conditions.read_topic(value, target, DIALECT)
        case "condition":
            return topic_conditions.read_condition(target, DIALECT)
    return Reference("fcm", INSTALLATION, value)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("a AND (b OR NOT c)"))
    {'message': {'condition': "'a' in topics && ('b' in topics || !('c' in topics))"}}
    """
    if isinstance(expr, Ids) and expr.kind == "registration_id":
        tokens = require_single_list(expr, LIMITS["tokens"].maximum)
        return {"message": {"token": tokens[0]}} if len(tokens) == 1 else target_ids(tokens)
    if fids := _list_installations(expr):
        return {"message": {"fid": fids[0]}} if len(fids) == 1 else {"fids": fids}
    return {"message": topic_conditions.write_condition(expr, DIALECT)}


def _list_installations(expr: Expr) -> list[str]:
    """Return the ids of a union of installations; an empty list if *expr* is something else."""
    references = [term for term in or_terms(expr) if isinstance(term, Reference) and term.kind == INSTALLATION]
    if len(references) < len(or_terms(expr)) or LIMITS["tokens"].is_exceeded_by(len(references)):
        return []
    return [reference.value for reference in references]


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why FCM has no topic for *tag*."""
    return topic_conditions.tag_problems(tag, DIALECT)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    return topic_conditions.assumptions(expr, DIALECT)


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the tokens of a multicast message, at most 500; clients send it as one message for each token."""
    return {"tokens": list(ids)}
