"""Airship: selectors of tags, tag groups and ids in AND, OR and NOT, nested freely, of at most ten children each.

https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection: of the page the beginning was read, and the
specification that it is made from, on 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    IdKind,
    Ids,
    Not,
    Or,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    negated_tag,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import COMPARISONS, TAGS_AND_IDS, Limit, Payload, Unsupported, Vendor

PAGE = "https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection"
SPEC_DOCS = "https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml"
LIMITS_DOCS = (
    "https://support.airship.com/hc/en-us/articles/213492183-What-are-some-of-the-limitations-to-the-Airship-API"
)

LIMITS = {
    "children": Limit(10, SPEC_DOCS),
    "names": Limit(100, PAGE),  # of one selector: tags, named users or channels
    "name_characters": Limit(128, SPEC_DOCS),
    "selectors": Limit(1_000, LIMITS_DOCS),  # each name is counted as one
    "levels": Limit(None, PAGE),
}
MAX_CHILDREN, MAX_NAMES, MAX_SELECTORS = 10, 100, 1_000  # ten lists of a hundred are a thousand
MAX_TREE_LEVELS = 64  # ours: undocumented, but a parser needs a limit
DEFAULT_GROUP = "device"  # the group of tags that have no group
PLATFORM_TYPE = "platform"  # the type of the tags that device_types are read as: no tag group is one of them
COMPOUND_KEYS = ("AND", "OR", "NOT")  # older pages and the clients write them in lower case
CHANNEL_KEYS = ("channel", "ios_channel", "android_channel", "amazon_channel", "open_channel")
ID_KINDS_BY_KEY: dict[str, IdKind] = {"named_user": "alias", **dict.fromkeys(CHANNEL_KEYS, "registration_id")}
KEYS_BY_ID_KIND: dict[IdKind, str] = {"alias": "named_user", "registration_id": "channel"}
OPAQUE_KEYS = {
    "segment": "only Airship knows the members of a segment",
    "static_list": "only Airship has the file of a static list",
    "subscription_list": "only Airship knows who subscribed to a list",
    "subscription_lists": "only Airship knows who subscribed to a list",
    "attribute": "only Airship knows the attributes of a device, and compares them at the time of sending",
    "activity": "only Airship knows what somebody did, and counts it at the time of sending",
    "create_and_send": "it makes new channels of addresses",
    "bulk_id": "it names channels that were uploaded before",
    "location": "only Airship knows where a device was",
    "sms_id": "a phone number does not identify a device",
    "sms_sender": "a sender is not a tag of a device",
    "device_token": "only Airship knows the channel of an old device token",
    "apid": "only Airship knows the channel of an old id",
    "wns": "only Airship knows the channel of an old id",
}
SHAPE = Tree(max_levels=20, max_tags=MAX_SELECTORS, allows_unbounded_not=True)


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"audience": …}`, or a whole push, whose device_types narrow it.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"AND": [{"tag": ["a", "b"]}, {"NOT": {"tag": "gold", "group": "loyalty"}}]}}))
    '(a OR b) AND NOT loyalty:gold'
    """
    push = PayloadCursor(payload).json_object()
    audience = push.require("audience", 'the targeting object is {"audience": …}')
    if isinstance(audience.value, str) and audience.value.lower() == "all":
        expr: Expr = Everyone()
    else:
        expr = _parse_selector(audience, 1)
    return all_of([expr, *_parse_device_types(push.get("device_types", "all"))])


def _parse_device_types(device_types: PayloadCursor) -> Iterator[Expr]:
    names = device_types.one_or_many()
    if "all" not in names:
        yield any_of(Tag(PLATFORM_TYPE, name) for name in names)


def _parse_selector(selector: PayloadCursor, depth: int) -> Expr:
    if depth > MAX_TREE_LEVELS:
        selector.fail("too-deep", f"more than {MAX_TREE_LEVELS} levels")
    if isinstance(selector.value, str):
        return _parse_selector_word(selector)
    for key, reason in OPAQUE_KEYS.items():
        if key in selector:
            selector[key].fail("opaque", reason, "name tags, named users or channels")
    for key in selector.object():
        if key == "tag":
            return _parse_tags(selector.only(("tag", "group")))
        if key in ID_KINDS_BY_KEY:
            return Ids(ID_KINDS_BY_KEY[key], tuple(_parse_names(selector.only((key,))[key])))
        if key.upper() in COMPOUND_KEYS:
            return _parse_compound(key.upper(), selector.only((key,))[key], depth)
    keys = ", ".join(map(str, selector.object())) or "none"
    hint = f"tag, {', '.join(ID_KINDS_BY_KEY)}, {', '.join(COMPOUND_KEYS)}"
    selector.fail("unknown-key", f"unknown selector: {keys}", hint)


