"""Getui: conditions of four keys, joined by AND; each asks for any, all or none of its values.

https://docs.getui.com/getui/server/rest_v2/push: the page itself could not be read; by a copy of its beginning, Getui's
own clients and the documents of another that it is behind, read 2026-11-21. So was the beginning of USER.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import bounded, fit
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import NO_LIMIT, Keyed
from audience.errors import Problem
from audience.language.ast import And, Compare, Everyone, Expr, Ids, Not, Or, Tag, Within, all_of, any_of, atoms, bare
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.vendors.payload_reader import elements, listed, loaded, mapping, only, refuse, string, warn, word
from audience.vendors.spec import Limit, Payload, Unsaid, Vendor, one_list

PAGE = "https://docs.getui.com/getui/server/rest_v2/push"
USER = "https://docs.getui.com/getui/server/rest_v2/user"
CODES = "https://github.com/dcloudio/unidocs-zh/blob/HEAD/docs/uniCloud/uni-cloud-push/api.md"  # of a client of Getui

LIMITS = {
    "cid": Limit(1_000, PAGE),  # as clients quote it
    "alias": Limit(1_000, PAGE),
    "values": Limit(None, PAGE),
    "tag_characters": Limit(31, CODES),  # "below 32"
    "alias_characters": Limit(39, USER),
}

# Whether a condition that asks for none of its values may stand without one that asks for some: no page says it.
LONE_NOT = False
# Whether a key may stand in several conditions. "Different keys are joined by AND, one key by its opt_type": no page
# says what that makes of a key that stands twice.
KEYS_REPEAT = False

KEYS = {"custom_tag": BARE, "phone_type": "platform", "region": "region", "portrait": "portrait"}
TYPES = {type_: key for key, type_ in KEYS.items()}
SHAPE = Keyed(lists=NO_LIMIT if KEYS_REPEAT else 1, lone_not=LONE_NOT)
OPTIONS = ("or", "and", "not")
PHONES = ("android", "ios")
LEGAL_TAG = re.compile(r"\S+")
LEGAL_ALIAS = re.compile(r"[A-Za-z0-9_\u3400-\u9fff\uf900-\ufaff]+")
TARGETS = ("cid", "alias", "tag", "fast_custom_tag")
HINT = 'the targeting object is {"audience": …}; without one, clients of Getui tell everyone'


def parse(payload: Any) -> Expr:
    """Read `{"audience": …}`, a whole request that holds it, or the conditions by which devices are counted.

    >>> from audience.language.printer import render
    >>> tags = [{"key": "custom_tag", "values": ["a", "b"], "opt_type": "or"}]
    >>> render(parse({"audience": {"tag": [*tags, {"key": "region", "values": ["11000000"], "opt_type": "not"}]}}))
    '(a OR b) AND NOT region:11000000'
    """
    request = loaded(payload)
    if "audience" not in request:
        if isinstance(request.get("tag"), list):  # as the count of devices takes them
            return _read_conditions(request["tag"], "$.tag")
        refuse("missing-key", "there is no 'audience'", "$", HINT)
    if "activate_filter_type" in mapping(request.get("settings") or {}, "$.settings"):
        warn("the settings leave out devices by how active they are", "$.settings.activate_filter_type")
    if request["audience"] == "all":
        return Everyone()
    return _audience(mapping(request["audience"], "$.audience"))


def _audience(audience: Payload) -> Expr:
    only(audience, TARGETS, "$.audience")
    if not audience:
        refuse("empty-target", "nobody is named", "$.audience", 'write "all" for everyone')
    if len(audience) > 1:
        first, second, *_ = audience
        refuse("second-target", f"{second} beside {first}: one request takes one of them", f"$.audience.{second}")
    [(key, value)] = audience.items()
    path = f"$.audience.{key}"
    match key:
        case "fast_custom_tag":
            return bare(string(value, path))
        case "tag":
            return _read_conditions(value, path)
    return Ids("alias" if key == "alias" else "registration_id", tuple(listed(value, path, LIMITS[key])))


def _read_conditions(value: Any, path: str) -> Expr:
    seen: set[str] = set()
    terms = []
    for condition, place in elements(value, path):
        key, term = _read_condition(mapping(condition, place), place)
        if key in seen and not KEYS_REPEAT:
            refuse("ambiguous", f"{key} stands twice: no page says how the two are joined", f"{place}.key")
        seen.add(key)
        terms.append(term)
    return all_of(terms)


def _read_condition(condition: Payload, path: str) -> tuple[str, Expr]:
    only(condition, ("key", "values", "opt_type"), path)
    key = word(condition, "key", KEYS, path)
    option = word(condition, "opt_type", OPTIONS, path)
    values = listed(condition.get("values"), f"{path}.values", LIMITS["values"], "values")
    tags = [Tag(KEYS[key], value.lower() if key == "phone_type" else value) for value in values]
    match option:
        case "and":
            return key, all_of(tags)
        case "not":
            return key, Not(any_of(tags))
    return key, any_of(tags)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> [tuple(each.values()) for each in emit(parse("(a OR b) AND platform:ios"))["audience"]["tag"]]
    [('custom_tag', ['a', 'b'], 'or'), ('phone_type', ['ios'], 'or')]
    """
    match expr:
        case Everyone():
            return {"audience": "all"}
        case Ids(kind="registration_id" | "alias"):
            return _said_ids(expr)
    problems = list(_problems(expr))
    if problems:
        raise Unsaid(problems)
    form = fit(expr, SHAPE)
    if form is None:
        raise Unsaid(_misfits(expr))
    terms = form.terms if isinstance(form, And) else (form,)
    return {"audience": {"tag": list(_said(terms))}}


