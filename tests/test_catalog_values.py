"""Catalogs compare numbers, days and versions as values, whatever their spelling; payloads have the catalog's one."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boolean_exprs

from audience import Compare, DeviceIndex, ExpressionError, Tag, Within, get_vendor, parse, plan, render
from audience.language.ast import atoms
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.catalog.vendor_names import with_catalog_names
from audience.planning.linter import lint
from audience.testing.oracle import OracleDevice, is_inside
from audience.vendors import vendor_names

CATALOG_TEXT = """
[age]
values = ["30.0", 18, 41.50]
order = "number"
exclusive = true
names.engagelab = { "30" = "thirty", "18" = "eighteen", "41.5" = "forty" }
names.emas = "age_{value}"
names.tpns = "age_{value}"

[active]
values = ["20200408", 2020-04-09, "2020-04-10"]
order = "date"
names.engagelab = "day_{value:%Y%m%d}"
names.emas = "{value:%d.%m.%Y}"
names.tpns = "day_{value}"

[version]
values = ["1.2", "1.2.0", "1.10"]
order = "version"
exclusive = true
names.emas = "v{value}"
"""
CATALOG = validate_catalog(parse_catalog(CATALOG_TEXT))
NUMBER_SPELLINGS = ["30", "30.0", "3e1", "18", "18.0", "41.5", "41.50", "7"]
DAY_SPELLINGS = ["2020-04-08", "20200408", "2020-04-09", "20200409", "2020-04-10", "2020-04-11"]
value_exprs = boolean_exprs(
    st.one_of(
        st.sampled_from(NUMBER_SPELLINGS).map(lambda value: Tag("age", value)),
        st.sampled_from(DAY_SPELLINGS).map(lambda value: Tag("active", value)),
        st.builds(Compare, st.just("age"), st.sampled_from(["<", ">="]), st.sampled_from(NUMBER_SPELLINGS)),
        st.builds(Within, st.just("active"), st.integers(1, 3), st.sampled_from(DAY_SPELLINGS)),
        st.just(Tag("tag", "vip")),
    ),
    max_leaves=8,
)
DEVICES = [
    OracleDevice(frozenset(tags), ages=ages, days=days)
    for tags in ((), {("tag", "vip")})
    for ages in ((), (18,), (30,), (41.5,))
    for days in ((), (date(2020, 4, 8),), (date(2020, 4, 9),), (date(2020, 4, 8), date(2020, 4, 10)))
]


@given(value_exprs)
def test_plan_is_exact_whatever_the_spelling(expr):
    for name in vendor_names(can="emit"):
        result = plan(expr, name, catalog=CATALOG)
        vendor = with_catalog_names(get_vendor(name), CATALOG)
        parts = result.add_id_part(vendor.parse(payload) for payload in result.native)
        for device in DEVICES:
            assert sum(is_inside(part, device) for part in parts) == is_inside(expr, device), (name, parts)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("age:30", ["age_30.0"]),
        ("age:3e1 OR age:18.0", ["age_30.0", "age_18"]),
        ("age < 18.50", ["age_18"]),
        ("active:2020-04-08", ["08.04.2020"]),
        ("active within 2 days of 20200409", ["08.04.2020", "09.04.2020"]),
        ("active:20200408 OR active:2020-04-08", ["08.04.2020"]),
        ("version >= 1.2", ["v1.2", "v1.2.0", "v1.10"]),
        ("version:1.2.0", ["v1.2.0"]),
    ],
)
def test_payload_has_the_spelling_of_the_catalog(text, names):
    [payload] = plan(text, "emas", catalog=CATALOG).native
    assert [tag.value for tag in atoms(get_vendor("emas").parse(payload))] == names


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("age:30 AND NOT age:30.0", ["always-nobody"]),
        ("age:30 AND age:18.0", ["always-nobody"]),
        ("age:30 AND age:30.0", ["redundant-branch", "redundant-branch"]),
        ("active:20200408 OR NOT active:2020-04-08", ["always-everyone"]),
        ("age < 30 AND NOT age < 30.0", ["always-nobody", "empty-range"]),
        ("age:30.00", []),
        ("age:31", ["not-in-catalog"]),
        ("version:1.2 AND version:1.10", ["always-nobody"]),
        ("version:1.2 AND version:1.2.0", []),
    ],
)
def test_lint_compares_values(text, codes):
    assert [problem.code for problem in lint(parse(text), catalog=CATALOG)] == codes


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index with a number, a day, a timestamp and a version of each device."""
    table = pl.DataFrame(
        {
            "token": ["a", "b", "c"],
            "age": [30.0, 18.0, 41.5],
            "active": [date(2020, 4, 8), date(2020, 4, 9), None],
            "version": ["1.2", "1.2.0", "1.10"],
        }
    )
    return DeviceIndex.build(table, tmp_path_factory.mktemp("values") / "index", versions=["version"])


