"""Targeting of Airship: selectors of tags, attributes and ids in AND, OR and NOT, nested freely."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from audience.algebra.fitting import is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import PayloadWarning, Problem
from audience.language.ast import (
    And,
    Anniversary,
    Between,
    Compare,
    Everyone,
    Expr,
    Has,
    IdKind,
    Ids,
    Not,
    Or,
    Reference,
    Relative,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    negated_tag,
)
from audience.language.attribute_names import UNTYPED
from audience.language.binding import is_relative
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.language.windows import RelativeTime, window_times
from audience.vendors.airship import attributes, references
from audience.vendors.airship.activities import parse_activity
from audience.vendors.airship.attributes import SelectorAtom
from audience.vendors.airship.device_types import read_device_type
from audience.vendors.airship.names import (
    BUILTIN_KEYS,
    DEFAULT_GROUP,
    LIMITS,
    find_attribute,
    find_group,
    group_type,
)
from audience.vendors.airship.references import ALONE_KINDS, PIPELINE_KIND, PIPELINE_WORD
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.relative_times import assume_times, counts_from_now
from audience.vendors.spec import Payload, Restated, Unsupported, VendorLimit, find_id_problem

MAX_CHILDREN, MAX_NAMES, MAX_SELECTORS = 10, 100, 1_000  # ten lists of a hundred are a thousand
MAX_CHANNEL_LENGTH = 36
MAX_TREE_LEVELS = 64  # ours: undocumented, but a parser needs a limit
COMPOUND_KEYS = ("AND", "OR", "NOT")  # older pages and the clients write them in lower case
CHANNEL_KEYS = ("channel", "ios_channel", "android_channel", "amazon_channel", "web_channel", "open_channel")
ID_KINDS_BY_KEY: dict[str, IdKind] = {"named_user": "alias", **dict.fromkeys(CHANNEL_KEYS, "registration_id")}
KEYS_BY_ID_KIND: dict[IdKind, str] = {"alias": "named_user", "registration_id": "channel"}
SELECTOR_KEYS = ("tag", *ID_KINDS_BY_KEY, "attribute", "activity", *references.KINDS_BY_KEY, *COMPOUND_KEYS)
TODAY = RelativeTime("today")
SHAPE = Tree(max_levels=20, max_tags=MAX_SELECTORS, allows_unbounded_not=True)


def parse(payload: Any) -> Expr:
    """Parse the targeting object `{"audience": …}`, a whole push, whose device_types narrow it, or a list of pushes.

    >>> from audience.language.printer import render
    >>> render(parse({"audience": {"AND": [{"tag": ["a", "b"]}, {"NOT": {"tag": "gold", "group": "loyalty"}}]}}))
    '(a OR b) AND NOT group.loyalty:gold'
    """
    body = PayloadCursor(payload).json_value()
    if isinstance(body.value, list):
        return any_of(map(_parse_push, body.items()))
    return _parse_push(body)


def _parse_push(push: PayloadCursor) -> Expr:
    """Parse a push, or the body of a segment, whose selector is called criteria."""
    push.object()
    if "criteria" in push and "audience" not in push:
        return _parse_audience(push["criteria"])
    audience = push.require("audience", 'the targeting object is {"audience": …}')
    return all_of([_parse_audience(audience), *_parse_device_types(push["device_types"])])


def _parse_device_types(device_types: PayloadCursor) -> Iterator[Expr]:
    names = ["all"] if device_types.value is None else device_types.one_or_many()
    if "all" not in map(str.lower, names):
        yield any_of(Tag(PLATFORM_TYPE, read_device_type(name)) for name in names)


def _parse_audience(audience: PayloadCursor) -> Expr:
    """Parse a whole audience: `all`, or a selector; some selectors are whole audiences only."""
    if isinstance(audience.value, str) and audience.value.lower() == "all":
        return Everyone()
    if audience.value == PIPELINE_WORD:
        return Reference("airship", PIPELINE_KIND, PIPELINE_WORD)
    if isinstance(audience.value, dict):
        for word, key in _find_keys(audience).items():
            if word in ALONE_KINDS:
                return references.parse_reference(word, audience.only((key,))[key])
    return _parse_selector(audience, 1)


def _find_keys(selector: PayloadCursor) -> dict[str, str]:
    """Return the keys of a selector by their lower case: Airship reads them in any."""
    keys: dict[str, str] = {}
    for key in selector.object():
        if key.lower() in keys:
            selector[key].fail("unknown-key", f"{keys[key.lower()]!r} and {key!r} are the same key", "give one of them")
        keys[key.lower()] = key
    return keys


def _parse_selector(selector: PayloadCursor, depth: int) -> Expr:
    if depth > MAX_TREE_LEVELS:
        selector.fail("too-deep", f"more than {MAX_TREE_LEVELS} levels")
    if isinstance(selector.value, str):
        return _parse_selector_word(selector)
    keys = _find_keys(selector)
    for word, key in keys.items():
        if word == "tag":
            return _parse_tags(selector, keys)
        if word in ("attribute", "activity"):
            whole = PayloadCursor({name: selector[spelled].value for name, spelled in keys.items()}, selector.path)
            return attributes.parse_attribute(whole) if word == "attribute" else parse_activity(whole)
        if word in ID_KINDS_BY_KEY:
            return Ids(ID_KINDS_BY_KEY[word], tuple(_parse_names(selector.only((key,))[key])))
        if word in ALONE_KINDS:
            selector[key].fail("not-combined", f"{key} cannot be used inside AND, OR or NOT", references.ALONE_HINT)
        if word in references.KINDS_BY_KEY:
            return references.parse_reference(word, selector.only((key,))[key])
        if word.upper() in COMPOUND_KEYS:
            return _parse_compound(word.upper(), selector.only((key,))[key], depth)
    found = ", ".join(map(str, selector.object())) or "none"
    hint = 'write {"named_user": …}' if "alias" in keys else ", ".join(SELECTOR_KEYS)
    selector.fail("unknown-key", f"unknown selector: {found}", hint)


def _parse_selector_word(selector: PayloadCursor) -> Expr:
    match selector.value.lower():
        case "triggered":
            selector.fail("not-combined", '"triggered" cannot be used inside AND, OR or NOT', references.ALONE_HINT)
        case "all":
            hint = 'write "audience": "all", or leave it out'
            selector.fail("all-inside", '"all" cannot be used inside AND, OR or NOT', hint)
    selector.fail("unknown-value", f"unknown selector {selector.value!r}", '"all", or an object')


def _parse_tags(selector: PayloadCursor, keys: dict[str, str]) -> Expr:
    """Parse tags of one group; they match devices that have any of them."""
    for word, key in keys.items():
        if word not in ("tag", "group"):
            selector[key].fail("unknown-key", f"unknown key {key!r}", "known here: tag, group")
    group_key = keys.get("group")
    group = DEFAULT_GROUP if group_key is None or selector[group_key].value is None else selector[group_key].string()
    return any_of(Tag(group_type(group), name) for name in _parse_names(selector[keys["tag"]]))


def _parse_names(names: PayloadCursor) -> list[str]:
    """Return one name or a list of names; any of them matches."""
    strings = names.one_or_many()
    _warn_above_limit(names, LIMITS["names"], len(strings), "names", "join several lists by OR")
    return strings


def _warn_above_limit(cursor: PayloadCursor, limit: VendorLimit, count: int, noun: str, hint: str) -> None:
    if limit.is_exceeded_by(count):
        cursor.warn(f"{count} {noun}, of which Airship takes at most {limit.maximum} ({hint})")


def _parse_compound(operator: str, operand: PayloadCursor, depth: int) -> Expr:
    if operator == "NOT":
        term = _parse_selector(operand, depth + 1)
        return term.term if isinstance(term, Not) and isinstance(term.term, Has) else Not(term)
    children = operand.items()
    _warn_above_limit(operand, LIMITS["children"], len(children), "children", "nest them")
    terms = [_parse_selector(child, depth + 1) for child in children]
    return all_of(terms) if operator == "AND" else attributes.join_strict_and_equals(terms)


def restate(payload: Any) -> Restated | None:
    """Return the targeting of a push with dates that count from now, which Airship counts itself; None without them.

    >>> selector = {"attribute": "joined", "operator": "after", "value": 7, "precision": "days"}
    >>> restate({"audience": selector}).payload["audience"]["value"], restate({"audience": {"tag": "a"}})
    (7, None)
    """
    push = PayloadCursor(payload).json_value()
    if isinstance(push.value, list):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)  # the caller has parsed it, and knows them
        times = [atom for atom in atoms(parse(payload)) if is_relative(atom)]
    if not times:
        return None
    audience = push["audience" if "audience" in push else "criteria"].value
    device_types = {} if push["device_types"].value is None else {"device_types": push["device_types"].value}
    message = "Airship's day of now, when it sends, is the day of the question"
    names_day = any(isinstance(atom, Relative | Anniversary) and TODAY in window_times(atom.window) for atom in times)
    assumptions = (Problem("rolling-time", message),) if names_day else ()
    return Restated({"audience": audience, **device_types}, assumptions)


def emit(expr: Expr) -> Payload:
    """Return the request for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> emit(parse("(a OR b) AND NOT group.loyalty:gold"))
    {'audience': {'AND': [{'tag': ['a', 'b']}, {'NOT': {'tag': 'gold', 'group': 'loyalty'}}]}}
    >>> emit(parse("city:Rome AND age > 17"))["audience"]["AND"][1]
    {'attribute': 'age', 'operator': 'greater', 'value': 17}
    """
    if expr == Everyone():
        return {"audience": "all"}
    problems = [problem for atom in atoms(expr) for problem in _atom_problems(atom, is_alone=atom == expr)]
    if problems:
        raise Unsupported(problems)
    if isinstance(expr, Reference):
        return {"audience": references.emit_reference(expr)}
    audience = _emit_selector(expr)
    problems = list(_size_problems(audience))
    if problems:
        raise Unsupported(problems)
    return {"audience": audience}


def _atom_problems(atom: Expr, *, is_alone: bool) -> Iterator[Problem]:
    match atom:
        case Tag():
            yield from tag_problems(atom)
        case Compare() | Between() | Within() | Anniversary() | Has():
            yield from attributes.attribute_problems(atom)
        case Reference():
            yield from references.reference_problems(atom, is_alone=is_alone, parse=_parse_audience)
        case Ids(kind="registration_id", values=values):
            yield from (problem for value in values if (problem := find_id_problem(value, MAX_CHANNEL_LENGTH)))
        case Ids(kind="alias", values=values, span=span):
            for value in values:
                yield from _length_problems("id-too-long", value, value, span)
        case Ids(kind=kind, span=span):
            hint = "name them by alias or channel"
            yield Problem("no-such-id", f"Airship has no id of the kind {kind}", span, hint=hint)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield the reasons why Airship has no name for *tag*."""
    if tag.type == UNTYPED or find_group(tag.type) is not None:
        yield from _length_problems("name-too-long", tag.value, render(tag), tag.span)
    else:
        yield from attributes.attribute_problems(tag)


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
    key, value = next(iter(selector.items()))
    if key in COMPOUND_KEYS:
        sizes = [_count_levels_and_names(child) for child in (value if isinstance(value, list) else [value])]
        return 1 + max(levels for levels, _ in sizes), sum(names for _, names in sizes)
    return 1, len(value) if isinstance(value, list) else 1


