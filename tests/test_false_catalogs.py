"""Random plans with catalogs that are false: each device of the audience gets one request, and no other gets any.

The table is the truth about the devices. At the vendor they have what the catalog declares, under the declared names;
tags of other names there are on other devices. An oracle of sets decides who is reached.
"""

from collections import Counter
from fnmatch import fnmatchcase
from fractions import Fraction
from random import Random
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from sizes import scale
from strategies import SEEDS, TOP_SEED, boolean_exprs, bucket_of, percents

from audience import (
    And,
    Between,
    Compare,
    DeviceIndex,
    Everyone,
    Except,
    Has,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Sample,
    Tag,
    Threshold,
    Top,
    get_vendor,
    plan,
    render,
)
from audience.language.ast import THRESHOLD_OPS, TOP_ORDERS
from audience.language.attribute_names import BUILTIN_TYPES
from audience.planning.catalog.loader import parse_catalog
from audience.vendors import vendor_names

VENDORS = vendor_names(can="emit")
VALUES = {
    "tag": ["a", "b", "province_x"],
    "province": ["x", "y", "z"],
    "language": ["zh", "en"],
    "age": ["10", "20", "30"],
    "platform": ["ios", "android"],
}
UNUSED = {"tag": "c", "province": "w", "language": "ja", "age": "40", "platform": "web"}
PAIRS = [(type_, value) for type_, values in VALUES.items() for value in values]
TABLE_COUNT, DEVICE_COUNT = 12, 14


def make_devices(seed: int) -> list[set[tuple[str, str]]]:
    """Return devices as sets of (type, value); every third table has several provinces, every second no gaps."""
    random = Random(seed)
    devices = []
    for _ in range(DEVICE_COUNT):
        device = {("tag", value) for value in VALUES["tag"] if random.random() < 0.5}
        for type_ in ("province", "language", "age", "platform"):
            count = 1 if seed % 2 or random.random() < 0.8 else 0
            count += type_ == "province" and seed % 3 == 0 and random.random() < 0.3
            device |= {(type_, value) for value in random.sample(VALUES[type_], count)}
        devices.append(device)
    return devices