def test_column_types_of_index_decide_which_values_are_equal(index):
    for text in ("age:30 AND NOT age:30.0", "active:20200408 AND NOT active:2020-04-08"):
        assert (plan(text, "tpns", index).native, plan(text, "tpns", index).by_ids) == ((), None)
        assert "always-nobody" in {problem.code for problem in lint(parse(text), index)}
    assert plan("version:1.2 AND NOT version:1.2.0", "tpns", index) != plan("nobody", "tpns", index)


def test_versions_of_equal_rank_are_not_missed(index):
    text = "version >= 1.2 AND NOT version > 1.2 AND NOT version:1.2"
    for catalog in (None, CATALOG):
        result = plan(text, "tpns", index, catalog)
        assert (index.count(text), index.count(result.by_ids)) == (1, 1)


@pytest.mark.parametrize("vendor", ["airship", "onesignal"])
def test_versions_are_not_compared_as_numbers(index, vendor):
    """A key of the customer is compared as a number; the vendor's own version as a version."""
    for line, is_native in ((f'at = ["{vendor}"]', False), (f'builtin = ["{vendor}"]', True)):
        ordered = parse_catalog(f'[version]\norder = "version"\n{line}')
        result = plan("version > 1.3", vendor, catalog=ordered)
        assert (bool(result.native), {problem.code for problem in result.reasons}) == (
            is_native,
            set() if is_native else {"no-ranges"},
        )
        by_index = plan("version > 1.3", vendor, index, ordered)
        assert (by_index.native == result.native) == is_native
        assert ("index-values" in {problem.code for problem in by_index.assumptions}) != is_native
        assert ("version-spelling" in {problem.code for problem in result.assumptions}) == is_native
    assert plan("age > 1.2", vendor, index, parse_catalog(f'[age]\nat = ["{vendor}"]')).native


@pytest.mark.parametrize("vendor", ["airship", "onesignal", "umeng"])
@pytest.mark.parametrize("text", ["version >= v1.2", "version <= 1.2rc1", "version between 1.2+x and 2"])
def test_versions_of_undocumented_order_are_not_compared_by_vendors(vendor, text):
    result = plan(text, vendor)
    assert (result.native, {problem.code for problem in result.reasons}) == ((), {"no-ranges"})


def test_digits_of_other_scripts_are_no_numbers(index):
    for text in ("age > １８", "age between 18 and ٢٥", "age = １８"):
        with pytest.raises(ExpressionError, match="bad-value"):
            index.count(text)


def test_column_type_completes_catalog_without_order(index):
    catalog = parse_catalog('[age]\nvalues = ["30.0", "18", "41.50"]\nexclusive = true\nnames.emas = "a{value}"')
    result = plan("age >= 30 AND NOT age:41.5", "emas", index, catalog)
    assert list(map(render, result.request_exprs)) == ["age:30.0"]


def test_text_column_keeps_texts_apart(tmp_path):
    table = pl.DataFrame({"registration_id": ["a", "b"], "age": ["30", "30.0"], "tags": [["x"], ["y"]]})
    index = DeviceIndex.build(table, tmp_path / "index", typed=["age"])
    catalog = parse_catalog('[age]\nvalues = ["30.0"]\norder = "number"\nnames.engagelab = "a{value}"')
    for text in ("age:30", "age:30.0", "age:30 AND NOT age:30.0"):
        result = plan(text, "engagelab", index, catalog)
        assert len(list(result.requests())) == 1, text


@pytest.mark.parametrize("day", ["0001-01-01", "0001-01-02", "0099-12-31", "9999-12-31"])
def test_first_and_last_days_are_planned(day):
    catalog = parse_catalog(
        '[active]\norder = "date"\nnames.engagelab = "d{value:%Y%m%d}"\nnames.emas = "{value:%d.%m.%Y}"'
    )
    for name in vendor_names(can="emit"):
        for text in (f"active within 3 days of {day}", f"active:{day}", f"active < {day}", f"active > {day}"):
            plan(text, name, catalog=catalog)
    [payload] = plan(f"active within 2 days of {day}", "engagelab", catalog=catalog).native
    assert f"d{day.replace('-', '')}" in payload["to"]["tag"]


@pytest.mark.parametrize(
    ("catalog_text", "outcome"),
    [
        ("", '"guangdong"'),
        ('[province]\nbuiltin = ["tpns"]', "ambiguous-name: list the values of province"),
        ('[province]\nnames.tpns = { "湖南" = "xg_auto_province.hunan" }', "no-name: names of tpns in [province]"),
        ('[province]\nvalues = ["广东", "湖南"]\nbuiltin = ["tpns"]', '"guangdong"'),
        ('[province]\nnames.tpns = { "广东" = "xg_auto_province.guangdong" }', '"guangdong"'),
    ],
)
def test_provinces_in_chinese_are_sent_natively_or_the_hint_says_how(catalog_text, outcome):
    result = plan("province:广东", "tpns", catalog=parse_catalog(catalog_text) if catalog_text else None)
    code, _, hint = outcome.partition(": ")
    if hint:
        assert (result.native, result.reasons[0].code) == ((), code)
        assert hint in result.reasons[0].hint
    else:
        assert outcome in str(result.native).replace("'", '"')
        assert not [each for each in result.assumptions if each.code == "builtin-values"]
