"""Read OneSignal's flat list of filters: AND before OR, and no brackets.

https://documentation.onesignal.com/reference/create-segments, from a public copy, read 2026-11-21.

A key that occurs with values is an attribute: `exists` is `has(KEY)`. A key that only exists or not is an untyped tag.
Whether `!=` matches a device without the key is not documented. It is read as NOT, as the page's examples use it, with
a warning where that matters.
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from audience.algebra.constraints import AttributeConstraints
from audience.algebra.equivalence import find_partition_violation
from audience.errors import ComplexityError
from audience.language.ast import (
    Compare,
    CompareOp,
    Expr,
    Has,
    Not,
    Reference,
    Relative,
    Tag,
    all_of,
    any_of,
    atoms,
    bare,
    or_terms,
)
from audience.language.attribute_names import UNTYPED, own_key_type
from audience.language.suggest import did_you_mean
from audience.vendors.onesignal.fields import (
    ELAPSED,
    EXISTENCE,
    FIELDS,
    LIMITS,
    MAX_ENTRIES,
    OLD_FIELDS,
    ORDER,
    OTHER_KEYS,
    SESSION_TYPES,
    TAG_RELATIONS,
    canonical_value,
    is_ordered,
)
from audience.vendors.payload_reader import PayloadCursor, dump_json, format_number
from audience.vendors.relative_times import MINUTES_PER_HOUR, read_comparison, read_period
from audience.vendors.spec import WHITESPACE

FILTER = "filter"  # kind of the references to filters
TAG_KEYS = ("field", "key", "relation", "value")
FIELD_KEYS = ("field", "relation", "value")
SECONDS_PER_MINUTE = 60
PLAIN_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")
OR_ENTRY = '{"operator": "OR"}'


class FilterReadings(NamedTuple):
    """Meanings of a filter if `!=` matches a device without the key, and if it does not."""

    without_key: Expr
    with_key: Expr


Clauses: TypeAlias = Sequence[Sequence[FilterReadings]]


def parse_filters(filters: PayloadCursor) -> Expr:
    """Parse a union of intersections."""
    clauses = read_clauses(filters)
    exclusive = AttributeConstraints(exclusive=frozenset(_value_types(clauses)))
    kept = [clause for clause in map(_intersect_values, clauses) if clause is not None]
    if len(kept) < len(clauses):
        filters.warn("filters that ask for two values of one key match no device")
    without_key = any_of(all_of(reading.without_key for reading in clause) for clause in kept)
    with_key = any_of(all_of(reading.with_key for reading in clause) for clause in kept)
    if without_key != with_key and not _are_equivalent(without_key, with_key, exclusive):
        filters.warn(f"`!=` is read as NOT, which also matches a device without {_list_negated(kept)}")
    return _join_clauses([[reading.without_key for reading in clause] for clause in kept])


def depends_on_missing_keys(filters: PayloadCursor) -> list[str]:
    """Return the names whose absence decides what the `!=` of *filters* mean; none if both readings agree."""
    clauses = [clause for clause in map(_intersect_values, read_clauses(filters)) if clause is not None]
    without_key = any_of(all_of(reading.without_key for reading in clause) for clause in clauses)
    with_key = any_of(all_of(reading.with_key for reading in clause) for clause in clauses)
    exclusive = AttributeConstraints(exclusive=frozenset(_value_types(clauses)))
    if without_key == with_key or _are_equivalent(without_key, with_key, exclusive):
        return []
    return _list_negated(clauses).split(", ")


def read_clauses(filters: PayloadCursor) -> list[list[FilterReadings]]:
    """Read the filters of each intersection."""
    entries = _check_entries(filters)
    typed_keys = {
        str(entry["key"].value)
        for entry in entries
        if entry["field"].value == "tag" and entry["relation"].value not in EXISTENCE
    }
    clauses: list[list[FilterReadings]] = [[]]
    after_operator = True  # the first filter is joined to nothing
    for number, entry in enumerate(entries, 1):
        if "operator" not in entry:
            clauses[-1].append(parse_filter(entry, typed_keys))
            after_operator = False
            continue
        operator = _parse_operator(entry)
        if after_operator or number == len(entries):
            entry.fail("misplaced-operator", "an operator must be between two filters", "drop it, or add the filter")
        if operator == "OR":
            clauses.append([])
        after_operator = True
    return clauses


def _check_entries(filters: PayloadCursor) -> list[PayloadCursor]:
    """Return the entries of *filters*, which are objects and not too many."""
    if isinstance(filters.value, dict) and "field" in filters.value:
        filters.fail("wrong-type", "expected a list, found an object", "put it in a list: [{…}]")
    entries = filters.items()
    for entry in entries:
        if isinstance(entry.value, list):
            hint = f"write one list without brackets, and {OR_ENTRY} between the groups: AND comes before OR"
            entry.fail("wrong-type", "expected an object, found a list", hint)
        entry.object()
    ands = [entry for entry in entries if entry["operator"].value == "AND"]
    filters.check_limit(LIMITS["entries"], len(entries) - len(ands), "entries")
    if LIMITS["entries"].is_exceeded_by(len(entries)):
        filters.warn(f"OneSignal refuses more than {MAX_ENTRIES} filters and operators; the ANDs can be left out")
    return entries


def _parse_operator(entry: PayloadCursor) -> str:
    if "field" in entry:
        hint = f"write the filter, then {OR_ENTRY} as an entry of its own"
        entry["operator"].fail("misplaced-operator", "an operator cannot be inside a filter", hint)
    operator = entry.only(("operator",))["operator"]
    if operator.value not in ("AND", "OR"):
        message = f"expected AND or OR, found {operator.value!r}"
        operator.fail("unknown-value", message, did_you_mean(str(operator.value), ("AND", "OR")))
    return str(operator.value)


# Filters. -----------------------------------------------------------------------------------------------------------


def parse_filter(entry: PayloadCursor, typed_keys: Iterable[str] = ()) -> FilterReadings:
    """Parse one filter; *typed_keys* occur with values."""
    if "field" not in entry and "key" in entry:
        entry.fail("wrong-type", "missing key 'field'", 'write "field": "tag" beside the key')
    field = entry["field"].string()
    if field in OTHER_KEYS:
        return _parse_other(entry, OTHER_KEYS[field])
    if field == "tag":
        return _parse_tag_filter(entry, typed_keys)
    if field not in FIELDS:
        names = list(dict.fromkeys(["tag", *FIELDS, *OTHER_KEYS]))
        hint = did_you_mean(field, names) or f'a tag is {{"field": "tag", "key": "{field}", …}}'
        entry["field"].fail("unknown-value", f"unknown field {field!r}; OneSignal has {', '.join(names)}", hint)
    entry.only(FIELD_KEYS)
    relation = _parse_relation(entry, FIELDS[field].relations)
    return _parse_condition(FIELDS[field].type, relation, entry)


def _parse_relation(entry: PayloadCursor, relations: Sequence[str]) -> str:
    relation = entry["relation"].string()
    if relation in relations:
        return relation
    field = str(entry["field"].value)
    hints = {
        ">=": f'write the filter with ">", {OR_ENTRY}, and the filter with "="',
        "<=": f'write the filter with "<", {OR_ENTRY}, and the filter with "="',
        "==": 'write "="',
        "<>": 'write "!="',
    }
    suggestion = hints.get(relation) or did_you_mean(relation, relations)
    message = f"{field} has no relation {relation!r}; it has {', '.join(relations)}"
    entry["relation"].fail("unknown-value", message, suggestion)


def _parse_tag_filter(entry: PayloadCursor, typed_keys: Iterable[str]) -> FilterReadings:
    key = entry["key"].string()
    relation = _parse_relation(entry, TAG_RELATIONS)
    if relation in ELAPSED:
        return _parse_other(entry, TAG_KEYS)
    entry.only(TAG_KEYS)
    if relation in EXISTENCE:
        exists = Has(own_key_type(key)) if key in typed_keys else bare(key)
        return _same(exists if relation == "exists" else Not(exists))
    return _parse_condition(own_key_type(key), relation, entry)


def _parse_condition(type_: str, relation: str, entry: PayloadCursor) -> FilterReadings:
    """Parse a condition on the values of *type_*."""
    if relation in EXISTENCE:
        return _same(Has(type_) if relation == "exists" else Not(Has(type_)))
    value = parse_value(entry["value"])
    if relation in ORDER:
        if not is_ordered(type_, value):
            entry["value"].warn(f"OneSignal compares numbers; whether {value!r} is compared as text is not documented")
        return _same(Compare(type_, ORDER[relation], value))
    values = _parse_array(entry["value"]) if relation.endswith("in_array") else [value]
    tags = any_of(Tag(type_, canonical_value(type_, each)) for each in values)
    if relation in ("=", "in_array"):
        return _same(tags)
    #                     device without the key │ with another value │ with this value
    # without_key:                   yes         │        yes         │       no         NOT tag
    # with_key:                      no          │        yes         │       no         has(key) AND NOT tag
    return FilterReadings(Not(tags), all_of([Has(type_), Not(tags)]))


def _same(expr: Expr) -> FilterReadings:
    return FilterReadings(expr, expr)


def parse_value(value: PayloadCursor) -> str:
    """Parse a value, which may be a number, as text."""
    match value.value:
        case bool(flag):
            value.fail("wrong-type", "expected a string, found a boolean", f'write "{str(flag).lower()}"')
        case int() | float():
            return format_number(value.number())
        case list():
            hint = 'write "in_array" and one string with commas: "a,b"'
            value.fail("wrong-type", "expected a string, found a list", hint)
        case "":
            value.fail("empty-name", "expected a value, found an empty string", 'write "not_exists" for no value')
    return value.string()


def _parse_array(array: PayloadCursor) -> list[str]:
    values = parse_value(array).split(",")
    if not all(values):
        array.fail("empty-name", "expected a value between commas, found none")
    if any(value != value.strip(WHITESPACE) for value in values):
        array.fail("ambiguous", "whether white space beside a comma is part of a value is not documented", "drop it")
    array.check_limit(LIMITS["in_array"], len(values), "values")
    return values


# Filters on time, and those that are references. --------------------------------------------------------------------


def _parse_other(entry: PayloadCursor, keys: Sequence[str]) -> FilterReadings:
    """Parse a filter that counts from the moment of sending, or that only OneSignal can evaluate, which is kept."""
    field = str(entry["field"].value)
    if "hours_ago" in keys and "value" in entry and "hours_ago" not in entry:
        hint = f'write "hours_ago": "{entry["value"].value}"; every subscriber is "included_segments": ["All"]'
        entry["value"].fail("unknown-key", f"{field} has no value; it counts hours_ago", hint)
    entry.only(keys)
    for key in keys:
        if not (field == "email" and key == "relation"):
            entry.require(key)
    if "relation" in keys and "relation" in entry:
        _parse_relation(entry, _other_relations(field))
    for key in ("hours_ago", "radius", "lat", "long"):
        if key in keys:
            _check_number(entry[key])
    if "value" in keys:
        parse_value(entry["value"])
    if field in OLD_FIELDS:
        entry.warn(f"the filter {field} is in older lists of OneSignal only")
    if (moment := _read_time(entry)) is not None:
        return _same(moment)
    values = {key: parse_value(entry[key]) if key == "value" else entry[key].value for key in keys if key in entry}
    return _same(Reference("onesignal", FILTER, dump_json(values)))


def _read_time(entry: PayloadCursor) -> Relative | None:
    """Return the condition of a filter that counts from the moment of sending; None if no whole minutes say it.

    hours_ago "36", <            last_session within 36 hours: no session is later than now
    hours_ago "36", >            last_session < 36 hours ago
    time_elapsed_lt "129600"     seen > 36 hours ago, which a moment of the future is, too
    """
    field, relation = entry["field"].value, entry["relation"].value
    if field == "tag":
        seconds = _read_number(entry["value"])
        if seconds is None or seconds % SECONDS_PER_MINUTE:
            return None
        operator: CompareOp = ">" if relation == "time_elapsed_lt" else "<"
        return read_comparison(own_key_type(entry["key"].string()), operator, -int(seconds / SECONDS_PER_MINUTE))
    hours = _read_number(entry["hours_ago"]) if field in SESSION_TYPES else None
    if hours is None or hours < 0 or hours * MINUTES_PER_HOUR % 1:
        return None
    minutes = int(hours * MINUTES_PER_HOUR)
    return read_period(field, minutes) if relation == "<" else read_comparison(field, "<", -minutes)


def _read_number(value: PayloadCursor) -> Fraction | None:
    """Return the number that is written as *value*; None if it is no plain decimal."""
    text = parse_value(value)
    return Fraction(text) if PLAIN_NUMBER.fullmatch(text) else None


def _other_relations(field: str) -> Sequence[str]:
    if field == "tag":
        return ELAPSED
    return ("=",) if field == "email" else (*ORDER, "=") if field in OLD_FIELDS else tuple(ORDER)


def _check_number(cursor: PayloadCursor) -> None:
    """Fail unless the value is a number, or text of one."""
    text = parse_value(cursor)
    try:
        float(text)
    except ValueError:
        cursor.fail("unknown-value", f"expected a number, found {text!r}")


# What the filters mean together. ------------------------------------------------------------------------------------


def _value_types(clauses: Clauses) -> set[str]:
    exprs = [reading.without_key for clause in clauses for reading in clause]
    return {atom.type for expr in exprs for atom in atoms(expr) if isinstance(atom, Tag) and atom.type != UNTYPED}


def _intersect_values(clause: Sequence[FilterReadings]) -> list[FilterReadings] | None:
    """Return *clause* with one list of values for each key, or None if no device can have a value of all lists."""
    allowed: dict[str, list[Expr]] = {}
    others: list[FilterReadings] = []
    for reading in clause:
        tags = or_terms(reading.without_key)
        first = tags[0]
        if not isinstance(first, Tag) or first.type == UNTYPED:
            others.append(reading)
        elif first.type not in allowed:
            allowed[first.type] = list(dict.fromkeys(tags))
            others.append(reading)
        else:
            allowed[first.type] = [tag for tag in allowed[first.type] if tag in tags]
    if not all(allowed.values()):
        return None
    return [_replace_values(reading, allowed) for reading in others]


def _replace_values(reading: FilterReadings, allowed: dict[str, list[Expr]]) -> FilterReadings:
    first = or_terms(reading.without_key)[0]
    return _same(any_of(allowed[first.type])) if isinstance(first, Tag) and first.type in allowed else reading


def _are_equivalent(expr: Expr, other: Expr, exclusive: AttributeConstraints) -> bool:
    """Return whether two readings agree for every device, which has at most one value of a key."""
    try:
        return find_partition_violation(expr, [other], exclusive) is None
    except ComplexityError:
        return False


def _list_negated(clauses: Clauses) -> str:
    """List the keys and fields that `!=` asks for."""
    exprs = [reading.without_key for clause in clauses for reading in clause if reading.without_key != reading.with_key]
    types = dict.fromkeys(atom.type for expr in exprs for atom in atoms(expr) if isinstance(atom, Tag))
    return ", ".join(types)


def _join_clauses(clauses: list[list[Expr]]) -> Expr:
    """Return the union of *clauses*, shorter where two of them are one condition."""
    return any_of(map(all_of, _merge_comparisons(_drop_implied_clauses(clauses))))


def _merge_comparisons(clauses: list[list[Expr]]) -> list[list[Expr]]:
    """Return *clauses* with `>=` where two of them differ in `>` and `=` only, and `<=` likewise."""
    merged: list[list[Expr]] = []
    for clause in clauses:
        for position, other in enumerate(merged):
            if (joined := _merge_clauses(other, clause)) is not None:
                merged[position] = joined
                break
        else:
            merged.append(clause)
    return merged


def _merge_clauses(clause: list[Expr], other: list[Expr]) -> list[Expr] | None:
    """Return both clauses as one, or None if they differ in more than a comparison and its value."""
    ours = [term for term in clause if term not in other]
    theirs = [term for term in other if term not in clause]
    match sorted([*ours, *theirs], key=lambda term: isinstance(term, Tag)):
        case [Compare(type=type_, operator="<" | ">" as operator, value=value) as compare, Tag() as tag]:
            if len(ours) != 1 or tag != Tag(type_, value):
                return None
            either = Compare(type_, "<=" if operator == "<" else ">=", value)
            return [either if term in (compare, tag) else term for term in clause]
    return None


def _drop_implied_clauses(clauses: list[list[Expr]]) -> list[list[Expr]]:
    """Return *clauses* without those that another one implies: a device without the key has no value of it."""
    kept = list(clauses)
    for clause in clauses:
        if any(_is_implied(clause, other) for other in kept if other is not clause):
            kept = [each for each in kept if each is not clause]
    return kept


def _is_implied(clause: Sequence[Expr], other_clause: Sequence[Expr]) -> bool:
    """Return whether *other_clause* only adds NOTs of values of keys that are missing in *clause*."""
    rest = [literal for literal in other_clause if literal not in clause]
    missing = {literal.term.type for literal in clause if isinstance(literal, Not) and isinstance(literal.term, Has)}
    return bool(rest) and all(isinstance(term, Not) and _single_type(term.term) in missing for term in rest)


def _single_type(expr: Expr) -> str | None:
    """Return the type of which *expr* is a value, or any of several values; None if there are several types."""
    types = {atom.type for atom in atoms(expr) if isinstance(atom, Tag)} - {UNTYPED}
    return types.pop() if len(types) == 1 else None
