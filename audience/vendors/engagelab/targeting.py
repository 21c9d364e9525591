"""EngageLab AppPush v4: one OR-list, one AND-list and one NOT-list of tags, joined by AND.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids, Not, Tag, all_of, any_of
from audience.vendors.payload_reader import (
    fail,
    read_json_object,
    read_object,
    read_one_or_many,
    read_string,
    reject_unknown_keys,
)
from audience.vendors.shared import tag_lists
from audience.vendors.spec import Limit, Payload

PAGE = "https://www.engagelab.com/docs/app-push/rest-api/create-push-api"
TAGS_DOCS = "https://www.engagelab.com/docs/app-push/rest-api/tag-alias-api"
JPUSH_DOCS = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push"

LIMITS = {
    "tag": Limit(20, JPUSH_DOCS),  # EngageLab's page states none; JPush, its sibling, states this one
    "tag_and": Limit(20, PAGE),
    "tag_not": Limit(20, PAGE),
    "alias": Limit(1_000, JPUSH_DOCS),  # likewise
    "registration_id": Limit(1_000, PAGE),
    "live_activity_id": Limit(1, PAGE),
    "tag_bytes": Limit(40, TAGS_DOCS),
    "alias_bytes": Limit(40, TAGS_DOCS),
}
DOCUMENTED_LIMITS = {key: limit for key, limit in LIMITS.items() if limit.source == PAGE}  # what is read is held to
DIALECT = tag_lists.TagListDialect(
    title="EngageLab",
    shape=Slots(max_any_of=20, max_all_of=20, max_none_of=20),
    id_kinds=("alias", "registration_id", "live_activity_id"),
    limits=LIMITS,
    legal_pattern=r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff]+",
    legal_hint="letters, digits, _ and Chinese only",
)


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"to": …}`, or a whole request that holds one.

    An empty list counts as absent, as the page says; where nothing else is left that is an error.

    >>> from audience.language.printer import render
    >>> render(parse({"to": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}}))
    '(a OR b) AND c AND NOT d'
    """
    if payload == "all":
        return Everyone()
    request = read_json_object(payload)
    if "to" not in request:
        fail("missing-key", "there is no 'to'", "$", 'the targeting object is {"to": …}')
    return all_of([_parse_to(request["to"]), *_parse_platform(request)])


def _parse_to(to: Any) -> Expr:
    if to == "all":
        return Everyone()
    lists = read_object(to, "$.to")
    if "seg" in lists:
        fail("opaque", "only EngageLab knows who is in a segment of its console", "$.to.seg", "name its tags")
    reject_unknown_keys(lists, (*tag_lists.LIST_KEYS, "live_activity_id"), "$.to")
    terms = tag_lists.read_tag_lists(lists, "$.to", DOCUMENTED_LIMITS)
    if "live_activity_id" in lists:
        terms.append(Ids("live_activity_id", (read_string(lists["live_activity_id"], "$.to.live_activity_id"),)))
    if not terms:
        fail("empty-target", "nothing is left: an empty list counts as absent", "$.to", 'write "all" for everyone')
    if all(isinstance(term, Not) for term in terms):
        fail("not-alone", "tag_not cannot be used alone", "$.to", "add a tag, an alias or a registration id")
    return all_of(terms)


def _parse_platform(request: Payload) -> Iterator[Expr]:
    """The platform of a whole request narrows the audience, so it is part of what is said.

    The page draws it inside `body` and lists it beside `to`.
    """
    for holder, path in ((request, "$"), (read_object(request.get("body", {}), "$.body"), "$.body")):
        platform = holder.get("platform", "all")
        names = read_one_or_many([platform] if isinstance(platform, str) else platform, f"{path}.platform")
        if "all" not in map(str.lower, names):
            yield any_of(Tag("platform", name) for name in names)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND c AND NOT d AND NOT e"))
    {'to': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}
    """
    if expr == Everyone():
        return {"to": "all"}
    lists: Payload = tag_lists.write_tag_lists(expr, DIALECT)
    if "live_activity_id" in lists:
        lists["live_activity_id"] = lists["live_activity_id"][0]
    return {"to": lists}


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Why EngageLab has no name for *tag*."""
    return tag_lists.tag_problems(tag, DIALECT)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if expr == Everyone():
        yield Problem("universe", "everyone is every device that was active in the last 365 days at EngageLab")


def target_ids(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 registration ids."""
    return {"to": {"registration_id": list(ids)}}