def _emit_selector(expr: Expr) -> Payload:
    """Return *expr* as a selector with as few NOTs as possible, which are the slowest at Airship."""
    match expr:
        case Tag() | Ids():
            return _join_selectors("OR", _emit_lists([expr]))
        case Compare() | Between() | Within() | Anniversary() | Has():
            return _emit_viewed(attributes.view_atom(expr), expr)
        case Not(term=Has() as has):
            return attributes.emit_is_empty(has)
        case Not(term=term):
            return {"NOT": _emit_selector(term)}
        case Or(terms=terms):
            others = [_emit_selector(term) for term in terms if not isinstance(term, Tag)]
            return _join_selectors("OR", [*_emit_lists([term for term in terms if isinstance(term, Tag)]), *others])
        case And(terms=terms):
            unwanted = [tag for term in terms if (tag := negated_tag(term))]
            children = [_emit_selector(term) for term in terms if negated_tag(term) is None]
            none_of = [{"NOT": _join_selectors("OR", _emit_lists(unwanted))}] if unwanted else []
            return _join_selectors("AND", [*children, *none_of])
        case Reference():
            selector = references.emit_reference(expr)
            assert isinstance(selector, dict), f"checked by _atom_problems: {expr!r}"
            return selector
    raise AssertionError(f"checked by _atom_problems: {expr!r}")


