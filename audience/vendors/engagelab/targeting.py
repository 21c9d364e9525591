"""EngageLab AppPush v4: one OR-list, one AND-list and one NOT-list of tags, joined by AND.

https://www.engagelab.com/docs/app-push/rest-api/create-push-api, read 2026-11-21.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.normal import nnf
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
from audience.vendors.base import Limit, Payload, Unsaid, load, mapping, only, refuse, string, strings

PAGE = "https://www.engagelab.com/docs/app-push/rest-api/create-push-api"
TAGS = "https://www.engagelab.com/docs/app-push/rest-api/tag-alias-api"
JPUSH = "https://docs.jiguang.cn/jpush/server/push/rest_api_v3_push"

LIMITS = {
    "tag": Limit(20, JPUSH),  # EngageLab's page states none; JPush, its sibling, states this one
    "tag_and": Limit(20, PAGE),
    "tag_not": Limit(20, PAGE),
    "alias": Limit(1_000, JPUSH),  # likewise
    "registration_id": Limit(1_000, PAGE),
    "live_activity_id": Limit(1, PAGE),
    "tag_bytes": Limit(40, TAGS),
    "alias_bytes": Limit(40, TAGS),
}
KEYS = ("tag", "tag_and", "tag_not", "alias", "registration_id", "live_activity_id")
LEGAL_NAME = re.compile(r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff]+")


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"to": …}`, or a whole request that holds one.

    An empty list counts as absent, as the page says; where nothing else is left that is an error.

    >>> from audience.language.render import render
    >>> render(parse({"to": {"tag": ["a", "b"], "tag_and": ["c"], "tag_not": ["d"]}}))
    '(a OR b) AND c AND NOT d'
    """
    if payload == "all":
        return Everyone()
    request = mapping(load(payload) if isinstance(payload, str) else payload, "$")
    if "to" not in request:
        refuse("missing-key", "there is no 'to'", "$", 'the targeting object is {"to": …}')
    return all_of([_to(request["to"]), *_platform(request)])


def _to(to: Any) -> Expr:
    if to == "all":
        return Everyone()
    lists = mapping(to, "$.to")
    if "seg" in lists:
        refuse("opaque", "only EngageLab knows who is in a segment of its console", "$.to.seg", "name its tags")
    only(lists, KEYS, "$.to")
    terms = [term for key in KEYS if key in lists for term in _list(key, lists[key])]
    if not terms:
        refuse("empty-target", "nothing is left: an empty list counts as absent", "$.to", 'write "all" for everyone')
    if all(isinstance(term, Not) for term in terms):
        refuse("not-alone", "tag_not cannot be used alone", "$.to", "add a tag, an alias or a registration id")
    return all_of(terms)


def _list(key: str, value: Any) -> Iterator[Expr]:
    """What one key of `to` says; an empty list says nothing."""
    path = f"$.to.{key}"
    if key == "live_activity_id":
        yield Ids("live_activity_id", (string(value, path),))
        return
    names = strings(value, path)
    if LIMITS[key].source == PAGE and LIMITS[key].exceeded_by(len(names)):
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


