"""An illegal name refuses that name alone; a check reports all of them, with the lines of a TOML parser's keys."""

import tomllib

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from audience import CatalogError, PayloadError, get_vendor, plan
from audience.planning.catalog.check import load_catalog, validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.planning.catalog.positions import find_key_lines
from audience.planning.catalog.vendor_names import with_catalog_names

CATALOG_TEXT = """
[province]
values = ["hunan", "si-chuan"]
exclusive = true
names.engagelab = "{type}_{value}"
names.emas = "{type}_{value}"

[city]
names.jpush = "no value"
names.emas = "{value}"
names.tpns = "{value:%-d}_x"
names.umeng = "{value}_{value}"
"""


@pytest.fixture
def catalog(tmp_path):
    """A catalog in which some names are not legal at some vendors."""
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG_TEXT)
    return load_catalog(file)


def test_legal_names_work_beside_illegal_ones(catalog):
    assert plan("province:hunan", "engagelab", catalog=catalog).native == ({"to": {"tag": ["province_hunan"]}},)
    assert plan("province:si-chuan", "tpns", catalog=catalog).reasons == plan("province:si-chuan", "tpns").reasons


@pytest.mark.parametrize(
    ("text", "vendor", "code", "message"),
    [
        ("province:si-chuan", "engagelab", "illegal-name", "catalog, line 5: province:si-chuan: 'province_si-chuan'"),
        ("province:hunan OR province:si-chuan", "engagelab", "illegal-name", "catalog, line 5"),
        ("NOT province:hunan", "engagelab", "not-alone", ""),
        ("city:x", "jpush", "not-reversible", "catalog, line 9: 'no value' gives all values the same name"),
        ("city:x", "emas", "not-reversible", "catalog, line 10: '{value}' matches every untyped tag"),
        ("city:2020-04-08", "tpns", "not-reversible", "catalog, line 11: '{value:%-d}_x' is not a day"),
        ("city:x", "umeng", "not-reversible", "catalog, line 12"),
        ("x", "emas", "ambiguous-name", ""),
    ],
)
def test_illegal_name_goes_by_ids_with_its_line(catalog, text, vendor, code, message):
    result = plan(text, vendor, catalog=catalog)
    [reason] = [problem for problem in result.reasons if problem.code == code]
    assert result.native == () or result.by_ids is not None
    assert message in reason.message


def test_payload_of_ambiguous_pattern_is_not_read(catalog):
    with pytest.raises(PayloadError, match="matches every untyped tag"):
        with_catalog_names(get_vendor("emas"), catalog).parse({"Target": "TAG", "TargetValue": "x"})


def test_check_reports_every_illegal_name_with_its_rule(tmp_path, audience):
    (tmp_path / "catalog.toml").write_text(CATALOG_TEXT)
    code, _, err = audience("catalog", "check", str(tmp_path / "catalog.toml"))
    assert code == 2
    for words in ("line 5", "use letters, digits, _ and Chinese only", "line 9", "line 10", "line 11", "line 12"):
        assert words in err


@pytest.mark.parametrize("text", ["[a]\nnames.engagelba = 'x_{value}'", "[a]\nvalues = 3", "[a"])
def test_structural_errors_refuse_the_file(tmp_path, text):
    (tmp_path / "catalog.toml").write_text(text)
    with pytest.raises(CatalogError):
        load_catalog(tmp_path / "catalog.toml")


def test_clash_of_many_attributes_is_found():
    text = "".join(f"[a{number}]\nnames.emas = 'a{number}_{{value}}'\n" for number in range(800))
    validate_catalog(parse_catalog(text))
    with pytest.raises(CatalogError, match="line 1602: c:x and a7:x are both named a7_x at emas"):
        validate_catalog(parse_catalog(f"{text}[c]\nnames.emas = {{ x = 'a7_x' }}"))


keys = st.sampled_from(["a", "b-c", "d e", "x.y", '"', "'", "é", "#", "[t]", "=", "\n", "\\", "\t"])
scalars = st.one_of(
    st.integers(-5, 5),
    st.booleans(),
    st.floats(-5, 5),
    st.dates(),
    st.sampled_from(["", "a", "[x]", "a = 1", "#", '"""', "'''", "a\nb", "{", "]"]),
)
toml_values = st.recursive(
    scalars, lambda values: st.lists(values, max_size=3) | st.dictionaries(keys, values, max_size=3), max_leaves=6
)
toml_documents = st.dictionaries(keys, st.dictionaries(keys, toml_values, max_size=3) | toml_values, max_size=4)


def iter_paths(value, path=()):
    """Yield the path of every key and element inside *value*, but not inside arrays that hold tables."""
    if isinstance(value, list) and any(isinstance(element, dict) for element in value):
        return
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from iter_paths(child, (*path, key))


@given(toml_documents)
def test_lines_of_all_keys_are_found(document):
    text = tomlkit.dumps(document)
    assert set(iter_paths(tomllib.loads(text))) <= find_key_lines(text).keys()


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("[a]\n'b' = 1\n[c] # [d]\nb = 2", ("c", "b"), 4),
        ('a.values = [\n# [b]\n"x", # ]\n"y",\n]\nc = 1', ("a", "values", 1), 4),
        ('a = """\n[b]\nc = 1\n"""\n[b]\nc = 2', ("b", "c"), 6),
        ("a = '''\n[b]'''\n[b]\nc = { d = 1, 'e' = 2 }", ("b", "c", "e"), 4),
        ('["a\\u0041"]\nx = 1', ("aA", "x"), 2),
        ("[a]\r\nb = 1\r\nc = 2", ("a", "c"), 3),
    ],
)
def test_key_is_found_on_its_line(text, path, line):
    assert find_key_lines(text)[path] == line
