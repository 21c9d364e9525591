"""Targeting of EngageLab AppPush v4: one OR-list, one AND-list and one NOT-list of tags, joined by AND.

Source: https://www.engagelab.com/docs/app-push/rest-api/create-push-api, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.request_shape import NO_LIMIT, Slots
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Not, Reference, Tag, all_of
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField, write_list_field
from audience.vendors.shared import tag_lists
from audience.vendors.spec import Payload, VendorLimit

PAGE = "https://www.engagelab.com/docs/app-push/rest-api/create-push-api"
TAGS_DOCS = "https://www.engagelab.com/docs/app-push/rest-api/tag-alias-api"

LIMITS = {
    "tag": VendorLimit(None, PAGE),
    "tag_and": VendorLimit(20, PAGE),
    "tag_not": VendorLimit(20, PAGE),
    "alias": VendorLimit(None, PAGE),
    "registration_id": VendorLimit(1_000, PAGE),
    "live_activity_id": VendorLimit(1, PAGE),
    "tag_bytes": VendorLimit(40, TAGS_DOCS),
    "alias_bytes": VendorLimit(40, TAGS_DOCS),
}
DOCUMENTED_LIMITS = {key: limit for key, limit in LIMITS.items() if limit.source == PAGE}  # checked when reading
DIALECT = tag_lists.TagListDialect(
    title="EngageLab",
    shape=Slots(max_any_of=NO_LIMIT, max_all_of=20, max_none_of=20),
    id_kinds=("alias", "registration_id", "live_activity_id"),
    limits=LIMITS,
    legal_pattern=r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff]+",
    legal_hint="use letters, digits, _ and Chinese only",
    references={"seg": lambda name: {"id": name}},
)
# The page names web only among the texts that multi_language replaces, not as a platform to push to, and `all` as the
# others: a request that asked for it might reach nobody. Devices on the web go by their ids.
PLATFORMS = PlatformField(
    names={"android": "android", "ios": "ios", "harmonyos": "hmos"},  # hmos: of the vendor's own client
    write=write_list_field("body", "platform"),
    all_platforms=("android", "ios", "harmonyos"),
)


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"to": …}`, or a whole request that holds one.

    An empty list counts as absent, as the page documents; an audience of empty lists only is an error.

    >>> from audience.language.printer import render
    >>> render(parse({"to": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}}))
    '(a OR b) AND c AND NOT d'
    """
    if payload == "all":
        return Everyone()
    request = PayloadCursor(payload).json_object()
    to = request.require("to", 'the targeting object is {"to": …}')
    return all_of([_parse_to(to), *_parse_platform(request)])


def _parse_to(to: PayloadCursor) -> Expr:
    if to.value == "all":
        return Everyone()
    to.only((*tag_lists.LIST_KEYS, "live_activity_id", "seg"))
    terms = tag_lists.read_tag_lists(to, DOCUMENTED_LIMITS, DIALECT)
    if not to["seg"].is_absent:
        terms.append(Reference("engagelab", "seg", to["seg"].only(("id",))["id"].string()))
    if not terms:
        to.fail("empty-target", "every list is empty, which counts as absent", 'write "all" for everyone')
    if all(isinstance(term, Not) for term in terms):
        to.fail("not-alone", "tag_not cannot be used alone", "add a tag, an alias or a registration id")
    return all_of(terms)


def _parse_platform(request: PayloadCursor) -> Iterator[Expr]:
    """Yield the platforms of a whole request, which narrow the audience.

    The page draws the key inside `body` and lists it beside `to`.
    """
    yield from tag_lists.read_platforms(request["platform"], PLATFORMS)
    if request["body"].value is not None:
        yield from tag_lists.read_platforms(request["body"]["platform"], PLATFORMS)


def emit(expr: Expr) -> Payload:
    """Write *expr* as the targeting of one request, or raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND c AND NOT d AND NOT e"))
    {'to': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}
    """
    if expr == Everyone():
        return {"to": "all"}
    return {"to": tag_lists.write_tag_lists(expr, DIALECT)}


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Find why EngageLab has no name for *tag*."""
    return tag_lists.tag_problems(tag, DIALECT)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Find what a request of *expr* takes for granted."""
    if expr == Everyone():
        yield Problem("universe", "everyone is every device that was active at EngageLab in the last 365 days")


def target_ids(ids: Sequence[str]) -> Payload:
    """Write the targeting of at most 1,000 registration ids."""
    return {"to": {"registration_id": list(ids)}}
