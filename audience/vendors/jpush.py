"""JPush v3: one OR-list, one AND-list and one NOT-list of tags, lists of ids beside them, all joined by AND.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push: only the beginning of the page was readable, on 2026-11-21;
the rest comes from the page as of 2019, in the repository jpush/jpush-docs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids, Tag, all_of, any_of, atoms
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.shared import tag_lists
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Limit, Payload, Vendor

PAGE = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push"

LIMITS = {
    "tag": Limit(20, PAGE),
    "tag_and": Limit(20, PAGE),
    "tag_not": Limit(20, PAGE),
    "alias": Limit(1_000, PAGE),
    "registration_id": Limit(1_000, PAGE),
    "tag_bytes": Limit(40, PAGE),
    "alias_bytes": Limit(40, PAGE),
}
OPAQUE_KEYS = {
    "segment": "only JPush knows the members of a console segment",
    "abtest": "only JPush knows the participants of a console test",
    "file": "a file_id names a file that only JPush has",
    "live_activity_id": "only JPush knows the followers of a live activity",
}
DIALECT = tag_lists.TagListDialect(
    title="JPush",
    shape=Slots(max_any_of=20, max_all_of=20, max_none_of=20, allows_unbounded_not=True),
    id_kinds=("alias", "registration_id"),
    limits=LIMITS,
    legal_pattern=r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff@!#$&*+=.|￥]+",
    legal_hint="letters, digits, Chinese and _@!#$&*+=.|￥ only",
)


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"audience": …}`, or a whole request, whose platform narrows it.

    An empty list counts as absent, as the page says; if nothing else remains, that is an error.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}, "platform": ["ios"]}))
    '(a OR b) AND c AND NOT d AND platform:ios'
    """
    request = PayloadCursor(payload).json_object()
    audience = request.require("audience", 'the targeting object is {"audience": …}')
    return all_of([_parse_audience(audience), *_parse_platform(request.get("platform", "all"))])


def _parse_audience(audience: PayloadCursor) -> Expr:
    if audience.value == "all":
        return Everyone()
    for key, reason in OPAQUE_KEYS.items():
        if audience.get(key, []).value != []:
            audience[key].fail("opaque", reason, "name its tags")
    audience.only([*tag_lists.LIST_KEYS, *OPAQUE_KEYS])
    terms = tag_lists.read_tag_lists(audience, LIMITS)
    if not terms:
        hint = 'write "all" for everyone'
        audience.fail("empty-target", "expected a target, found none: an empty list counts as absent", hint)
    return all_of(terms)


def _parse_platform(platform: PayloadCursor) -> Iterator[Expr]:
    names = platform.one_or_many()
    if "all" not in names:
        yield any_of(Tag("platform", name) for name in names)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND c AND NOT d AND NOT e")), emit(parse("NOT a"))
    ({'audience': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}, {'audience': {'tag_not': ['a']}})
    """
    return {"audience": "all" if expr == Everyone() else tag_lists.write_tag_lists(expr, DIALECT)}


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why JPush has no name for *tag*."""
    return tag_lists.tag_problems(tag, DIALECT)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        message = "NOT and everyone refer to the devices that were active at JPush in the last 255 days"
        yield Problem("universe", message)
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias matches every device bound to it at JPush")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 registration ids."""
    return {"audience": {"registration_id": list(ids)}}


VENDOR = Vendor(
    name="jpush",
    title="JPush v3",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any of ≤ 20 tags AND all of ≤ 20 tags AND none of ≤ 20 tags AND any alias AND any registration id",
    limits=LIMITS,
    id_columns=("jpush",),
    shape=DIALECT.shape,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=1_000,
    builtins={"platform": "platform"},
    sandbox="audience.sandbox.vendors.jpush",
)
