"""JPush v3: one OR-list, one AND-list and one NOT-list of tags, lists of ids beside them, all joined by AND.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push: only its beginning could be read, on 2026-11-21; the rest by
the page as it was in 2019, in the repository jpush/jpush-docs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids, Tag, all_of, any_of, atoms
from audience.vendors.payload_reader import loaded, mapping, one_or_several, only, refuse
from audience.vendors.shared import tag_lists
from audience.vendors.spec import Limit, Payload, Vendor

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
OPAQUE = {
    "segment": "only JPush knows who is in a segment of its console",
    "abtest": "only JPush knows who takes part in a test of its console",
    "file": "a file_id names a file that only JPush has",
    "live_activity_id": "only JPush knows who follows a live activity",
}
DIALECT = tag_lists.Dialect(
    title="JPush",
    shape=Slots(any_of=20, all_of=20, none_of=20, lone_not=True),
    ids=("alias", "registration_id"),
    limits=LIMITS,
    legal=r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff@!#$&*+=.|￥]+",
    letters="letters, digits, Chinese and _@!#$&*+=.|￥ only",
)


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"audience": …}`, or a whole request, whose platform narrows it.

    An empty list counts as absent, as the page says; where nothing else is left that is an error.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}, "platform": ["ios"]}))
    '(a OR b) AND c AND NOT d AND platform:ios'
    """
    request = loaded(payload)
    if "audience" not in request:
        refuse("missing-key", "there is no 'audience'", "$", 'the targeting object is {"audience": …}')
    return all_of([_audience(request["audience"]), *_platform(request.get("platform", "all"))])


def _audience(audience: Any) -> Expr:
    if audience == "all":
        return Everyone()
    lists = mapping(audience, "$.audience")
    for key, why in OPAQUE.items():
        if lists.get(key, []) != []:
            refuse("opaque", why, f"$.audience.{key}", "name its tags")
    only(lists, [*tag_lists.KEYS, *OPAQUE], "$.audience")
    terms = tag_lists.read(lists, "$.audience", LIMITS)
    if not terms:
        hint = 'write "all" for everyone'
        refuse("empty-target", "nothing is left: an empty list counts as absent", "$.audience", hint)
    return all_of(terms)


def _platform(platform: Any) -> Iterator[Expr]:
    names = one_or_several(platform, "$.platform")
    if "all" not in names:
        yield any_of(Tag("platform", name) for name in names)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND c AND NOT d AND NOT e")), emit(parse("NOT a"))
    ({'audience': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}, {'audience': {'tag_not': ['a']}})
    """
    return {"audience": "all" if expr == Everyone() else tag_lists.write(expr, DIALECT)}


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why JPush has no name for *tag*."""
    return tag_lists.unnamed(tag, DIALECT)


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if not bounded(nnf(expr)):
        message = "NOT and everyone are out of the devices that were active in the last 255 days at JPush"
        yield Problem("universe", message)
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias stands for every device that is bound to it at JPush")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 registration ids."""
    return {"audience": {"registration_id": list(ids)}}


VENDOR = Vendor(
    name="jpush",
    title="JPush v3",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any of ≤ 20 tags AND all of ≤ 20 tags AND none of ≤ 20 tags AND any alias AND any registration id",
    limits=LIMITS,
    known_by=("jpush",),
    shape=DIALECT.shape,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
)
