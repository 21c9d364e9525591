"""OneSignal's flat list of filters: AND before OR, and no brackets.

https://documentation.onesignal.com/reference/create-segments, by a public copy of it, read 2026-11-21.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, product
from math import prod
from typing import Any, TypeAlias

from audience.algebra.constraints import Facts
from audience.algebra.equivalence import unshared
from audience.algebra.normal_forms import Clause
from audience.errors import BudgetError, Problem
from audience.language.ast import Compare, Expr, Not, Order, Tag, all_of, any_of, atoms, bare
from audience.language.attribute_names import BARE
from audience.vendors.payload_reader import mapping, only, refuse, string
from audience.vendors.spec import SPACE, Limit, Payload

PAGE = "https://documentation.onesignal.com/reference/create-segments"
CLIENT = "https://github.com/OneSignal/onesignal-rust-api"

LIMITS = {
    "entries": Limit(200, PAGE),  # filters and the ORs between them
    "in_array": Limit(20, CLIENT),
}
ENTRIES = 200

# Whether `!=` holds for a device without the key. No page tells: None takes nothing for granted. It is read only where
# both answers mean the same, and written so that they do: beside an OR with not_exists.
MISSING_IS_UNEQUAL: bool | None = None

FIELDS = {"country": "country", "language": "language", "app_version": "version"}  # OneSignal's own, and ours
OWN = {type_: field for field, type_ in FIELDS.items()}
PLATFORM = "platform"  # the type of the tags that isIos and its like are read as: no key is one of them
OPAQUE = "first_session last_session session_count session_time amount_spent bought_sku location email".split()
ORDERS: dict[str, Order] = {"<": "<", ">": ">"}

Readings: TypeAlias = tuple[Expr, Expr]  # what a filter says if `!=` holds without the key, and if not
Choice: TypeAlias = list[list[Payload]]  # lists of filters, any of which may hold


def read(value: Any, path: str) -> Expr:
    """A union of intersections; `!=` may stand where it does not matter how a device without the key is seen."""
    if not isinstance(value, list):
        refuse("wrong-type", "expected a list of filters", path)
    if not value:
        refuse("empty-target", "an empty list names nobody", path)
    entries = [mapping(entry, f"{path}[{at}]") for at, entry in enumerate(value)]
    ands = [at for at, entry in enumerate(entries) if entry.get("operator") == "AND"]
    if LIMITS["entries"].exceeded_by(len(entries) - len(ands)):
        refuse("too-many", f"{len(entries)} entries; {ENTRIES} is the most", path, "send several requests")
    clauses: list[list[Readings]] = [[]]
    joined = True  # the first filter is joined to nothing
    for at, entry in enumerate(entries):
        place = f"{path}[{at}]"
        if "operator" not in entry:
            clauses[-1].append(_filter(entry, place))
            joined = False
            continue
        if joined or at == len(entries) - 1:
            refuse("misplaced-operator", "an operator stands between two filters", place)
        if _operator(entry, place) == "OR":
            clauses.append([])
        joined = True
    return _agreed(clauses, path)


def _operator(entry: Payload, path: str) -> str:
    only(entry, ("operator",), path)
    if entry["operator"] not in ("AND", "OR"):
        refuse("unknown-value", f"expected AND or OR, found {entry['operator']!r}", f"{path}.operator")
    return str(entry["operator"])


def _filter(entry: Payload, path: str) -> Readings:
    field = string(entry.get("field"), f"{path}.field")
    if field in OPAQUE:
        refuse("opaque", f"only OneSignal knows the {field} of a device, at the time of sending", path)
    if field != "tag" and field not in FIELDS:
        refuse("unknown-value", f"no field is called {field!r}", f"{path}.field", f"tag, {', '.join(FIELDS)}")
    only(entry, ("field", "key", "relation", "value") if field == "tag" else ("field", "relation", "value"), path)
    relation = string(entry.get("relation"), f"{path}.relation")
    if field == "tag":
        return _tag(string(entry.get("key"), f"{path}.key"), relation, entry, path)
    if relation in ("!=", "not_in_array") and not MISSING_IS_UNEQUAL:
        refuse("ambiguous", f"no page tells whether it holds for a device without {field}", path, "name the others")
    if relation in ("exists", "not_exists") or (relation in ORDERS and field != "app_version"):
        refuse("unknown-value", f"{field} has no relation {relation!r}", f"{path}.relation")
    return _compared(FIELDS[field], relation, entry, path)


def _tag(key: str, relation: str, entry: Payload, path: str) -> Readings:
    if relation == "exists":
        return bare(key), bare(key)
    if relation == "not_exists":
        return Not(bare(key)), Not(bare(key))
    if key in OWN or key in (BARE, PLATFORM):
        others = {BARE: "a tag without a value", PLATFORM: "isIos and its like"}
        other = others.get(key) or f"OneSignal's own field {OWN[key]}"
        refuse("ambiguous-name", f"a value of the key {key!r} would read like {other}", f"{path}.key")
    return _compared(key, relation, entry, path)


def _compared(type_: str, relation: str, entry: Payload, path: str) -> Readings:
    if relation in ("time_elapsed_gt", "time_elapsed_lt"):
        refuse("opaque", "it depends on the time of sending", f"{path}.relation", "write a time")
    value = string(entry.get("value"), f"{path}.value")
    match relation:
        case "=" | "!=":
            tag: Expr = Tag(type_, value)
        case "in_array" | "not_in_array":
            tag = any_of(Tag(type_, each) for each in _array(value, f"{path}.value"))
        case "<" | ">":
            compared = Compare(type_, ORDERS[relation], value)
            return compared, compared
        case _:
            refuse("unknown-value", f"no relation is called {relation!r}", f"{path}.relation")
    if relation in ("=", "in_array"):
        return tag, tag
    without, there = Not(tag), all_of([bare(type_), Not(tag)])
    return {None: (without, there), True: (without, without), False: (there, there)}[MISSING_IS_UNEQUAL]


def _array(value: str, path: str) -> list[str]:
    values = value.split(",")
    if not all(values):
        refuse("empty-name", "nothing stands between two commas", path)
    if any(each != each.strip(SPACE) for each in values):
        refuse("ambiguous", "no page tells whether white space beside a comma is part of a value", path, "drop it")
    if LIMITS["in_array"].exceeded_by(len(values)):
        refuse("too-many", f"{len(values)} values; {LIMITS['in_array'].most} is the most", path)
    return values


def _agreed(clauses: Sequence[Sequence[Readings]], path: str) -> Expr:
    """What *clauses* say, if both readings of `!=` say the same of every device there can be."""
    holds, fails = (any_of(all_of(readings[which] for readings in clause) for clause in clauses) for which in (0, 1))
    if holds == fails:
        return holds
    values = [atom for atom in atoms(holds) if isinstance(atom, Tag | Compare) and atom.type not in (BARE, *OWN)]
    has_key = all_of(any_of([Not(atom), bare(atom.type)]) for atom in values)
    one_value = Facts(exclusive=frozenset(atom.type for atom in values))
    try:
        same = unshared(all_of([has_key, holds]), [all_of([has_key, fails])], one_value) is None
    except BudgetError as error:
        refuse(error.code, error.problems[0].message, path)
    if not same:
        hint = 'OR the same with "not_exists" in its place, or AND it with "exists"'
        refuse("ambiguous", "no page tells whether != holds for a device without the key", path, hint)
    return any_of(map(all_of, _needed([[readings[0] for readings in clause] for clause in clauses])))


def _needed(clauses: list[list[Expr]]) -> list[list[Expr]]:
    """*clauses* without those that another says too, as a device without the key has no value of it."""
    kept = list(clauses)
    for clause in clauses:
        if any(_goes_without_saying(clause, other) for other in kept if other is not clause):
            kept = [each for each in kept if each is not clause]
    return kept


def _goes_without_saying(clause: Sequence[Expr], other: Sequence[Expr]) -> bool:
    """Whether *other* says what *clause* does, and more, only by values of keys that are missing in *clause*."""
    rest = [literal for literal in other if literal not in clause]
    missing = {tag.value for tag in map(_unwanted, clause) if tag and tag.type == BARE}
    return bool(rest) and all(isinstance(term, Not) and _key(term.term) in missing for term in rest)


def _unwanted(literal: Expr) -> Tag | None:
    """The tag of which *literal* is the NOT."""
    return literal.term if isinstance(literal, Not) and isinstance(literal.term, Tag) else None


def _key(expr: Expr) -> str | None:
    """The key of which *expr* is a value, or any of several."""
    types = {atom.type for atom in atoms(expr) if isinstance(atom, Tag)} - {BARE, *OWN}
    return types.pop() if len(types) == 1 else None


def written(clauses: Sequence[Clause]) -> list[Payload]:
    """The filters that say the union of *clauses*.

    NOT of a value is said twice, with `!=` and with `not_exists`, so that nothing depends on what `!=` does where
    the key is missing; once where another filter asks for the key.

    >>> [" ".join(entry.values()) for entry in written([(bare("vip"), Not(Tag("city", "Rome")))])]
    ['tag vip exists', 'tag city != Rome', 'OR', 'tag vip exists', 'tag city not_exists']
    """
    said = [group for clause in clauses for group in _groups(clause)]
    return said[0] + [entry for group in said[1:] for entry in ({"operator": "OR"}, *group)]


def _groups(clause: Clause) -> list[list[Payload]]:
    """*clause* as lists of filters, any of which may hold."""
    wanted, choices = _choices(clause)
    return [[*wanted, *chain.from_iterable(chosen)] for chosen in product(*choices)]


def entries_of(clauses: Sequence[Clause]) -> int:
    """How many filters and ORs say *clauses*."""
    if any(clashes(any_of(map(all_of, clauses)))):
        return ENTRIES + 1  # it is not said at all
    return sum(_ways_of(*_choices(clause)) + 1 for clause in clauses) - 1


def _ways_of(wanted: Sequence[Payload], choices: Sequence[Choice]) -> int:
    ways = prod(map(len, choices))
    return ways * (len(wanted) + 1) - 1 + sum(ways // len(choice) * sum(map(len, choice)) for choice in choices)


def _choices(clause: Clause) -> tuple[list[Payload], list[Choice]]:
    """The filters of *clause*, and for each key of which values are unwanted those that say so."""
    unwanted: dict[str, list[Payload]] = {}
    for tag in filter(None, map(_unwanted, clause)):
        if tag.type != BARE:
            unwanted.setdefault(tag.type, []).append(_filter_of(tag, "!="))
    wanted = [_filter_of(tag, "exists" if tag.type == BARE else "=") for tag in clause if isinstance(tag, Tag)]
    missing = [_filter_of(tag, "not_exists") for tag in map(_unwanted, clause) if tag and tag.type == BARE]
    there = unwanted.keys() if MISSING_IS_UNEQUAL else {tag.type for tag in clause if isinstance(tag, Tag)}
    choices = [
        [filters] if key in there else [filters, [_filter_of(bare(key), "not_exists")]]
        for key, filters in unwanted.items()
    ]
    return [*wanted, *missing], choices


def _filter_of(tag: Tag, relation: str) -> Payload:
    if tag.type == BARE:
        return {"field": "tag", "key": tag.value, "relation": relation}
    field = {"field": OWN[tag.type]} if tag.type in OWN else {"field": "tag", "key": tag.type}
    return {**field, "relation": relation, "value": tag.value}


def clashes(expr: Expr) -> Iterator[Problem]:
    """A bare tag is a key, so a key with values cannot be a bare tag as well."""
    tags = [atom for atom in atoms(expr) if isinstance(atom, Tag)]
    types = {tag.type for tag in tags} - OWN.keys()
    for tag in tags:
        if tag.type == BARE and tag.value in types:
            message = f"{tag.value!r} stands alone and with values; at OneSignal whoever has a value has the key"
            yield Problem("key-clash", message, tag.span, hint="give one of them another name in a catalog")


def negatable(type_: str) -> bool:
    """Whether NOT of a value of *type_* can be said."""
    return type_ not in OWN or bool(MISSING_IS_UNEQUAL)
