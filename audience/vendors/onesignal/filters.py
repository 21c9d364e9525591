"""OneSignal's flat list of filters: AND before OR, and no brackets.

https://documentation.onesignal.com/reference/create-segments, from a public copy, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from math import prod
from typing import TypeAlias

from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.normal_forms import Clause
from audience.errors import ComplexityError, Problem
from audience.language.ast import Compare, CompareOp, Expr, Not, Tag, all_of, any_of, atoms, bare, negated_tag
from audience.language.attribute_names import UNTYPED
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.spec import WHITESPACE, Limit, Payload

PAGE = "https://documentation.onesignal.com/reference/create-segments"
CLIENT_DOCS = "https://github.com/OneSignal/onesignal-rust-api"

LIMITS = {
    "entries": Limit(200, PAGE),  # filters and the ORs between them
    "in_array": Limit(20, CLIENT_DOCS),
}
MAX_ENTRIES = 200

# Whether `!=` matches a device without the key: not documented, None assumes neither. It is parsed only where both
# readings mean the same, and written so that they do: in an OR with not_exists.
MISSING_IS_UNEQUAL: bool | None = None

TYPES_BY_FIELD = {"country": "country", "language": "language", "app_version": "version"}  # OneSignal's own, and ours
FIELDS_BY_TYPE = {type_: field for field, type_ in TYPES_BY_FIELD.items()}
PLATFORM_TYPE = "platform"  # type of the tags that isIos and the like become; no key can have it
OPAQUE_FIELDS = "first_session last_session session_count session_time amount_spent bought_sku location email".split()
RELATION_COMPARE_OPS: dict[str, CompareOp] = {"<": "<", ">": ">"}

FilterReadings: TypeAlias = tuple[Expr, Expr]  # of a filter: if `!=` matches without the key, and if not
FilterAlternatives: TypeAlias = list[list[Payload]]  # lists of filters, any of which may hold


def parse_filters(filters: PayloadCursor) -> Expr:
    """Parse a union of intersections; `!=` is accepted where a device without the key does not matter."""
    entries = filters.items()
    for entry in entries:
        entry.object()
    ands = [entry for entry in entries if entry["operator"].value == "AND"]
    if LIMITS["entries"].is_exceeded_by(len(entries) - len(ands)):
        message = f"{len(entries)} entries; the maximum is {MAX_ENTRIES}"
        filters.fail("too-many", message, "send several requests")
    clauses: list[list[FilterReadings]] = [[]]
    after_operator = True  # the first filter is joined to nothing
    for number, entry in enumerate(entries, 1):
        if "operator" not in entry:
            clauses[-1].append(_parse_filter(entry))
            after_operator = False
            continue
        if after_operator or number == len(entries):
            entry.fail("misplaced-operator", "an operator must be between two filters")
        if _parse_operator(entry) == "OR":
            clauses.append([])
        after_operator = True
    return _resolve_readings(clauses, filters)


def _parse_operator(entry: PayloadCursor) -> str:
    operator = entry.only(("operator",))["operator"]
    if operator.value not in ("AND", "OR"):
        operator.fail("unknown-value", f"expected AND or OR, found {operator.value!r}")
    return str(operator.value)


def _parse_filter(entry: PayloadCursor) -> FilterReadings:
    field = entry["field"].string()
    if field in OPAQUE_FIELDS:
        entry.fail("opaque", f"only OneSignal knows the {field} of a device")
    if field != "tag" and field not in TYPES_BY_FIELD:
        entry["field"].fail("unknown-value", f"unknown field {field!r}", f"tag, {', '.join(TYPES_BY_FIELD)}")
    entry.only(("field", "key", "relation", "value") if field == "tag" else ("field", "relation", "value"))
    relation = entry["relation"].string()
    if field == "tag":
        return _parse_tag_filter(entry["key"], relation, entry)
    if relation in ("!=", "not_in_array") and not MISSING_IS_UNEQUAL:
        message = f"whether it matches a device without {field} is not documented"
        entry.fail("ambiguous", message, "name the others")
    if relation in ("exists", "not_exists") or (relation in RELATION_COMPARE_OPS and field != "app_version"):
        entry["relation"].fail("unknown-value", f"{field} has no relation {relation!r}")
    return _parse_comparison(TYPES_BY_FIELD[field], relation, entry)


def _parse_tag_filter(key: PayloadCursor, relation: str, entry: PayloadCursor) -> FilterReadings:
    name = key.string()
    if relation == "exists":
        return bare(name), bare(name)
    if relation == "not_exists":
        return Not(bare(name)), Not(bare(name))
    if name in FIELDS_BY_TYPE or name in (UNTYPED, PLATFORM_TYPE):
        others = {UNTYPED: "a tag without a value", PLATFORM_TYPE: "isIos and the like"}
        other = others.get(name) or f"OneSignal's own field {FIELDS_BY_TYPE[name]}"
        key.fail("ambiguous-name", f"a value of the key {name!r} is ambiguous with {other}")
    return _parse_comparison(name, relation, entry)


def _parse_comparison(type_: str, relation: str, entry: PayloadCursor) -> FilterReadings:
    if relation in ("time_elapsed_gt", "time_elapsed_lt"):
        entry["relation"].fail("opaque", "it depends on the time of sending", "write a time")
    value = entry["value"].string()
    match relation:
        case "=" | "!=":
            tag: Expr = Tag(type_, value)
        case "in_array" | "not_in_array":
            tag = any_of(Tag(type_, item) for item in _parse_array(entry["value"]))
        case "<" | ">":
            compared = Compare(type_, RELATION_COMPARE_OPS[relation], value)
            return compared, compared
        case _:
            entry["relation"].fail("unknown-value", f"unknown relation {relation!r}")
    if relation in ("=", "in_array"):
        return tag, tag
    #                           device without the key │ with another value │ with this value
    # `!=` matches without it:               yes       │        yes         │       no         Not(tag)
    # `!=` needs the key:                    no        │        yes         │       no         key AND NOT tag
    unequal, unequal_with_key = Not(tag), all_of([bare(type_), Not(tag)])
    match MISSING_IS_UNEQUAL:
        case None:
            return unequal, unequal_with_key
        case True:
            return unequal, unequal
    return unequal_with_key, unequal_with_key


def _parse_array(array: PayloadCursor) -> list[str]:
    values = array.string().split(",")
    if not all(values):
        array.fail("empty-name", "expected a value between commas, found none")
    if any(value != value.strip(WHITESPACE) for value in values):
        array.fail("ambiguous", "whether white space beside a comma is part of a value is not documented", "drop it")
    if LIMITS["in_array"].is_exceeded_by(len(values)):
        array.fail("too-many", f"{len(values)} values; the maximum is {LIMITS['in_array'].maximum}")
    return values


def _resolve_readings(clauses: Sequence[Sequence[FilterReadings]], filters: PayloadCursor) -> Expr:
    """Return what *clauses* mean if both readings of `!=` agree for every device; else fail."""
    without_key = any_of(all_of(matches for matches, _ in clause) for clause in clauses)
    with_key = any_of(all_of(needs_key for _, needs_key in clause) for clause in clauses)
    if without_key == with_key:
        return without_key
    if not _are_equivalent(without_key, with_key, filters):
        hint = 'OR the same with "not_exists" in its place, or AND it with "exists"'
        message = "whether != matches a device without the key is not documented"
        filters.fail("ambiguous", message, hint)
    return any_of(map(all_of, _drop_implied_clauses([[matches for matches, _ in clause] for clause in clauses])))


def _are_equivalent(expr: Expr, other: Expr, filters: PayloadCursor) -> bool:
    """Return whether two readings agree for every device, which has at most one value of a key, and then the key."""
    values = [
        atom for atom in atoms(expr) if isinstance(atom, Tag | Compare) and atom.type not in (UNTYPED, *FIELDS_BY_TYPE)
    ]
    has_key = all_of(any_of([Not(atom), bare(atom.type)]) for atom in values)
    one_value = AttributeConstraints(exclusive=frozenset(atom.type for atom in values))
    try:
        return find_partition_violation(all_of([has_key, expr]), [all_of([has_key, other])], one_value) is None
    except ComplexityError as error:
        filters.fail(error.code, error.problems[0].message)


def _drop_implied_clauses(clauses: list[list[Expr]]) -> list[list[Expr]]:
    """Return *clauses* without those that another one implies: a device without the key has no value of it."""
    kept = list(clauses)
    for clause in clauses:
        if any(_is_implied(clause, other) for other in kept if other is not clause):
            kept = [each for each in kept if each is not clause]
    return kept


def _is_implied(clause: Sequence[Expr], other_clause: Sequence[Expr]) -> bool:
    """Return whether *other_clause* only adds values of keys that are missing in *clause*."""
    rest = [literal for literal in other_clause if literal not in clause]
    missing = {tag.value for tag in map(negated_tag, clause) if tag and tag.type == UNTYPED}
    return bool(rest) and all(isinstance(term, Not) and _single_key(term.term) in missing for term in rest)


def _single_key(expr: Expr) -> str | None:
    """Return the key of which *expr* is a value, or any of several values; None if there are several keys."""
    types = {atom.type for atom in atoms(expr) if isinstance(atom, Tag)} - {UNTYPED, *FIELDS_BY_TYPE}
    return types.pop() if len(types) == 1 else None


def emit_filters(clauses: Sequence[Clause]) -> list[Payload]:
    """Return the filters for the union of *clauses*.

    NOT of a value is written twice, with `!=` and with `not_exists`, so that the meaning of `!=` for a missing key does
    not matter; once if another filter asks for the key.

    >>> [" ".join(entry.values()) for entry in emit_filters([(bare("vip"), Not(Tag("city", "Rome")))])]
    ['tag vip exists', 'tag city != Rome', 'OR', 'tag vip exists', 'tag city not_exists']
    """
    groups = [group for clause in clauses for group in _expand_clause(clause)]
    return groups[0] + [entry for group in groups[1:] for entry in ({"operator": "OR"}, *group)]


def _expand_clause(clause: Clause) -> list[list[Payload]]:
    """Return *clause* as lists of filters, any of which may hold."""
    wanted, choices = _split_clause(clause)
    return [[*wanted, *chain.from_iterable(chosen)] for chosen in product(*choices)]


def count_entries(clauses: Sequence[Clause]) -> int:
    """Return the number of filters and ORs that *clauses* take."""
    if any(key_clash_problems(any_of(map(all_of, clauses)))):
        return MAX_ENTRIES + 1  # it cannot be written
    return sum(_count_clause_entries(*_split_clause(clause)) + 1 for clause in clauses) - 1


def _count_clause_entries(required: Sequence[Payload], alternatives: Sequence[FilterAlternatives]) -> int:
    ways = prod(map(len, alternatives))
    return ways * (len(required) + 1) - 1 + sum(ways // len(choice) * sum(map(len, choice)) for choice in alternatives)


def _split_clause(clause: Clause) -> tuple[list[Payload], list[FilterAlternatives]]:
    """Return the required filters of *clause*, and for each key with unwanted values the filters that exclude them."""
    unwanted: dict[str, list[Payload]] = {}
    for tag in filter(None, map(negated_tag, clause)):
        if tag.type != UNTYPED:
            unwanted.setdefault(tag.type, []).append(_emit_filter(tag, "!="))
    wanted = [_emit_filter(tag, "exists" if tag.type == UNTYPED else "=") for tag in clause if isinstance(tag, Tag)]
    missing = [_emit_filter(tag, "not_exists") for tag in map(negated_tag, clause) if tag and tag.type == UNTYPED]
    there = unwanted.keys() if MISSING_IS_UNEQUAL else {tag.type for tag in clause if isinstance(tag, Tag)}
    choices = [
        [filters] if key in there else [filters, [_emit_filter(bare(key), "not_exists")]]
        for key, filters in unwanted.items()
    ]
    return [*wanted, *missing], choices


def _emit_filter(tag: Tag, relation: str) -> Payload:
    if tag.type == UNTYPED:
        return {"field": "tag", "key": tag.value, "relation": relation}
    field = {"field": FIELDS_BY_TYPE[tag.type]} if tag.type in FIELDS_BY_TYPE else {"field": "tag", "key": tag.type}
    return {**field, "relation": relation, "value": tag.value}


def key_clash_problems(expr: Expr) -> Iterator[Problem]:
    """Yield a problem for each key that is used both as an untyped tag and with values."""
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    types = {tag.type for tag in tags} - FIELDS_BY_TYPE.keys()
    for tag in tags:
        if tag.type == UNTYPED and tag.value in types:
            message = f"{tag.value!r} is used alone and with values; at OneSignal a device with a value has the key"
            yield Problem("key-clash", message, tag.span, hint="give one of them another name in a catalog")


def can_negate(type_: str) -> bool:
    """Return whether NOT of a value of *type_* can be written."""
    return type_ not in FIELDS_BY_TYPE or bool(MISSING_IS_UNEQUAL)
