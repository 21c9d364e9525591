"""Write expressions as OneSignal's flat list of filters: AND before OR, and no brackets.

Whether `!=` matches a device without the key is not documented. NOT of a value of a key is therefore written twice,
with `!=` and with `not_exists`, and once where another filter asks for the key.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any, NamedTuple, TypeAlias

from audience.algebra.normal_forms import Clause, dnf
from audience.errors import ComplexityError, PayloadError, Problem
from audience.language.ast import (
    Atom,
    Between,
    Compare,
    Expr,
    Has,
    Not,
    Reference,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    walk,
)
from audience.language.attribute_names import UNTYPED, own_key_type
from audience.language.printer import render
from audience.vendors.onesignal.fields import (
    EXISTENCE,
    FIELDS_BY_TYPE,
    LIMITS,
    MAX_ENTRIES,
    can_be_missing,
    canonical_value,
    field_of,
    is_ordered,
    key_of,
    relation_problems,
    type_problems,
    value_problems,
)
from audience.vendors.onesignal.filter_reading import FILTER, parse_filter
from audience.vendors.onesignal.time_filters import emit_time, is_time, time_problems
from audience.vendors.payload_reader import PayloadCursor
from audience.vendors.relative_times import split_range
from audience.vendors.spec import Payload, Unsupported

MAX_BRANCHES_TRIED = 2_000  # each takes an entry at least, but those that no device can match are left out
OR_ENTRY: Payload = {"operator": "OR"}
RELATIONS_OF_COMPARISON = {">": (">",), "<": ("<",), ">=": (">", "="), "<=": ("<", "=")}  # any of them holds
RELATIONS_OF_NEGATION = {">": ("<", "="), "<": (">", "="), ">=": ("<",), "<=": (">",)}  # if there is a value

Filters: TypeAlias = list[Payload]


class Subject(NamedTuple):
    """Field of a filter, and the key of a tag."""

    field: str
    key: str = ""

    def filter(self, relation: str, value: str | None = None) -> Payload:
        """Return a filter that asks for *relation*."""
        key = {"key": self.key} if self.key else {}
        return {"field": self.field, **key, "relation": relation, **({} if value is None else {"value": value})}


def emit_filters(expr: Expr) -> Filters:
    """Return the filters for *expr*; raise Unsupported with every reason.

    >>> from audience.language.parser import parse
    >>> def show(text):
    ...     return " | ".join(" ".join(entry.values()) for entry in emit_filters(parse(text)))
    >>> show("vip AND NOT city:Rome")
    'tag vip exists | tag city != Rome | OR | tag vip exists | tag city not_exists'
    >>> show("has(city) AND NOT city:Rome"), show("age >= 18")
    ('tag city exists | tag city != Rome', 'tag age > 18 | OR | tag age = 18')
    """
    problems = [*expr_problems(expr), *key_clash_problems(expr)]
    if problems:
        raise Unsupported(problems)
    try:
        clauses = dnf(expr, max_clauses=MAX_ENTRIES).clauses
    except ComplexityError as error:
        raise Unsupported(error.problems) from error
    if not clauses or () in clauses:
        raise Unsupported([Problem("no-condition", "it matches everyone or no device, which filters cannot express")])
    if problems := list(dict.fromkeys(chain.from_iterable(map(_clause_problems, clauses)))):
        raise Unsupported(problems)
    branches = list(_iter_branches(clauses))
    if not branches:
        raise Unsupported([Problem("nobody", "no device can match it", hint="send nothing")])
    return branches[0] + [entry for branch in branches[1:] for entry in (OR_ENTRY, *branch)]


def count_entries(clauses: Sequence[Clause]) -> int:
    """Return the number of filters and ORs that *clauses* of tags take, or more than the maximum if they cannot be.

    >>> count_entries([(Tag("tag", "vip"), Not(Tag("city", "Rome")))])
    5
    """
    if any(key_clash_problems(any_of(map(all_of, clauses)))) or any(map(_clause_problems, clauses)):
        return MAX_ENTRIES + 1
    try:
        branches = list(_iter_branches(clauses))
    except Unsupported:
        return MAX_ENTRIES + 1
    return sum(map(len, branches)) + len(branches) - 1


def _iter_branches(clauses: Iterable[Clause]) -> Iterator[Filters]:
    """Yield lists of filters, any of which may hold; raise Unsupported if they are too many."""
    seen: set[frozenset[tuple[Any, ...]]] = set()
    count = -1
    for tried, branch in enumerate(chain.from_iterable(map(_expand_clause, clauses))):
        content = frozenset(tuple(sorted(entry.items(), key=str)) for entry in branch)
        if content not in seen and not _is_contradictory(branch):
            seen.add(content)
            count += len(branch) + 1
            yield branch
        if LIMITS["entries"].is_exceeded_by(count) or tried > MAX_BRANCHES_TRIED:
            message = f"more than {MAX_ENTRIES} filters and operators; NOT of a value takes two of them"
            raise Unsupported([Problem("too-many", message)])


def _expand_clause(clause: Clause) -> Iterator[Filters]:
    """Yield the lists of filters of *clause*, any of which may hold.

    NOT city:Rome                     city != Rome, or city not_exists
    has(city) AND NOT city:Rome       city exists AND city != Rome
    NOT has(city) AND NOT city:Rome   city not_exists
    age >= 18                         age > 18, or age = 18
    NOT age >= 18                     age < 18, or age not_exists
    age between 18 and 25             age > 18 or = 18, and age < 25 or = 25
    NOT age between 18 and 25         age < 18, or age > 25, or age not_exists
    """
    positive = [literal for literal in clause if not isinstance(literal, Not)]
    negative = [literal.term for literal in clause if isinstance(literal, Not)]
    missing = {_subject(term): _emit_existence(term, "not_exists") for term in negative if _is_existence(term)}
    present = {_subject(literal) for literal in positive if not isinstance(literal, Reference)}
    if present & missing.keys():
        return
    choices = [choice for literal in positive for choice in _positive_choices(literal)]
    required = [*(choice[0] for choice in choices if len(choice) == 1), *missing.values()]
    excluded: dict[Subject, list[list[Payload]]] = {}
    for term in negative:
        if not _is_existence(term) and _subject(term) not in missing:
            excluded.setdefault(_subject(term), []).append(_negative_filters(term))
    alternatives: list[list[Filters]] = [[[entry] for entry in choice] for choice in choices if len(choice) > 1]
    for subject, filters in excluded.items():
        ways = [list(way) for way in product(*filters)]
        hedge = [] if subject in present else [[subject.filter("not_exists")]]
        alternatives.append([*ways, *hedge])
    for chosen in product(*alternatives):
        yield list({tuple(entry.items()): entry for entry in chain(required, *chosen)}.values())


def _is_existence(atom: Expr) -> bool:
    return isinstance(atom, Has) or (isinstance(atom, Tag) and atom.type == UNTYPED)


def _subject(atom: Expr) -> Subject:
    """Return the field and key of *atom*, which is a tag, a comparison or `has`."""
    match atom:
        case Tag(type="tag", value=key):
            return Subject("tag", key)
        case Tag(type=type_) | Compare(type=type_) | Between(type=type_) | Has(type=type_):
            return Subject(FIELDS_BY_TYPE[type_]) if type_ in FIELDS_BY_TYPE else Subject("tag", key_of(type_))
    raise AssertionError(atom)


def _emit_existence(atom: Expr, relation: str) -> Payload:
    return _subject(atom).filter(relation)


def _positive_choices(atom: Expr) -> list[list[Payload]]:
    """Return lists of filters; a device fits *atom* if at least one filter of every list holds."""
    match atom:
        case Compare() | Between() if is_time(atom):
            return [[entry] for entry in emit_time(atom)]
        case Between():
            return [_positive_filters(compare) for compare in split_range(atom)]
    return [_positive_filters(atom)]


def _positive_filters(atom: Expr) -> list[Payload]:
    """Return filters, any of which may hold."""
    match atom:
        case Reference(value=value):
            return [json.loads(value)]
        case Compare(operator=operator, value=value):
            return [_subject(atom).filter(relation, value) for relation in RELATIONS_OF_COMPARISON[operator]]
        case Tag(type=type_, value=value) if type_ != UNTYPED:
            return [_subject(atom).filter("=", canonical_value(type_, value))]
    return [_emit_existence(atom, "exists")]


def _negative_filters(atom: Expr) -> list[Payload]:
    """Return filters, any of which may hold for a device with another value."""
    match atom:
        case Compare(operator=operator, value=value):
            return [_subject(atom).filter(relation, value) for relation in RELATIONS_OF_NEGATION[operator]]
        case Between():
            return [entry for compare in split_range(atom) for entry in _negative_filters(compare)]
        case Tag(type=type_, value=value):
            return [_subject(atom).filter("!=", canonical_value(type_, value))]
    raise AssertionError(atom)


def _is_contradictory(branch: Filters) -> bool:
    """Return whether no device can match *branch*: it asks for a value, and for one that is not it."""
    values = {(entry["field"], entry.get("key"), entry["value"]) for entry in branch if entry.get("relation") == "="}
    if len(values) > len({(field, key) for field, key, _ in values}):
        return True
    return any(
        entry.get("relation") in ("!=", "<", ">") and (entry["field"], entry.get("key"), entry.get("value")) in values
        for entry in branch
    )


# Why an expression cannot be written. -------------------------------------------------------------------------------


def expr_problems(expr: Expr) -> Iterator[Problem]:
    """Yield why the parts of *expr*, a normalized expression, cannot be filters."""
    for node in walk(expr):
        match node:
            case Not(term=Reference(kind="filter") as reference):
                message = f"{render(node)!r}: OneSignal's filters have no NOT for it"
                yield Problem("not-over-reference", message, reference.span)
            case Not(term=Compare() | Between() as time) if is_time(time):
                message = f"{render(node)!r}: OneSignal's filters have no NOT for it"
                yield Problem("not-over-reference", message, time.span, hint="write the opposite condition")
            case Not(term=Compare() | Between() as compare):
                yield from relation_problems(compare, _relations_of(compare, RELATIONS_OF_NEGATION))
            case Not(term=Tag() as tag) if tag.type != UNTYPED:
                yield from relation_problems(tag, ["!="])
            case Not(term=Has() as has):
                yield from relation_problems(has, EXISTENCE)
            case Reference():
                yield from _reference_problems(node)
            case Tag() | Compare() | Between() | Has() | Within():
                yield from _atom_problems(node)


def _relations_of(atom: Compare | Between, relations: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the relations that a comparison needs, or those of both ends of a range."""
    compares = split_range(atom) if isinstance(atom, Between) else [atom]
    return list(dict.fromkeys(relation for compare in compares for relation in relations[compare.operator]))