def make_table(devices) -> pl.DataFrame:
    def values(device, type_):
        return sorted(value for other, value in device if other == type_)

    rows = [
        {
            "registration_id": f"r{at}",
            "tags": values(device, "tag"),
            "province": values(device, "province"),
            "language": next(iter(values(device, "language")), None),
            "age": next(map(int, values(device, "age")), None),
            "platform": next(iter(values(device, "platform")), None),
        }
        for at, device in enumerate(devices)
    ]
    schema = {"registration_id": pl.String, "tags": pl.List(pl.String), "province": pl.List(pl.String)}
    return pl.DataFrame(rows, schema={**schema, "language": pl.String, "age": pl.Int64, "platform": pl.String})


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Tables with their indexes."""
    folder = tmp_path_factory.mktemp("false")
    found = []
    for seed in range(TABLE_COUNT):
        devices = make_devices(seed)
        index = DeviceIndex.build(make_table(devices), folder / f"{seed}.index", typed=["province"])
        found.append(SimpleNamespace(devices=devices, index=index))
    return found


OPERATORS = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__}


def is_inside(expr, device: set[tuple[str, str]]) -> bool:
    match expr:
        case Everyone() | Nobody():
            return isinstance(expr, Everyone)
        case Tag(type=type_, value=value):
            return (type_, value) in device
        case Compare(type=type_, operator=operator, value=bound):
            return any(OPERATORS[operator](int(value), int(bound)) for other, value in device if other == type_)
        case Between(type=type_, low=low, high=high):
            return any(int(low) <= int(value) <= int(high) for other, value in device if other == type_)
        case Matches(type=type_, pattern=pattern):
            return any(fnmatchcase(value, pattern) for other, value in device if other == type_)
        case Has(type=type_):
            return any(other == type_ for other, _ in device)
        case Not(term=term):
            return not is_inside(term, device)
        case And(terms=terms):
            return all(is_inside(term, device) for term in terms)
        case Or(terms=terms):
            return any(is_inside(term, device) for term in terms)
        case Except(term=term, excluded=excluded):
            return is_inside(term, device) and not is_inside(excluded, device)
        case Threshold(operator=operator, count=count, terms=terms):
            reached = sum(is_inside(term, device) for term in terms)
            return {"at least": reached >= count, "at most": reached <= count, "exactly": reached == count}[operator]
    raise AssertionError(expr)


ages = st.builds(Compare, st.just("age"), st.sampled_from(list(OPERATORS)), st.sampled_from(["10", "15", "20", "30"]))


bounds = st.sampled_from(["10", "15", "20", "30"])
age_ranges = st.builds(Between, st.just("age"), bounds, bounds)
TEXT_TYPES = ("province", "language")


def patterns(types):
    """Patterns of the values of the attributes *types*."""
    return st.builds(Matches, st.sampled_from(types), st.sampled_from(["x*", "?", "*h", "e?", "*w*"]))


def exprs(types):
    """Expressions of tags, comparisons and existence of the attributes *types*."""
    leaves = [st.sampled_from([Tag(type_, value) for type_, value in PAIRS if type_ in types])]
    leaves += [ages, age_ranges] if "age" in types else []
    texts = [type_ for type_ in TEXT_TYPES if type_ in types]
    leaves += [patterns(texts)] if texts else []
    leaves += [st.just(Has("province"))] if "province" in types else []
    operands = boolean_exprs(st.one_of(leaves), max_leaves=4)
    counted = st.builds(Threshold, st.sampled_from(THRESHOLD_OPS), st.just(1), st.tuples(operands, operands, operands))
    return boolean_exprs(st.one_of(*leaves, *leaves, counted, st.builds(Except, operands, operands)), max_leaves=6)


@st.composite
def declarations(draw, vendor: str, types):
    """Return what a catalog says of the attributes *types*, true or not."""
    found = {}
    for type_ in types:
        values = VALUES[type_]
        all_values = draw(st.permutations([*values, UNUSED[type_]]))
        listed = draw(st.none() | st.just(all_values) | st.lists(st.sampled_from(all_values), min_size=1, unique=True))
        ways = ["all", "some", "pattern", "pattern", "pattern and all", "table"]
        ways += ["none"] if draw(st.integers(0, 9)) == 0 else []
        ways += ["builtin"] * 4 if type_ in get_vendor(vendor).builtins else []
        found[type_] = SimpleNamespace(
            values=listed,
            exclusive=draw(st.booleans()),
            exhaustive=bool(listed) and draw(st.booleans()),
            way=draw(st.sampled_from(ways)),
            chosen=draw(st.lists(st.sampled_from([*values, "*", "?"]), min_size=1, unique=True)),
            named=draw(st.lists(st.sampled_from(values), min_size=1, unique=True)),
        )
    return found


def write_catalog(declared, vendor: str) -> str:
    lines = []
    for type_, says in declared.items():
        lines += [f"[{type_}]", f"exclusive = {str(says.exclusive).lower()}"]
        lines += [f"values = {says.values}"] if says.values else []
        lines += ["exhaustive = true"] if says.exhaustive else []
        lines += ['order = "number"'] if type_ == "age" else []
        lines += [f'at = ["{vendor}"]'] if says.way in ("all", "pattern and all") else []
        lines += [f"at = {{ {vendor} = {says.chosen} }}"] if says.way == "some" else []
        lines += [f'builtin = ["{vendor}"]'] if says.way == "builtin" else []
        lines += [f'names.{vendor} = "{type_}_{{value}}"'] if "pattern" in says.way else []
        names = ", ".join(f'{value} = "n_{type_}_{value}"' for value in says.named)
        lines += [f"names.{vendor} = {{ {names} }}"] if says.way == "table" else []
    return "\n".join(lines)


def name_at_vendor(type_: str, value: str, declared) -> tuple[str, str] | None:
    """Return the type and the value of a tag at the vendor; None if it is not declared to have it."""
    says = declared.get(type_)
    own = (f"attribute.{type_}" if type_ in BUILTIN_TYPES else type_, value)
    match says and says.way:
        case "builtin":
            return type_, value
        case "pattern" | "pattern and all":
            return "tag", f"{type_}_{value}"
        case "table":
            return ("tag", f"n_{type_}_{value}") if value in says.named else None
        case "all":
            return own
        case "some":
            return own if any(fnmatchcase(value, pattern) for pattern in says.chosen) else None
    return None


def devices_at_vendor(devices, declared, seed: int, vendor: str) -> list[set[tuple[str, str]]]:
    """Return the devices as the vendor knows them: what is declared, and tags of other names on other devices."""
    random = Random(seed)
    names = {pair: name_at_vendor(*pair, declared) for pair in PAIRS}
    others = {(prefix + type_, value) for type_, value in PAIRS for prefix in ("", "attribute.")} - {*names.values()}
    others |= {("tag", f"{type_}_{value}") for type_, value in PAIRS} - {*names.values()}
    known = [
        {name for pair in device if (name := names[pair])}
        | {other for other in sorted(others) if random.random() < 0.5}
        for device in devices
    ]
    return [device | key_tags(device) for device in known] if vendor == "onesignal" else known


def key_tags(device: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the keys of a device at OneSignal, each as the untyped tag that its payloads are read as.

    What the vendor knows by itself, such as the language, is no key.
    """
    own_types = {type_ for type_, _ in device if type_ != "tag" and type_ not in BUILTIN_TYPES}
    return {("tag", type_.removeprefix("attribute.")) for type_ in own_types}


