"""JPush v3: one OR-list, one AND-list and one NOT-list of tags, lists of ids beside them, all joined by AND.

https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push: only its beginning could be read, on 2026-11-21; the rest by
the page as it was in 2019, in the repository jpush/jpush-docs.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fit import bounded
from audience.algebra.normal import nnf
from audience.algebra.shape import Slots
from audience.algebra.simplify import simplify
from audience.errors import Problem
from audience.language.expr import (
    And,
    Compare,
    Everyone,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    bare,
)
from audience.language.notation import BARE
from audience.language.render import render
from audience.language.source import Span
from audience.vendors.base import Limit, Payload, Unsaid, Vendor, load, mapping, only, refuse, string, strings

PAGE = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push"

LIMITS = {
    "tag": Limit(20, PAGE),
    "tag_and": Limit(20, PAGE),
    "tag_not": Limit(20, PAGE),
    "alias": Limit(1_000, PAGE),
    "registration_id": Limit(1_000, PAGE),
    "name_bytes": Limit(40, PAGE),
}
KEYS = ("tag", "tag_and", "tag_not", "alias", "registration_id")
OPAQUE = {
    "segment": "only JPush knows who is in a segment of its console",
    "abtest": "only JPush knows who takes part in a test of its console",
    "file": "a file_id names a file that only JPush has",
    "live_activity_id": "only JPush knows who follows a live activity",
}
LEGAL_NAME = re.compile(r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff@!#$&*+=.|￥]+")
SHAPE = Slots(any_of=20, all_of=20, none_of=20, lone_not=True)


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"audience": …}`, or a whole request, whose platform narrows it.

    An empty list counts as absent, as the page says; where nothing else is left that is an error.

    >>> from audience.language.render import render
    >>> render(parse({"audience": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}, "platform": ["ios"]}))
    '(a OR b) AND c AND NOT d AND platform:ios'
    """
    request = mapping(load(payload) if isinstance(payload, str) else payload, "$")
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
    only(lists, [*KEYS, *OPAQUE], "$.audience")
    terms = [term for key in KEYS if key in lists for term in _list(key, lists[key])]
    if not terms:
        hint = 'write "all" for everyone'
        refuse("empty-target", "nothing is left: an empty list counts as absent", "$.audience", hint)
    return all_of(terms)


def _list(key: str, value: Any) -> Iterator[Expr]:
    """What one key of the audience says; an empty list says nothing."""
    path = f"$.audience.{key}"
    names = strings(value, path)
    if LIMITS[key].exceeded_by(len(names)):
        refuse("too-many", f"{len(names)} names; {LIMITS[key].most} is the most", path, "send several requests")
    if not names:
        return
    match key:
        case "tag":
            yield any_of(map(bare, names))
        case "tag_and":
            yield all_of(map(bare, names))
        case "tag_not":
            yield Not(any_of(map(bare, names)))
        case "alias" | "registration_id":
            yield Ids(key, tuple(names))


def _platform(platform: Any) -> Iterator[Expr]:
    names = [string(platform, "$.platform")] if isinstance(platform, str) else strings(platform, "$.platform")
    if not names:
        refuse("empty-target", "an empty list names no platform", "$.platform", 'write "all"')
    if "all" not in names:
        yield any_of(Tag("platform", name) for name in names)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parse import parse
    >>> emit(parse("(a OR b) AND c AND NOT (d OR e)")), emit(parse("NOT a"))
    ({'audience': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}, {'audience': {'tag_not': ['a']}})
    """
    expr = simplify(nnf(expr))
    if expr == Everyone():
        return {"audience": "all"}
    terms = expr.terms if isinstance(expr, And) else (expr,)
    lists = _lists(terms)
    problems = [*_misplaced(terms), *_second_lists(terms), *_illegal_names(expr), *_too_long(lists)]
    if problems:
        raise Unsaid(problems)
    return {"audience": {key: names for key, names in lists.items() if names}}


def _lists(terms: Sequence[Expr]) -> dict[str, list[str]]:
    """Put each term of an intersection into the list that says it."""
    lists: dict[str, list[str]] = {key: [] for key in KEYS}
    for term in terms:
        match term:
            case Tag(value=value):
                lists["tag_and"].append(value)
            case Not(term=Tag(value=value)):
                lists["tag_not"].append(value)
            case Or(terms=inner):
                lists["tag"] += [tag.value for tag in inner if isinstance(tag, Tag)]
            case Ids(kind="alias" | "registration_id" as kind, values=values):
                lists[kind] += values
    few = 1 < len(lists["tag_and"]) <= SHAPE.all_of
    if not lists["tag"] and lists["tag_and"] and not few:
        lists["tag"].append(lists["tag_and"].pop(0))  # an OR-list of one name is that name
    return lists


def _misplaced(terms: Sequence[Expr]) -> Iterator[Problem]:
    """Every term that no list says."""
    for term in terms:
        match term:
            case Nobody():
                yield Problem("nobody", "a request to nobody cannot be written", hint="send nothing")
            case Compare() | Within() | Not(term=Compare() | Within()):
                span = getattr(term.term if isinstance(term, Not) else term, "span", None)
                yield Problem("no-ranges", f"{render(term)!r} compares; JPush has tags only", span)
            case Not(term=Ids(span=span)):
                yield Problem("not-over-ids", f"{render(term)!r}: tag_not excludes tags only", span)
            case Ids(kind="account" | "live_activity_id" as kind, span=span):
                yield Problem("no-such-id", f"JPush knows no {kind}", span, hint="name them by alias")
            case Or(terms=inner):
                for other in (each for each in inner if not isinstance(each, Tag)):
                    message = f"{render(other)!r} stands inside an OR; the OR-list of JPush holds tags only"
                    yield Problem("or-of-others", message)
                    yield from _misplaced(other.terms if isinstance(other, And) else (other,))


def _second_lists(terms: Sequence[Expr]) -> Iterator[Problem]:
    """Lists of which one request holds only one."""
    kinds = [term.kind for term in terms if isinstance(term, Ids)]
    counts = {
        "OR-lists": sum(isinstance(term, Or) for term in terms),
        "alias lists": kinds.count("alias"),
        "registration_id lists": kinds.count("registration_id"),
    }
    for what, count in counts.items():
        if count > 1:
            yield Problem("second-list", f"{count} {what} are joined by AND; one request holds one")


def _illegal_names(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from unnamed(atom)
            case Ids(kind="alias", values=values, span=span):
                for value in values:
                    yield from _name_problems("alias", value, span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why JPush has no name for *tag*."""
    if tag.type != BARE:
        message = f"JPush has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    else:
        yield from _name_problems("tag", tag.value, tag.span)


def _name_problems(what: str, name: str, span: Span | None) -> Iterator[Problem]:
    """Tags and aliases are spelt alike."""
    size, limit = len(name.encode()), LIMITS["name_bytes"]
    if not LEGAL_NAME.fullmatch(name):
        hint = "letters, digits, Chinese and _@!#$&*+=.|￥ only"
        yield Problem("illegal-name", f"{name!r} is no legal JPush {what}", span, hint=hint)
    elif limit.exceeded_by(size):
        yield Problem("name-too-long", f"{name!r} takes {size} bytes; {limit.most} is the most", span)


def _too_long(lists: dict[str, list[str]]) -> Iterator[Problem]:
    for key, names in lists.items():
        if LIMITS[key].exceeded_by(len(names)):
            yield Problem("too-many", f"{len(names)} names in {key}; {LIMITS[key].most} is the most")


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
    shape=SHAPE,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
)