def _platform(request: Payload) -> Iterator[Expr]:
    """The platform of a whole request narrows the audience, so it is part of what is said.

    The page draws it inside `body` and lists it beside `to`.
    """
    for holder, path in ((request, "$"), (mapping(request.get("body", {}), "$.body"), "$.body")):
        platform, path = holder.get("platform", "all"), f"{path}.platform"
        names = strings([platform] if isinstance(platform, str) else platform, path)
        if not names:
            refuse("empty-target", "an empty list names no platform", path, 'write "all"')
        if "all" not in map(str.lower, names):
            yield any_of(Tag("platform", name) for name in names)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parse import parse
    >>> emit(parse("(a OR b) AND c AND NOT (d OR e)"))
    {'to': {'tag': ['a', 'b'], 'tag_and': ['c'], 'tag_not': ['d', 'e']}}
    """
    expr = simplify(nnf(expr))
    if expr == Everyone():
        return {"to": "all"}
    terms = expr.terms if isinstance(expr, And) else (expr,)
    to = _slots(terms)
    problems = [*_unsayable(terms), *_illegal_names(expr), *_overflow(to), *_unbounded(to)]
    if problems:
        raise Unsaid(problems)
    lists: Payload = {key: names for key, names in to.items() if names}
    if "live_activity_id" in lists:
        lists["live_activity_id"] = lists["live_activity_id"][0]
    return {"to": lists}


def _slots(terms: Sequence[Expr]) -> dict[str, list[str]]:
    """Put each term of an intersection into the list that says it."""
    to: dict[str, list[str]] = {key: [] for key in KEYS}
    for term in terms:
        match term:
            case Tag(value=value):
                to["tag_and"].append(value)
            case Not(term=Tag(value=value)):
                to["tag_not"].append(value)
            case Or(terms=inner) if not to["tag"]:
                to["tag"] += [tag.value for tag in inner if isinstance(tag, Tag)]
            case Ids(kind="alias" | "registration_id" | "live_activity_id" as kind, values=values) if not to[kind]:
                to[kind] += values
    if (
        not to["tag"]
        and to["tag_and"]
        and (len(to["tag_and"]) == 1 or LIMITS["tag_and"].exceeded_by(len(to["tag_and"])))
    ):
        to["tag"].append(to["tag_and"].pop(0))  # an OR-list of one name is that name
    return to


def _unsayable(terms: Sequence[Expr]) -> Iterator[Problem]:
    """Every shape that `to` has no place for."""
    for term in terms:
        yield from _shape_problems(term)
    for what, count in _slot_counts(terms).items():
        if count > 1:
            yield Problem("second-list", f"{count} {what} are joined by AND; one request holds one")


def _shape_problems(term: Expr) -> Iterator[Problem]:
    match term:
        case Nobody():
            yield Problem("nobody", "a request to nobody cannot be written", hint="send nothing")
        case Compare() | Within() | Not(term=Compare() | Within()):
            span = getattr(term.term if isinstance(term, Not) else term, "span", None)
            yield Problem("no-ranges", f"{render(term)!r} compares; EngageLab has tags only", span)
        case Not(term=Ids()):
            yield Problem("not-over-ids", f"{render(term)!r}: tag_not excludes tags only")
        case Ids(kind="account"):
            yield Problem("no-such-id", "EngageLab knows no accounts", hint="name them by alias")
        case Or(terms=terms):
            for inner in terms:
                if not isinstance(inner, Tag):
                    why = _why_not_in_or(inner)
                    yield Problem("or-of-others", f"{render(inner)!r} stands inside an OR; {why}")
                    yield from _shape_problems(inner)


def _why_not_in_or(inner: Expr) -> str:
    match inner:
        case And():
            return "a union of intersections has no place in one request"
        case Not():
            return "NOT can only narrow the whole request"
        case Ids():
            return "ids narrow tags, they do not add to them"
    return "its OR-list holds tags only"


def _slot_counts(terms: Sequence[Expr]) -> dict[str, int]:
    ids = [term.kind for term in terms if isinstance(term, Ids)]
    return {
        "OR-lists": sum(isinstance(term, Or) for term in terms),
        "alias lists": ids.count("alias"),
        "registration_id lists": ids.count("registration_id"),
        "live activities": ids.count("live_activity_id"),
    }


def _illegal_names(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from unnamed(atom)
            case Ids(kind="alias", values=values, span=span):
                for value in values:
                    yield from _name_problems("alias", value, span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why EngageLab has no name for *tag*."""
    if tag.type != BARE:
        message = f"EngageLab has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    else:
        yield from _name_problems("tag", tag.value, tag.span)


def _name_problems(what: str, name: str, span: Span | None) -> Iterator[Problem]:
    """Tags and aliases are spelt alike."""
    size, limit = len(name.encode()), LIMITS[f"{what}_bytes"]
    if not LEGAL_NAME.fullmatch(name):
        hint = "letters, digits, _ and Chinese only"
        yield Problem("illegal-name", f"{name!r} is no legal EngageLab {what}", span, hint=hint)
    elif limit.exceeded_by(size):
        yield Problem("name-too-long", f"{name!r} takes {size} bytes; {limit.most} is the most", span)


def _overflow(to: dict[str, list[str]]) -> Iterator[Problem]:
    for key, names in to.items():
        if LIMITS[key].exceeded_by(len(names)):
            yield Problem("too-many", f"{len(names)} names in {key}; {LIMITS[key].most} is the most")


def _unbounded(to: dict[str, list[str]]) -> Iterator[Problem]:
    if to["tag_not"] and not any(names for key, names in to.items() if key != "tag_not"):
        yield Problem(
            "not-alone",
            "tag_not cannot be used alone",
            hint="AND it with a tag that all of them have",
        )


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if expr == Everyone():
        yield Problem("universe", "everyone is every device that was active in the last 365 days at EngageLab")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 registration ids."""
    return {"to": {"registration_id": list(ids)}}