def _emit_viewed(viewed: Expr, atom: SelectorAtom) -> Payload:
    """Return the selector of *atom*, which Airship has as *viewed*."""
    if viewed == atom:
        return attributes.emit_attribute(atom)
    if isinstance(viewed, Or):
        return {"OR": [_emit_selector(term) for term in viewed.terms]}  # greater or less before equals
    return _emit_selector(viewed)


def _emit_lists(atoms: Sequence[Tag | Ids]) -> list[Payload]:
    """Return selectors that match any of *atoms*: one list for each group of tags and kind of ids."""
    names: dict[tuple[str, str | None], list[str]] = {}
    selectors: list[Payload] = []
    for atom in atoms:
        match atom:
            case Ids(kind=kind, values=values):
                names.setdefault((KEYS_BY_ID_KIND[kind], None), []).extend(values)
            case Tag(type=type_, value=value) if type_ == UNTYPED or find_group(type_):
                names.setdefault(("tag", find_group(type_)), []).append(value)
            case Tag():
                selectors.append(attributes.emit_attribute(atom))
    lists = [
        selector | ({} if group is None else {"group": group})
        for (key, group), values in names.items()
        for selector in _emit_name_lists(key, values)
    ]
    return [*lists, *selectors]


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
    used = atoms(expr)
    if not is_bounded(nnf(expr)):
        yield Problem("universe", "NOT and everyone refer to all channels registered with Airship, not to your table")
    if any(isinstance(atom, Ids) and atom.kind == "alias" for atom in used):
        yield Problem("account", "an alias is a named user and matches every device of that user at Airship")
    if groups := _sort_distinct(find_group(atom.type) for atom in used if isinstance(atom, Tag)):
        yield Problem("tag-groups", f"Airship has the tag groups {', '.join(groups)}, with the tags of your devices")
    attribute_atoms = [
        atom
        for atom in used
        if isinstance(atom, Tag | Compare | Between | Within | Anniversary | Has) and find_attribute(atom.type)
    ]
    if own := _sort_distinct(find_attribute(atom.type) for atom in attribute_atoms if atom.type not in BUILTIN_KEYS):
        message = f"Airship has the attributes {', '.join(own)}, with the values of your devices, at most one a device"
        yield Problem("one-value", message)
    yield from _value_assumptions(attribute_atoms)
    yield from assume_times(expr, "Airship", counts_from_now)