def _said_ids(ids: Ids) -> Payload:
    key = "alias" if ids.kind == "alias" else "cid"
    problems = _alias_problems(ids) if key == "alias" else ()
    return {"audience": {key: one_list(ids, LIMITS[key].most, problems)}}


def _alias_problems(ids: Ids) -> Iterator[Problem]:
    most = LIMITS["alias_characters"]
    for value in ids.values:
        if not LEGAL_ALIAS.fullmatch(value):
            hint = "letters, digits, _ and Chinese only"
            yield Problem("illegal-name", f"{value!r} is no legal alias of Getui", ids.span, hint=hint)
        elif most.exceeded_by(len(value)):
            message = f"{value!r} has {len(value)} characters; {most.most} is the most"
            yield Problem("name-too-long", message, ids.span)


def _problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from unnamed(atom)
            case Ids(kind="registration_id" | "alias" as kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Ids(kind=kind):
                yield Problem("no-such-id", f"Getui knows no {kind}", atom.span, hint="name them by alias")
            case Compare() | Within():
                yield Problem("no-ranges", f"{render(atom)!r} compares; Getui knows single values only", atom.span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why Getui has no name for *tag*."""
    most = LIMITS["tag_characters"]
    if tag.type not in TYPES:
        hint = f"give {tag.type} names in a catalog; Getui knows {', '.join(TYPES)}"
        yield Problem("no-name", f"Getui has no key for {render(tag)!r}", tag.span, hint=hint)
    elif tag.type == "platform" and tag.value not in PHONES:
        yield Problem("no-name", f"{tag.value!r} is no phone_type of Getui", tag.span, hint=" or ".join(PHONES))
    elif not LEGAL_TAG.fullmatch(tag.value):
        yield Problem("illegal-name", f"{tag.value!r}: white space separates the tags of a device at Getui", tag.span)
    elif tag.type == BARE and most.exceeded_by(len(tag.value)):
        message = f"{tag.value!r} has {len(tag.value)} characters; {most.most} is the most"
        yield Problem("name-too-long", message, tag.span)


def _misfits(expr: Expr) -> Iterator[Problem]:
    """Why conditions do not say *expr*, whose tags all have names."""
    if not (LONE_NOT or bounded(expr)):
        hint = "AND it with a tag that all of them have"
        yield Problem("not-alone", "NOT stands alone; no page says that Getui takes it", hint=hint)
        return
    terms = expr.terms if isinstance(expr, And) else (expr,)
    keys = {term: sorted({TYPES[tag.type] for tag in atoms(term) if isinstance(tag, Tag)}) for term in terms}
    mixed = [term for term in terms if len(keys[term]) > 1]
    for term in mixed:
        yield Problem("or-of-others", f"{render(term)!r}: {' and '.join(keys[term])} are joined by AND only")
    if not mixed:
        used = dict.fromkeys(key for found in keys.values() for key in found)
        yield Problem("second-list", f"one list of each key is said, any, all or none of it; here of {', '.join(used)}")


def _said(terms: Sequence[Expr]) -> Iterator[Payload]:
    """One condition for each list; single tags of one key are the list of all of them, their NOTs that of none."""
    single: dict[tuple[str, str], list[str]] = {}
    for term in terms:
        match term:
            case Or(terms=tags):
                yield _said_list([tag for tag in tags if isinstance(tag, Tag)], "or")
            case Tag(type=type_, value=value):
                single.setdefault((type_, "and"), []).append(value)
            case Not(term=Tag(type=type_, value=value)):
                single.setdefault((type_, "not"), []).append(value)
    for (type_, option), values in single.items():
        alone = option == "and" and len(values) == 1
        yield _said_list([Tag(type_, value) for value in values], "or" if alone else option)


def _said_list(tags: Sequence[Tag], option: str) -> Payload:
    return {"key": TYPES[tags[0].type], "values": [tag.value for tag in tags], "opt_type": option}


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if not bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone are out of all devices active in the last 90 days at Getui")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("alias", "an alias stands for every device that is bound to it at Getui")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 cids."""
    return {"audience": {"cid": list(ids)}}


VENDOR = Vendor(
    name="getui",
    title="Getui",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any, all or none of the values of a key, the keys joined by AND; or cids, or aliases, alone",
    limits=LIMITS,
    known_by=("getui",),
    shape=SHAPE,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=1_000,
    types=KEYS,
)
