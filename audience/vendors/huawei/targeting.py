"""Targeting of Huawei Push Kit v1: conditions of topics, which reach Android apps only, or tokens.

https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197 as of August 2025, of
which a copy in a public repository was read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import Expr, Ids, Tag, atoms
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.shared import topic_conditions
from audience.vendors.shared.topic_conditions import TopicDialect
from audience.vendors.spec import Payload, VendorLimit, require_single_list

PAGE = "https://developer.huawei.com/consumer/cn/doc/HMSCore-References/https-send-api-0000001050986197"
TOPICS_DOCS = "https://developer.huawei.com/consumer/cn/doc/HMSCore-References/topic-sub-api-0000001051066122"

LIMITS = {
    "token": VendorLimit(1_000, PAGE),
    "topic_characters": VendorLimit(900, TOPICS_DOCS),
    "topics": VendorLimit(5, PAGE),
}
# The page has `!` and at most five topics. It does not say whether NOT may stand alone, nor what && beside || means
# without brackets: both are refused, which cannot reach a wrong device.
MIXED_PRECEDENCE = None

DIALECT = TopicDialect(
    title="Huawei Push Kit",
    shape=Tree(max_tags=5),
    readable_pattern=r"[\w\-.~%\u4e00-\u9fa5]{1,900}",
    legal_pattern=r"[A-Za-z0-9_.~%\u4e00-\u9fa5]{1,900}",
    legal_hint="up to 900 letters, digits, _ . ~ % and Chinese",
    max_topics_read=LIMITS["topics"].maximum,
    mixed_precedence=MIXED_PRECEDENCE,
    accepts_in_topic_typo=True,
)
TARGET_KEYS = ("token", "topic", "condition")


def parse(payload: Any) -> Expr:
    """Parse `{"message": {…}}` with a list of tokens, a topic or a condition.

    >>> from audience.language.printer import render
    >>> render(parse({"message": {"condition": "'a' in topics && ('b' in topics || 'c' in topics)"}}))
    'a AND (b OR c)'
    """
    request = PayloadCursor(payload).json_object().only(("message", "validate_only"))
    message = request.require("message", 'the targeting object is {"message": {"token": […]}}')
    keys = message.present_keys(TARGET_KEYS)
    if len(keys) != 1:
        code, found = ("two-targets", " and ".join(keys)) if keys else ("missing-key", "none")
        message.fail(code, f"expected one of {', '.join(TARGET_KEYS)}, found {found}")
    target = message[keys[0]]
    match keys[0]:
        case "topic":
            return topic_conditions.read_topic(target.string(), target, DIALECT)
        case "condition":
            return topic_conditions.read_condition(target, DIALECT)
    return Ids("registration_id", tuple(target.ids(LIMITS["token"])))


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("a AND (b OR c)"))
    {'message': {'condition': "'a' in topics && ('b' in topics || 'c' in topics)"}}
    """
    if isinstance(expr, Ids) and expr.kind == "registration_id":
        return target_ids(require_single_list(expr, LIMITS["token"].maximum))
    return {"message": topic_conditions.write_condition(expr, DIALECT)}


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Huawei has no topic for *tag*."""
    return topic_conditions.tag_problems(tag, DIALECT)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    yield from topic_conditions.assumptions(expr, DIALECT)
    if sum(isinstance(atom, Tag) for atom in atoms(expr)) > 1:
        yield Problem("android", "a condition reaches Android apps only")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 tokens."""
    return {"message": {"token": list(ids)}}
