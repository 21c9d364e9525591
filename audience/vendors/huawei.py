"""Huawei Push Kit v1: conditions of topics, which reach Android apps only, or tokens.

https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197: only its beginning
could be read, on 2026-11-21; the rest by Huawei's guides and the samples of its own servers.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.request_shape import NO_LIMIT, Tree
from audience.errors import Problem
from audience.language.ast import Expr, Ids, Tag, atoms
from audience.vendors.payload_reader import listed, loaded, mapping, only, refuse, string
from audience.vendors.shared import topic_conditions
from audience.vendors.shared.topic_conditions import Dialect
from audience.vendors.spec import Limit, Payload, Vendor, one_list

PAGE = "https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197"
TOPICS = "https://developer.huawei.com/consumer/cn/doc/HMSCore-References/topic-sub-api-0000001051066122"

LIMITS = {
    "token": Limit(1_000, PAGE),
    "topic_characters": Limit(900, TOPICS),
    "topics": Limit(None, PAGE),
}
# What no page that could be read says: each is taken in the way that cannot reach a wrong device.
MOST_TOPICS = 5  # in a condition: as many as FCM takes, whose language it is
SAYS_NOT = False  # whether `!` is understood
MIXED = None  # what && beside || means without brackets: nothing, so it is refused

DIALECT = Dialect(
    title="Huawei Push Kit",
    shape=Tree(tags=MOST_TOPICS, nots=NO_LIMIT if SAYS_NOT else 0),
    readable=r"[\w\-.~%\u4e00-\u9fa5]{1,900}",
    legal=r"[A-Za-z0-9_.~%\u4e00-\u9fa5]{1,900}",
    hint="up to 900 letters, digits, _ . ~ % and Chinese",
    most_read=None,
    mixed=MIXED,
    reads_not=SAYS_NOT,
    singular=True,
)
TARGETS = ("token", "topic", "condition")


def parse(payload: Any) -> Expr:
    """Read `{"message": {…}}` with a list of tokens, a topic or a condition.

    >>> from audience.language.printer import render
    >>> render(parse({"message": {"condition": "'a' in topics && ('b' in topics || 'c' in topics)"}}))
    'a AND (b OR c)'
    """
    request = loaded(payload)
    only(request, ("message", "validate_only"), "$")
    if "message" not in request:
        refuse("missing-key", "there is no 'message'", "$", 'the targeting object is {"message": {"token": […]}}')
    message = mapping(request["message"], "$.message")
    found = [key for key in TARGETS if key in message]
    if len(found) != 1:
        code, what = ("two-targets", " and ".join(found)) if found else ("missing-key", "none")
        refuse(code, f"one of {', '.join(TARGETS)} is wanted, found {what}", "$.message")
    match found:
        case ["topic"]:
            return topic_conditions.topic(string(message["topic"], "$.message.topic"), "$.message.topic", DIALECT)
        case ["condition"]:
            text = string(message["condition"], "$.message.condition")
            return topic_conditions.read(text, "$.message.condition", DIALECT)
    return Ids("registration_id", tuple(listed(message["token"], "$.message.token", LIMITS["token"])))


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("a AND (b OR c)"))
    {'message': {'condition': "'a' in topics && ('b' in topics || 'c' in topics)"}}
    """
    if isinstance(expr, Ids) and expr.kind == "registration_id":
        return listing(one_list(expr, LIMITS["token"].most))
    return {"message": topic_conditions.write(expr, DIALECT)}


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why Huawei has no topic for *tag*."""
    return topic_conditions.unnamed(tag, DIALECT)


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    yield from topic_conditions.conditions(expr, DIALECT)
    if sum(isinstance(atom, Tag) for atom in atoms(expr)) > 1:
        yield Problem("android", "a condition reaches Android apps only")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 tokens."""
    return {"message": {"token": list(ids)}}


VENDOR = Vendor(
    name="huawei",
    title="Huawei Push Kit (v1)",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any AND and OR of ≤ 5 topics, without NOT; or tokens, alone; no broadcast",
    limits=LIMITS,
    known_by=("huawei", "hms"),
    shape=DIALECT.shape,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
)