def _atom_problems(atom: Tag | Compare | Between | Has | Within) -> Iterator[Problem]:
    if not isinstance(atom, Within):
        yield from type_problems(atom)
    match atom:
        case Within(span=span):
            message = f"{render(atom)!r} is a range of days; OneSignal compares numbers and versions"
            yield Problem("no-ranges", message, span)
        case Compare() | Between() if is_time(atom):
            yield from time_problems(atom)
        case Compare() | Between():
            yield from relation_problems(atom, _relations_of(atom, RELATIONS_OF_COMPARISON))
            values = [atom.value] if isinstance(atom, Compare) else [atom.low, atom.high]
            for value in (value for value in values if not is_ordered(atom.type, value)):
                message = f"{render(atom)!r}: OneSignal compares numbers, and {value!r} is not a number"
                yield Problem("no-ranges", message, atom.span)
        case Has():
            yield from relation_problems(atom, EXISTENCE)
        case Tag(type=type_) if type_ != UNTYPED:
            yield from _value_problems(atom)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Yield why OneSignal cannot have *tag*."""
    yield from type_problems(tag)
    yield from _value_problems(tag)


def _value_problems(tag: Tag) -> Iterator[Problem]:
    yield from relation_problems(tag, ["="])
    yield from value_problems(tag)


def _reference_problems(reference: Reference) -> Iterator[Problem]:
    """Yield why *reference* is not a filter as it is read."""
    if reference.kind != FILTER:
        return
    try:
        entry = json.loads(reference.value)
        is_filter = parse_filter(PayloadCursor(entry)).without_key == reference
    except (ValueError, PayloadError):
        is_filter = False
    if not is_filter:
        message = f"{render(reference)!r} is not a filter that only OneSignal can evaluate"
        hint = 'write it like {"field":"last_session","relation":"<","hours_ago":"24"}'
        yield Problem("bad-reference", message, reference.span, hint=hint)


def key_clash_problems(expr: Expr) -> Iterator[Problem]:
    """Yield a problem for each key that has two meanings: an untyped tag and an attribute, or two attributes."""
    types_by_key: dict[str, dict[str, Atom]] = {}
    for atom in atoms(expr):
        match atom:
            case Tag(type=type_) | Compare(type=type_) | Between(type=type_) | Has(type=type_) if (
                field_of(type_) is None
            ):
                types_by_key.setdefault(_subject(atom).key, {}).setdefault(type_, atom)
            case Reference(kind="filter") if key := _elapsed_key(atom):
                types_by_key.setdefault(key, {}).setdefault(own_key_type(key), atom)
    for key, types in types_by_key.items():
        if len(types) > 1:
            message = f"{key!r} is used alone and with values; at OneSignal a device with a value has the key"
            span = next(iter(types.values())).span
            yield Problem("key-clash", message, span, hint="give one of them another name in a catalog")


def _elapsed_key(reference: Reference) -> str | None:
    """Return the key of a reference to a filter on a tag."""
    try:
        entry = json.loads(reference.value)
    except ValueError:
        return None
    return entry.get("key") if isinstance(entry, dict) and entry.get("field") == "tag" else None


def _clause_problems(clause: Clause) -> list[Problem]:
    return [*_two_values_problems(clause), *_negated_field_problems(clause)]


def _negated_field_problems(clause: Clause) -> list[Problem]:
    """Return a problem for each NOT over a field that *clause* does not ask for and that has no `not_exists`."""
    present = {atom.type for atom in clause if isinstance(atom, Tag | Compare | Between)}
    problems = []
    for atom in (literal.term for literal in clause if isinstance(literal, Not)):
        if isinstance(atom, Tag | Compare | Between) and atom.type not in present and not can_be_missing(atom.type):
            field = FIELDS_BY_TYPE[atom.type]
            message = f"NOT {render(atom)}: whether != matches a device without {field} is not documented"
            problems.append(Problem("not-over-field", message, atom.span))
    return problems


def _two_values_problems(clause: Clause) -> list[Problem]:
    """Return a problem for each tag of *clause* with another value of the key of an earlier tag."""
    tags = [literal for literal in clause if isinstance(literal, Tag) and literal.type != UNTYPED]
    first: dict[Subject, Tag] = {}
    problems = []
    for tag in tags:
        other = first.setdefault(_subject(tag), tag)
        if canonical_value(tag.type, tag.value) != canonical_value(other.type, other.value):
            message = f"{render(other)} AND {render(tag)}: at OneSignal a device has one value of a key"
            problems.append(Problem("two-values", message, tag.span))
    return problems
