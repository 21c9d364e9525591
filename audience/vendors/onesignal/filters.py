"""OneSignal's flat list of filters: AND before OR, and no brackets.

https://documentation.onesignal.com/reference/create-segments, from a public copy, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from math import prod
from typing import Any, TypeAlias

from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.algebra.normal_forms import Clause
from audience.errors import ComplexityError, Problem
from audience.language.ast import Compare, CompareOp, Expr, Not, Tag, all_of, any_of, atoms, bare
from audience.language.attribute_names import UNTYPED
from audience.vendors.payload_reader import fail, read_object, read_string, reject_unknown_keys
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


def parse_filters(value: Any, path: str) -> Expr:
    """Parse a union of intersections; `!=` is accepted where a device without the key does not matter."""
    if not isinstance(value, list):
        fail("wrong-type", "expected a list of filters", path)
    if not value:
        fail("empty-target", "an empty list matches no device", path)
    entries = [read_object(entry, f"{path}[{at}]") for at, entry in enumerate(value)]
    ands = [at for at, entry in enumerate(entries) if entry.get("operator") == "AND"]
    if LIMITS["entries"].is_exceeded_by(len(entries) - len(ands)):
        fail("too-many", f"{len(entries)} entries; the maximum is {MAX_ENTRIES}", path, "send several requests")
    clauses: list[list[FilterReadings]] = [[]]
    joined = True  # the first filter is joined to nothing
    for at, entry in enumerate(entries):
        place = f"{path}[{at}]"
        if "operator" not in entry:
            clauses[-1].append(_parse_filter(entry, place))
            joined = False
            continue
        if joined or at == len(entries) - 1:
            fail("misplaced-operator", "an operator must be between two filters", place)
        if _parse_operator(entry, place) == "OR":
            clauses.append([])
        joined = True
    return _resolve_readings(clauses, path)


def _parse_operator(entry: Payload, path: str) -> str:
    reject_unknown_keys(entry, ("operator",), path)
    if entry["operator"] not in ("AND", "OR"):
        fail("unknown-value", f"expected AND or OR, found {entry['operator']!r}", f"{path}.operator")
    return str(entry["operator"])


def _parse_filter(entry: Payload, path: str) -> FilterReadings:
    field = read_string(entry.get("field"), f"{path}.field")
    if field in OPAQUE_FIELDS:
        fail("opaque", f"only OneSignal knows the {field} of a device", path)
    if field != "tag" and field not in TYPES_BY_FIELD:
        fail("unknown-value", f"unknown field {field!r}", f"{path}.field", f"tag, {', '.join(TYPES_BY_FIELD)}")
    reject_unknown_keys(
        entry, ("field", "key", "relation", "value") if field == "tag" else ("field", "relation", "value"), path
    )
    relation = read_string(entry.get("relation"), f"{path}.relation")
    if field == "tag":
        return _parse_tag_filter(read_string(entry.get("key"), f"{path}.key"), relation, entry, path)
    if relation in ("!=", "not_in_array") and not MISSING_IS_UNEQUAL:
        fail("ambiguous", f"whether it matches a device without {field} is not documented", path, "name the others")
    if relation in ("exists", "not_exists") or (relation in RELATION_COMPARE_OPS and field != "app_version"):
        fail("unknown-value", f"{field} has no relation {relation!r}", f"{path}.relation")
    return _parse_comparison(TYPES_BY_FIELD[field], relation, entry, path)


def _parse_tag_filter(key: str, relation: str, entry: Payload, path: str) -> FilterReadings:
    if relation == "exists":
        return bare(key), bare(key)
    if relation == "not_exists":
        return Not(bare(key)), Not(bare(key))
    if key in FIELDS_BY_TYPE or key in (UNTYPED, PLATFORM_TYPE):
        others = {UNTYPED: "a tag without a value", PLATFORM_TYPE: "isIos and its like"}
        other = others.get(key) or f"OneSignal's own field {FIELDS_BY_TYPE[key]}"
        fail("ambiguous-name", f"a value of the key {key!r} is ambiguous with {other}", f"{path}.key")
    return _parse_comparison(key, relation, entry, path)


def _parse_comparison(type_: str, relation: str, entry: Payload, path: str) -> FilterReadings:
    if relation in ("time_elapsed_gt", "time_elapsed_lt"):
        fail("opaque", "it depends on the time of sending", f"{path}.relation", "write a time")
    value = read_string(entry.get("value"), f"{path}.value")
    match relation:
        case "=" | "!=":
            tag: Expr = Tag(type_, value)
        case "in_array" | "not_in_array":
            tag = any_of(Tag(type_, each) for each in _parse_array(value, f"{path}.value"))
        case "<" | ">":
            compared = Compare(type_, RELATION_COMPARE_OPS[relation], value)
            return compared, compared
        case _:
            fail("unknown-value", f"unknown relation {relation!r}", f"{path}.relation")
    if relation in ("=", "in_array"):
        return tag, tag
    without, there = Not(tag), all_of([bare(type_), Not(tag)])
    return {None: (without, there), True: (without, without), False: (there, there)}[MISSING_IS_UNEQUAL]


def _parse_array(value: str, path: str) -> list[str]:
    values = value.split(",")
    if not all(values):
        fail("empty-name", "expected a value between commas, found none", path)
    if any(each != each.strip(WHITESPACE) for each in values):
        fail("ambiguous", "whether white space beside a comma is part of a value is not documented", path, "drop it")
    if LIMITS["in_array"].is_exceeded_by(len(values)):
        fail("too-many", f"{len(values)} values; the maximum is {LIMITS['in_array'].maximum}", path)
    return values


def _resolve_readings(clauses: Sequence[Sequence[FilterReadings]], path: str) -> Expr:
    """Return what *clauses* mean if both readings of `!=` agree for every device; else fail."""
    holds, fails = (any_of(all_of(readings[which] for readings in clause) for clause in clauses) for which in (0, 1))
    if holds == fails:
        return holds
    values = [
        atom for atom in atoms(holds) if isinstance(atom, Tag | Compare) and atom.type not in (UNTYPED, *FIELDS_BY_TYPE)
    ]
    has_key = all_of(any_of([Not(atom), bare(atom.type)]) for atom in values)
    one_value = AttributeConstraints(exclusive=frozenset(atom.type for atom in values))
    try:
        same = find_partition_violation(all_of([has_key, holds]), [all_of([has_key, fails])], one_value) is None
    except ComplexityError as error:
        fail(error.code, error.problems[0].message, path)
    if not same:
        hint = 'OR the same with "not_exists" in its place, or AND it with "exists"'
        fail("ambiguous", "whether != matches a device without the key is not documented", path, hint)
    return any_of(map(all_of, _drop_implied_clauses([[readings[0] for readings in clause] for clause in clauses])))


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
    missing = {tag.value for tag in map(_negated_tag, clause) if tag and tag.type == UNTYPED}
    return bool(rest) and all(isinstance(term, Not) and _single_key(term.term) in missing for term in rest)


def _negated_tag(literal: Expr) -> Tag | None:
    """Return the tag that *literal* negates, or None."""
    return literal.term if isinstance(literal, Not) and isinstance(literal.term, Tag) else None


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
    for tag in filter(None, map(_negated_tag, clause)):
        if tag.type != UNTYPED:
            unwanted.setdefault(tag.type, []).append(_emit_filter(tag, "!="))
    wanted = [_emit_filter(tag, "exists" if tag.type == UNTYPED else "=") for tag in clause if isinstance(tag, Tag)]
    missing = [_emit_filter(tag, "not_exists") for tag in map(_negated_tag, clause) if tag and tag.type == UNTYPED]
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