def _sort_distinct(names: Iterable[str | None]) -> list[str]:
    return sorted({name for name in names if name is not None})


def _value_assumptions(attribute_atoms: Sequence[SelectorAtom]) -> Iterator[Problem]:
    """Yield what is taken for granted about the values of attributes: their types, and how Airship spells its own."""
    own = [atom for atom in attribute_atoms if atom.type not in BUILTIN_KEYS]
    if names := _sort_distinct(find_attribute(atom.type) for atom in own if attributes.has_number(atom)):
        yield Problem("numbers", f"the values of {', '.join(names)} are numbers at Airship")
    if names := _sort_distinct(find_attribute(atom.type) for atom in own if attributes.has_moment(atom)):
        yield Problem("dates", f"the values of {', '.join(names)} are dates at Airship; days begin at midnight UTC")
    values = [atom for atom in attribute_atoms if isinstance(atom, Tag | Compare | Between) and atom not in own]
    if values:
        spelled = ", ".join(_sort_distinct(map(render, values)))
        yield Problem("vendor-values", f"Airship spells its own values so: {spelled}")


def target_ids(ids: Sequence[str]) -> Payload:
    """Return the targeting object of at most 1,000 channels, in lists of 100."""
    return {"audience": _join_selectors("OR", _emit_name_lists("channel", ids))}
