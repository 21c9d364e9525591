"""Airship: selectors of tags, tag groups and ids in AND, OR and NOT, nested freely, of at most ten children each.

https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection: of the page the beginning was read, and the
specification that it is made from, on 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import And, Compare, Everyone, Expr, IdKind, Ids, Not, Or, Tag, Within, all_of, any_of, atoms
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.vendors.payload_reader import elements, limited, loaded, mapping, one_or_several, only, refuse, string
from audience.vendors.spec import Limit, Payload, Unsaid, Vendor

PAGE = "https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection"
SPEC = "https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml"
SIZES = "https://support.airship.com/hc/en-us/articles/213492183-What-are-some-of-the-limitations-to-the-Airship-API"

LIMITS = {
    "children": Limit(10, SPEC),
    "names": Limit(100, PAGE),  # of one selector: tags, named users or channels
    "name_characters": Limit(128, SPEC),
    "selectors": Limit(1_000, SIZES),  # each name is counted as one
    "levels": Limit(None, PAGE),
}
CHILDREN, NAMES, SELECTORS = 10, 100, 1_000  # ten lists of a hundred are a thousand
DEEPEST = 64  # levels; ours: no page limits them, but a reader must
DEVICE = "device"  # the group of tags that have no group
PLATFORM = "platform"  # the type of the tags that device_types are read as: no tag group is one of them
COMPOUNDS = ("AND", "OR", "NOT")  # older pages and the clients write them in lower case
CHANNELS = ("channel", "ios_channel", "android_channel", "amazon_channel", "open_channel")
IDS: dict[str, IdKind] = {"named_user": "alias", **dict.fromkeys(CHANNELS, "registration_id")}
SELECTOR: dict[IdKind, str] = {"alias": "named_user", "registration_id": "channel"}
OPAQUE = {
    "segment": "only Airship knows who is in a segment",
    "static_list": "only Airship has the file of a static list",
    "subscription_list": "only Airship knows who subscribed to a list",
    "subscription_lists": "only Airship knows who subscribed to a list",
    "attribute": "only Airship knows the attributes of a device, and compares them at the time of sending",
    "activity": "only Airship knows what somebody did, and counts it at the time of sending",
    "create_and_send": "it makes new channels of addresses",
    "bulk_id": "it names channels that were uploaded before",
    "location": "only Airship knows where a device was",
    "sms_id": "a phone number is no id of a device",
    "sms_sender": "a sender is no tag of a device",
    "device_token": "only Airship knows the channel of an old device token",
    "apid": "only Airship knows the channel of an old id",
    "wns": "only Airship knows the channel of an old id",
}
SHAPE = Tree(levels=20, tags=SELECTORS, lone_not=True)  # wide lists are nested when they are written


def parse(payload: Any) -> Expr:
    """Read the targeting object `{"audience": …}`, or a whole push, whose device_types narrow it.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"AND": [{"tag": ["a", "b"]}, {"NOT": {"tag": "gold", "group": "loyalty"}}]}}))
    '(a OR b) AND NOT loyalty:gold'
    """
    push = loaded(payload)
    if "audience" not in push:
        refuse("missing-key", "there is no 'audience'", "$", 'the targeting object is {"audience": …}')
    audience = push["audience"]
    if isinstance(audience, str) and audience.lower() == "all":
        expr: Expr = Everyone()
    else:
        expr = _selector(audience, "$.audience", 1)
    return all_of([expr, *_device_types(push.get("device_types", "all"))])


def _device_types(value: Any) -> Iterator[Expr]:
    names = one_or_several(value, "$.device_types")
    if "all" not in names:
        yield any_of(Tag(PLATFORM, name) for name in names)


def _selector(value: Any, path: str, depth: int) -> Expr:
    if depth > DEEPEST:
        refuse("too-deep", f"more than {DEEPEST} levels", path)
    if isinstance(value, str):
        return _word(value, path)
    selector = mapping(value, path)
    for key, why in OPAQUE.items():
        if key in selector:
            refuse("opaque", why, f"{path}.{key}", "name tags, named users or channels")
    for key in selector:
        place = f"{path}.{key}"
        if key == "tag":
            only(selector, ("tag", "group"), path)
            return _tags(selector, path)
        if key in IDS:
            only(selector, (key,), path)
            return Ids(IDS[key], tuple(_names(selector[key], place)))
        if key.upper() in COMPOUNDS:
            only(selector, (key,), path)
            return _compound(key.upper(), selector[key], place, depth)
    found = ", ".join(map(str, selector)) or "nothing"
    refuse("unknown-key", f"no selector is called so: {found}", path, f"tag, {', '.join(IDS)}, {', '.join(COMPOUNDS)}")


def _word(value: str, path: str) -> Expr:
    if value.lower() == "triggered":
        refuse("opaque", "a pipeline tells who triggered it, at the time of sending", path)
    if value.lower() == "all":
        refuse("all-inside", '"all" stands inside AND, OR or NOT', path, 'write "audience": "all", or leave it out')
    refuse("unknown-value", f"no selector is called {value!r}", path, '"all", or an object')


def _tags(selector: Payload, path: str) -> Expr:
    group = string(selector.get("group", DEVICE), f"{path}.group")
    if group in (BARE, PLATFORM):
        other = "tag without a group" if group == BARE else "device type"
        refuse("ambiguous-name", f"a tag of the group {group!r} would read like a {other}", f"{path}.group")
    names = _names(selector["tag"], f"{path}.tag")
    return any_of(Tag(BARE if group == DEVICE else group, name) for name in names)


def _names(value: Any, path: str) -> list[str]:
    """One text, or a list of texts: any of them."""
    names = one_or_several(value, path)
    limited(LIMITS["names"], len(names), "names", path, "join several lists by OR")
    return names


def _compound(kind: str, value: Any, path: str, depth: int) -> Expr:
    if kind == "NOT":
        return Not(_selector(value, path, depth + 1))
    children = elements(value, path)
    limited(LIMITS["children"], len(children), "children", path, "nest them")
    terms = [_selector(child, place, depth + 1) for child, place in children]
    return all_of(terms) if kind == "AND" else any_of(terms)


def emit(expr: Expr) -> Payload:
    """Say *expr* in one request, or raise Unsaid with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND NOT loyalty:gold"))
    {'audience': {'AND': [{'tag': ['a', 'b']}, {'NOT': {'tag': 'gold', 'group': 'loyalty'}}]}}
    """
    match expr:
        case Everyone():
            return {"audience": "all"}
    problems = [problem for atom in atoms(expr) for problem in _problems(atom)]
    if problems:
        raise Unsaid(problems)
    audience = _written(expr)
    problems = list(_too_large(audience))
    if problems:
        raise Unsaid(problems)
    return {"audience": audience}


def _problems(atom: Expr) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from unnamed(atom)
        case Ids(kind="registration_id", values=values):
            yield from (problem for value in values if (problem := VENDOR.uncarriable(value)))
        case Ids(kind="alias", values=values, span=span):
            for value in values:
                yield from _too_long("id-too-long", value, value, span)
        case Ids(kind=kind, span=span):
            yield Problem("no-such-id", f"Airship knows no {kind}", span, hint="name them by alias or channel")
        case Compare(span=span) | Within(span=span):
            yield Problem("no-ranges", f"{render(atom)!r} compares; the tags of Airship have no order", span)


def unnamed(tag: Tag) -> Iterator[Problem]:
    """Why Airship has no name for *tag*."""
    if tag.type == DEVICE:
        message = f"{render(tag)!r}: at Airship the group {DEVICE!r} is that of tags without a type"
        yield Problem("illegal-name", message, tag.span, hint="give it another name in a catalog")
    elif tag.type == PLATFORM:
        message = f"{render(tag)!r} is said by device_types, beside an audience and not in it"
        yield Problem("no-name", message, tag.span, hint="or give it the name of a tag in a catalog")
    yield from _too_long("name-too-long", tag.value, render(tag), tag.span)


def _too_long(code: str, name: str, shown: str, span: Any) -> Iterator[Problem]:
    limit = LIMITS["name_characters"]
    if limit.exceeded_by(len(name)):
        yield Problem(code, f"{shown!r} has {len(name)} characters; {limit.most} is the most", span)


def _too_large(audience: Payload) -> Iterator[Problem]:
    levels, names = _size(audience)
    if LIMITS["selectors"].exceeded_by(names):
        yield Problem("too-many", f"{names:,} names in all; {SELECTORS:,} is the most")
    if levels > DEEPEST:
        yield Problem("too-deep", f"{levels} levels; more than {DEEPEST} are not tried")


def _size(selector: Payload) -> tuple[int, int]:
    """The levels of *selector* and its names."""
    for key, value in selector.items():
        if key in COMPOUNDS:
            sizes = [_size(child) for child in (value if isinstance(value, list) else [value])]
            return 1 + max(levels for levels, _ in sizes), sum(names for _, names in sizes)
        if key != "group":
            return 1, len(value) if isinstance(value, list) else 1
    raise AssertionError(f"no selector: {selector!r}")


def _written(expr: Expr) -> Payload:
    """*expr* as a selector, with as few NOTs as can be, which take Airship longest."""
    match expr:
        case Tag():
            return _joined("OR", _union([expr]))
        case Ids(kind=kind, values=values):
            return _joined("OR", _lists(SELECTOR[kind], values))
        case Not(term=term):
            return {"NOT": _written(term)}
        case Or(terms=terms):
            tags = [term for term in terms if isinstance(term, Tag)]
            return _joined("OR", [*_union(tags), *(_written(term) for term in terms if not isinstance(term, Tag))])
        case And(terms=terms):
            children = [_written(term) for term in terms if _unwanted(term) is None]
            unwanted = [tag for term in terms if (tag := _unwanted(term))]
            none_of = [{"NOT": _joined("OR", _union(unwanted))}] if unwanted else []
            return _joined("AND", [*children, *none_of])
    raise AssertionError(f"checked by _problems: {expr!r}")


def _unwanted(term: Expr) -> Tag | None:
    """The tag of which *term* is the NOT."""
    return term.term if isinstance(term, Not) and isinstance(term.term, Tag) else None


def _union(tags: Sequence[Tag]) -> list[Payload]:
    """Selectors of any of *tags*: lists of those of one group."""
    groups: dict[str, list[str]] = {}
    for tag in tags:
        groups.setdefault(tag.type, []).append(tag.value)
    return [
        selector | ({} if group == BARE else {"group": group})
        for group, names in groups.items()
        for selector in _lists("tag", names)
    ]


def _lists(key: str, names: Sequence[str]) -> list[Payload]:
    chunks = [list(names[at : at + NAMES]) for at in range(0, len(names), NAMES)]
    return [{key: chunk if len(chunk) > 1 else chunk[0]} for chunk in chunks]


def _joined(kind: str, children: list[Payload]) -> Payload:
    """*children* joined by *kind*: a single one by itself, too many of them in groups."""
    while len(children) > CHILDREN:
        groups = [children[at : at + CHILDREN] for at in range(0, len(children), CHILDREN)]
        children = [_joined(kind, group) for group in groups]
    return {kind: children} if len(children) > 1 else children[0]


def conditions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if not bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone are out of all channels that Airship knows, not out of your table")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias is a named user, and stands for every device of that user at Airship")
    groups = sorted({atom.type for atom in atoms(expr) if isinstance(atom, Tag)} - {BARE})
    if groups:
        yield Problem("tag-groups", f"Airship has the tag groups {', '.join(groups)}, and their tags are set there")


def listing(ids: Sequence[str]) -> Payload:
    """The targeting object of at most 1,000 channels, in lists of 100."""
    return {"audience": _joined("OR", _lists("channel", ids))}


VENDOR = Vendor(
    name="airship",
    title="Airship",
    page=PAGE,
    read_on="2026-11-21",
    fragment="any AND, OR and NOT of tags, tag groups, named users and channels, ≤ 1,000 names",
    limits=LIMITS,
    known_by=("airship", "channel"),
    shape=SHAPE,
    unnamed=unnamed,
    conditions=conditions,
    parse=parse,
    emit=emit,
    listing=listing,
    batch=SELECTORS,
    id_length=36,
)