@settings(max_examples=scale(150, 10_000), deadline=None)
@given(st.data())
def test_plan_with_false_catalog_reaches_audience_once(tables, data):
    vendor = data.draw(st.sampled_from(VENDORS))
    number = data.draw(st.integers(0, TABLE_COUNT - 1))
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3, unique=True))
    declared, expr = data.draw(declarations(vendor, types)), data.draw(exprs(types))
    devices, index = tables[number].devices, tables[number].index
    text = write_catalog(declared, vendor)
    found = plan(expr, vendor, index, parse_catalog(text))
    codes = {problem.code for problem in (*found.reasons, *found.assumptions)}
    event(next((code for code in ("catalog-contradicted", "not-at-vendor") if code in codes), "other"))
    event(f"native {bool(found.native)}")
    native = [get_vendor(vendor).parse(payload) for payload in found.native]
    known = devices_at_vendor(devices, declared, number, vendor)
    reached = Counter(at for part in native for at, device in enumerate(known) if is_inside(part, device))
    if found.by_ids is not None:
        reached += Counter(at for at, device in enumerate(devices) if is_inside(found.by_ids, device))
    wanted = Counter(at for at, device in enumerate(devices) if is_inside(expr, device))
    assert reached == wanted, f"{render(expr)} to {vendor}, table {number}\n{text}\n{found}"


# Samples, limits and the devices with the largest values. ------------------------------------------------------------


def find_inside(expr, devices) -> set[int]:
    """Return the devices of *expr*, which may ask how many others are inside."""
    match expr:
        case Sample(percent=percent, seed=seed):
            return {at for at in range(len(devices)) if bucket_of(f"r{at}", seed) < Fraction(percent) / 100}
        case Limit(term=term, count=count, seed=seed):
            return set(sorted(find_inside(term, devices), key=lambda at: bucket_of(f"r{at}", seed))[:count])
        case Top(term=term, count=count, order=order):
            ages = {
                at: int(value) for at in find_inside(term, devices) for type_, value in devices[at] if type_ == "age"
            }
            in_order = sorted(ages, key=lambda at: bucket_of(f"r{at}", TOP_SEED))
            in_order.sort(key=ages.__getitem__, reverse=order == "top")
            return set(in_order[:count])
        case Not(term=term):
            return {*range(len(devices))} - find_inside(term, devices)
        case Except(term=term, excluded=excluded):
            return find_inside(term, devices) - find_inside(excluded, devices)
        case And(terms=terms):
            return set.intersection(*(find_inside(term, devices) for term in terms))
        case Or(terms=terms):
            return set.union(*(find_inside(term, devices) for term in terms))
        case Threshold(operator=operator, count=count, terms=terms):
            counts = Counter(at for term in terms for at in find_inside(term, devices))
            compare = {"at least": int.__ge__, "at most": int.__le__, "exactly": int.__eq__}[operator]
            return {at for at in range(len(devices)) if compare(counts[at], count)}
    return {at for at, device in enumerate(devices) if is_inside(expr, device)}


def limited_exprs(types):
    """Expressions of tags of the attributes *types*, in which samples, limits and `top` stand anywhere."""
    samples = st.builds(Sample, percents(), st.sampled_from(SEEDS))
    sizes = st.integers(1, DEVICE_COUNT)

    def limit(operands):
        return st.builds(Limit, operands, sizes, st.sampled_from(SEEDS)) | st.builds(
            Top, operands, sizes, st.just("age"), st.sampled_from(TOP_ORDERS)
        )

    inner = exprs(types) | samples | limit(exprs(types))
    counted = st.builds(Threshold, st.sampled_from(THRESHOLD_OPS), st.just(2), st.tuples(inner, inner, inner))
    joined = boolean_exprs(inner | counted | st.builds(Except, inner, inner), max_leaves=3)
    return joined | limit(joined)


@settings(max_examples=scale(40, 10_000), deadline=None)
@given(st.data())
def test_plan_with_limits_reaches_the_chosen_devices_once(tables, data):
    vendor = data.draw(st.sampled_from(VENDORS))
    number = data.draw(st.integers(0, TABLE_COUNT - 1))
    types = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3, unique=True))
    declared, expr = data.draw(declarations(vendor, types)), data.draw(limited_exprs(types))
    devices, index = tables[number].devices, tables[number].index
    text = write_catalog(declared, vendor)
    found = plan(expr, vendor, index, parse_catalog(text))
    event(f"native {bool(found.native)}, by ids {found.by_ids is not None}")
    known = devices_at_vendor(devices, declared, number, vendor)
    reached = Counter(at for payload in found.native for at in find_inside(get_vendor(vendor).parse(payload), known))
    if found.by_ids is not None:
        by_ids = find_inside(found.by_ids, devices)
        assert {*index.resolve(found.by_ids).ids()} == {f"r{at}" for at in by_ids}
        reached += Counter(by_ids)
    wanted = Counter(find_inside(expr, devices))
    assert reached == wanted, f"{render(expr)} to {vendor}, table {number}\n{text}\n{found}"
