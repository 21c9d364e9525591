"""Targeting of JPush v3: one OR-list, one AND-list and one NOT-list of tags, and lists of ids, all joined by AND.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push: only the beginning of the page was readable, on 2026-11-21;
the rest comes from the page as of 2019, in the repository jpush/jpush-docs.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Slots
from audience.errors import Problem
from audience.language.ast import Everyone, Expr, Ids, Reference, Tag, all_of, atoms
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.platform_field import PlatformField, write_list_field
from audience.vendors.shared import tag_lists
from audience.vendors.spec import Payload, VendorLimit

PAGE = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push"

LIMITS = {
    "tag": VendorLimit(20, PAGE),
    "tag_and": VendorLimit(20, PAGE),
    "tag_not": VendorLimit(20, PAGE),
    "alias": VendorLimit(1_000, PAGE),
    "registration_id": VendorLimit(1_000, PAGE),
    "live_activity_id": VendorLimit(1, PAGE),
    "segment": VendorLimit(1, PAGE),
    "abtest": VendorLimit(1, PAGE),
    "tag_bytes": VendorLimit(40, PAGE),
    "alias_bytes": VendorLimit(40, PAGE),
}
DIALECT = tag_lists.TagListDialect(
    title="JPush",
    shape=Slots(max_any_of=20, max_all_of=20, max_none_of=20, allows_unbounded_not=True),
    id_kinds=("alias", "registration_id", "live_activity_id"),
    limits=LIMITS,
    legal_pattern=r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff@!#$&*+=.|￥]+",
    legal_hint="letters, digits, Chinese and _@!#$&*+=.|￥ only",
    references={"segment": lambda name: [name], "abtest": lambda name: [name], "file": lambda name: {"file_id": name}},
)
PLATFORMS = PlatformField(
    names={"android": "android", "ios": "ios", "harmonyos": "hmos", "quickapp": "quickapp", "winphone": "winphone"},
    write=write_list_field("platform"),
    all_platforms=("android", "ios", "harmonyos", "quickapp"),  # winphone is in older pages only
)


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"audience": …}`, or a whole request, whose platform narrows it.

    An empty list counts as absent, as the page says; if nothing else remains, that is an error.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}, "platform": ["ios"]}))
    '(a OR b) AND c AND NOT d AND platform:ios'
    """
    request = PayloadCursor(payload).json_object()
    if "audience" not in request and "push" in request:  # as the schedule of a push holds it
        request = request["push"].json_object()
    if "pushlist" in request:
        hint = 'write {"audience": {"registration_id": […]}}, or alias'
        request["pushlist"].fail("ambiguous", "the address of the call says whether its targets are aliases", hint)
    audience = request.require("audience", 'the targeting object is {"audience": …}')
    return all_of([_parse_audience(audience), *tag_lists.read_platforms(request["platform"], PLATFORMS)])


def _parse_audience(audience: PayloadCursor) -> Expr:
    if audience.value == "all":
        return Everyone()
    audience.only([*tag_lists.LIST_KEYS, "live_activity_id", *DIALECT.references])
    terms = [*tag_lists.read_tag_lists(audience, LIMITS, DIALECT), *_parse_references(audience)]
    if not terms:
        hint = 'write "all" for everyone'
        audience.fail("empty-target", "expected a target, found none: an empty list counts as absent", hint)
    return all_of(terms)


def _parse_references(audience: PayloadCursor) -> Iterator[Expr]:
    for key in ("segment", "abtest"):
        if not audience[key].is_absent:
            names = audience[key].strings()
            audience[key].check_limit(LIMITS[key], len(names), "names")
            yield Reference("jpush", key, names[0])
    if not audience["file"].is_absent:
        yield Reference("jpush", "file", audience["file"].only(("file_id",))["file_id"].string())


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