def _parse_selector_word(selector: PayloadCursor) -> Expr:
    match selector.value.lower():
        case "triggered":
            selector.fail("opaque", "the audience of a pipeline is known at the time of sending only")
        case "all":
            hint = 'write "audience": "all", or leave it out'
            selector.fail("all-inside", '"all" cannot be used inside AND, OR or NOT', hint)
    selector.fail("unknown-value", f"unknown selector {selector.value!r}", '"all", or an object')


def _parse_tags(selector: PayloadCursor) -> Expr:
    group = selector.get("group", DEFAULT_GROUP).string()
    if group in (UNTYPED, PLATFORM_TYPE):
        other = "tag without a group" if group == UNTYPED else "device type"
        selector["group"].fail("ambiguous-name", f"a tag of the group {group!r} would be read as a {other}")
    return any_of(Tag(UNTYPED if group == DEFAULT_GROUP else group, name) for name in _parse_names(selector["tag"]))


def _parse_names(names: PayloadCursor) -> list[str]:
    """Return one name or a list of names; any of them matches."""
    strings = names.one_or_many()
    names.check_limit(LIMITS["names"], len(strings), "names", "join several lists by OR")
    return strings


def _parse_compound(operator: str, operand: PayloadCursor, depth: int) -> Expr:
    if operator == "NOT":
        return Not(_parse_selector(operand, depth + 1))
    children = operand.items()
    operand.check_limit(LIMITS["children"], len(children), "children", "nest them")
    terms = [_parse_selector(child, depth + 1) for child in children]
    return all_of(terms) if operator == "AND" else any_of(terms)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND NOT loyalty:gold"))
    {'audience': {'AND': [{'tag': ['a', 'b']}, {'NOT': {'tag': 'gold', 'group': 'loyalty'}}]}}
    """
    match expr:
        case Everyone():
            return {"audience": "all"}
    problems = [problem for atom in atoms(expr) for problem in _atom_problems(atom)]
    if problems:
        raise Unsupported(problems)
    audience = _emit_selector(expr)
    problems = list(_size_problems(audience))
    if problems:
        raise Unsupported(problems)
    return {"audience": audience}


def _atom_problems(atom: Expr) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from tag_problems(atom)
        case Ids(kind="registration_id", values=values):
            yield from (problem for value in values if (problem := VENDOR.id_problem(value)))
        case Ids(kind="alias", values=values, span=span):
            for value in values:
                yield from _length_problems("id-too-long", value, value, span)
        case Ids(kind=kind, span=span):
            yield Problem(
                "no-such-id", f"Airship has no id of the kind {kind}", span, hint="name them by alias or channel"
            )
        case Compare(span=span) | Within(span=span):
            yield Problem("no-ranges", f"{render(atom)!r} is a comparison; tags of Airship are not ordered", span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Airship has no name for *tag*."""
    if tag.type == DEFAULT_GROUP:
        message = f"{render(tag)!r}: Airship uses the group {DEFAULT_GROUP!r} for untyped tags"
        yield Problem("illegal-name", message, tag.span, hint="give it another name in a catalog")
    elif tag.type == PLATFORM_TYPE:
        message = f"{render(tag)!r} is expressed by device_types, beside the audience"
        yield Problem("no-name", message, tag.span, hint="or give it the name of a tag in a catalog")
    yield from _length_problems("name-too-long", tag.value, render(tag), tag.span)


def _length_problems(code: str, name: str, label: str, span: Any) -> Iterator[Problem]:
    limit = LIMITS["name_characters"]
    if limit.is_exceeded_by(len(name)):
        yield Problem(code, f"{label!r} has {len(name)} characters; the maximum is {limit.maximum}", span)


