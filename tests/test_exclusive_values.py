"""Exclusive values are proved as codes of a few variables; the answers are those of an enumeration of all devices."""

from decimal import Decimal, InvalidOperation

from hypothesis import given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import Tag, parse
from audience.algebra.constraints import AttributeConstraints, ValueKeys, simplify_with_constraints
from audience.algebra.equivalence import find_partition_violation
from audience.language.ast import bare
from audience.testing.oracle import devices_of_all_tag_sets, is_inside

CITIES = [Tag("city", value) for value in ("a", "b", "c", "d")]
SIZES = [Tag("size", value) for value in ("30", "30.0", "3e1", "18", "x")]


def number_key(text):
    """Return the number *text*, or the text if it is none."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def text_key(text):
    """Return *text*: tags of versions are equal only if their texts are."""
    return text


VALUE_KEYS = ValueKeys(tag=number_key, operand=number_key, overlap=number_key)
VERSION_KEYS = ValueKeys(tag=text_key, operand=number_key, overlap=number_key)
constraints_of_both = st.builds(
    lambda exclusive, exhaustive, keys: AttributeConstraints(
        frozenset(exclusive), frozenset(exhaustive), {"city": ("a", "b", "c", "d", "e"), "size": ("18", "30.0")}, keys
    ),
    st.sets(st.sampled_from(["city", "size"])),
    st.sets(st.sampled_from(["city", "size"])),
    st.sampled_from([{}, {"size": VALUE_KEYS}, {"size": VERSION_KEYS}]),
)
exprs = boolean_exprs(st.sampled_from([*CITIES, *SIZES, bare("vip")]), max_leaves=8)
ALL_TAGS = [*CITIES, Tag("city", "e"), *SIZES, bare("vip")]


def possible_devices(constraints):
    """Return every device that *constraints* allow."""
    devices = []
    for device in devices_of_all_tag_sets(ALL_TAGS):
        tags = [Tag(*tag) for tag in device.tags]
        if any(constraints.are_exclusive(lhs, rhs) for lhs in tags for rhs in tags):
            continue
        if is_consistent(device, constraints) and all(
            has_listed_value(tags, type_, constraints) for type_ in constraints.exhaustive
        ):
            devices.append(device)
    return devices


def has_listed_value(tags, type_, constraints):
    """Return whether one of *tags* is a value that *constraints* list for *type_*."""
    keys = constraints.keys.get(type_)
    key = keys.tag if keys else text_key
    listed = set(map(key, constraints.values[type_]))
    return any(key(tag.value) in listed for tag in tags if tag.type == type_)


def is_consistent(device, constraints):
    """Return whether *device* has all spellings of each of its values, or none."""
    spellings = {}
    for tag in ALL_TAGS:
        if tag.type in constraints.keys:
            spellings.setdefault((tag.type, constraints.keys[tag.type].tag(tag.value)), set()).add(
                (tag.type, tag.value)
            )
    return all(same <= device.tags or not same & device.tags for same in spellings.values())


@given(exprs, st.lists(exprs, min_size=1, max_size=3), constraints_of_both)
def test_proof_by_codes_equals_enumeration(target, parts, constraints):
    violation = find_partition_violation(target, parts, constraints)
    violating = [
        device
        for device in possible_devices(constraints)
        if sum(is_inside(part, device) for part in parts) != is_inside(target, device)
    ]
    assert (violation is None) == (not violating)


@given(exprs, constraints_of_both)
def test_simplified_expression_means_the_same(expr, constraints):
    simplified = simplify_with_constraints(expr, constraints)
    for device in possible_devices(constraints):
        assert is_inside(simplified, device) == is_inside(expr, device)


def test_thousands_of_exclusive_values_are_proved():
    text = " OR ".join(f"city:c{number}" for number in range(1_600))
    constraints = AttributeConstraints(frozenset({"city"}))
    halves = [f"({text}) AND vip", f"({text}) AND NOT vip AND NOT city:x"]
    assert find_partition_violation(parse(text), list(map(parse, halves)), constraints) is None
    assert find_partition_violation(parse(f"{text} OR city:x"), list(map(parse, halves)), constraints) == {
        Tag("city", "x")
    }