def _size_problems(audience: Payload) -> Iterator[Problem]:
    levels, names = _count_levels_and_names(audience)
    if LIMITS["selectors"].is_exceeded_by(names):
        yield Problem("too-many", f"{names:,} names in all; the maximum is {MAX_SELECTORS:,}")
    if levels > MAX_TREE_LEVELS:
        yield Problem("too-deep", f"{levels} levels; the maximum is {MAX_TREE_LEVELS}")


def _count_levels_and_names(selector: Payload) -> tuple[int, int]:
    """Return the depth of *selector* and the number of its names."""
    for key, value in selector.items():
        if key in COMPOUND_KEYS:
            sizes = [_count_levels_and_names(child) for child in (value if isinstance(value, list) else [value])]
            return 1 + max(levels for levels, _ in sizes), sum(names for _, names in sizes)
        if key != "group":
            return 1, len(value) if isinstance(value, list) else 1
    raise AssertionError(f"not a selector: {selector!r}")


def _emit_selector(expr: Expr) -> Payload:
    """Return *expr* as a selector with as few NOTs as possible, which are the slowest at Airship."""
    match expr:
        case Tag():
            return _join_selectors("OR", _emit_tag_lists([expr]))
        case Ids(kind=kind, values=values):
            return _join_selectors("OR", _emit_name_lists(KEYS_BY_ID_KIND[kind], values))
        case Not(term=term):
            return {"NOT": _emit_selector(term)}
        case Or(terms=terms):
            tags = [term for term in terms if isinstance(term, Tag)]
            return _join_selectors(
                "OR", [*_emit_tag_lists(tags), *(_emit_selector(term) for term in terms if not isinstance(term, Tag))]
            )
        case And(terms=terms):
            children = [_emit_selector(term) for term in terms if negated_tag(term) is None]
            unwanted = [tag for term in terms if (tag := negated_tag(term))]
            none_of = [{"NOT": _join_selectors("OR", _emit_tag_lists(unwanted))}] if unwanted else []
            return _join_selectors("AND", [*children, *none_of])
    raise AssertionError(f"checked by _atom_problems: {expr!r}")


def _emit_tag_lists(tags: Sequence[Tag]) -> list[Payload]:
    """Return selectors that match any of *tags*, one list for each group."""
    groups: dict[str, list[str]] = {}
    for tag in tags:
        groups.setdefault(tag.type, []).append(tag.value)
    return [
        selector | ({} if group == UNTYPED else {"group": group})
        for group, names in groups.items()
        for selector in _emit_name_lists("tag", names)
    ]


def _emit_name_lists(key: str, names: Sequence[str]) -> list[Payload]:
    chunks = [list(names[at : at + MAX_NAMES]) for at in range(0, len(names), MAX_NAMES)]
    return [{key: chunk if len(chunk) > 1 else chunk[0]} for chunk in chunks]


def _join_selectors(operator: str, children: list[Payload]) -> Payload:
    """Join *children* by *operator*: a single one stays as it is, too many are nested in groups."""
    while len(children) > MAX_CHILDREN:
        groups = [children[at : at + MAX_CHILDREN] for at in range(0, len(children), MAX_CHILDREN)]
        children = [_join_selectors(operator, group) for group in groups]
    return {operator: children} if len(children) > 1 else children[0]


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Yield what a request for *expr* takes for granted."""
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone refer to all channels registered with Airship, not to your table")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in atoms(expr)):
        yield Problem("account", "an alias is a named user and matches every device of that user at Airship")
    groups = sorted({atom.type for atom in atoms(expr) if isinstance(atom, Tag)} - {UNTYPED})
    if groups:
        yield Problem("tag-groups", f"Airship has the tag groups {', '.join(groups)}, with the tags of your devices")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 channels, in lists of 100."""
    return {"audience": _join_selectors("OR", _emit_name_lists("channel", ids))}


VENDOR = Vendor(
    name="airship",
    title="Airship",
    docs_url=PAGE,
    docs_read_on="2026-11-21",
    fragment="any AND, OR and NOT of tags, tag groups, named users and channels, ≤ 1,000 names",
    limits=LIMITS,
    id_columns=("airship", "channel"),
    shape=SHAPE,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    parse=parse,
    emit=emit,
    target_ids=target_ids,
    max_ids=MAX_SELECTORS,
    max_id_length=36,
    builtins={PLATFORM_TYPE: "device_types"},
)
