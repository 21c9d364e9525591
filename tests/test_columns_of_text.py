"""Text in columns that have a role, in tables of every format: empty text, and lists that are written as text."""

import polars as pl
import pytest

from audience import DeviceIndex, TableError

ROWS = {"registration_id": ["r1", "r2", "r3"], "x": ["{}", "", None]}
TYPED = {"numbers": ("30", "x = 30"), "dates": ("2020-04-08", "x = 2020-04-08"), "versions": ("1.2", "x = 1.2")}
WRITERS = {
    "frame": lambda frame, folder: frame,
    "parquet": lambda frame, folder: frame.write_parquet(folder / "x.parquet") or folder / "x.parquet",
    "ndjson": lambda frame, folder: frame.write_ndjson(folder / "x.ndjson") or folder / "x.ndjson",
    "csv": lambda frame, folder: frame.write_csv(folder / "x.csv") or folder / "x.csv",
}


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize("option", TYPED)
def test_empty_text_is_a_missing_value_in_every_format(option, format_, tmp_path):
    value, expr = TYPED[option]
    table = WRITERS[format_](pl.DataFrame(ROWS | {"x": [value, "", None]}), tmp_path)
    index = DeviceIndex.build(table, tmp_path / "index", **{option: ["x"]})
    assert (index.count(expr), index.count("x is null")) == (1, 2)


def test_empty_text_in_a_list_is_a_missing_value(tmp_path):
    table = pl.DataFrame({"registration_id": ["r1", "r2"], "n": [["3", ""], [""]], "d": [["", "2020-04-08"], []]})
    index = DeviceIndex.build(table, tmp_path / "index", numbers=["n"], dates=["d"])
    assert [index.count(expr) for expr in ("n = 3", "n is null", "d = 2020-04-08", "d is null")] == [1, 1, 1, 1]


def test_dates_of_ndjson_are_dates_although_some_are_empty(tmp_path):
    table = WRITERS["ndjson"](pl.DataFrame(ROWS | {"x": ["2020-04-08T10:00Z", "", None]}), tmp_path)
    assert DeviceIndex.build(table, tmp_path / "index").attributes["x"].role == "time"


def test_blank_text_is_no_number(tmp_path):
    with pytest.raises(TableError, match="should hold a number"):
        DeviceIndex.build(pl.DataFrame(ROWS | {"x": ["30", " ", None]}), tmp_path / "index", numbers=["x"])


WRITTEN_LISTS = [
    '["vip", "new"]',
    "['vip', 'new']",
    "[vip,new]",
    "{vip,new}",
    '{"two words"}',
    "[]",
    " [ ] ",
    "{}",
    '["a[0]"]',
]
TAGS = {  # that have brackets, and are no lists
    "[vip]": ["[vip]"],
    "[vip],[new]": ["[new]", "[vip]"],
    "vip,[new]": ["[new]", "vip"],
    "{vip}": ["{vip}"],
    "a[0],b": ["a[0]", "b"],
    ":]": [":]"],
}


@pytest.mark.parametrize("text", WRITTEN_LISTS)
def test_a_list_that_is_written_as_text_is_not_split(text, tmp_path):
    table = WRITERS["csv"](pl.DataFrame({"registration_id": ["r1", "r2"], "tags": ["vip,new", text]}), tmp_path)
    with pytest.raises(TableError, match="not a list: line 3"):
        DeviceIndex.build(table, tmp_path / "index", split={"tags": ","})
    index = DeviceIndex.build(table, tmp_path / "index", split={"tags": ","}, on_bad_row="reject")
    assert (index.count("everyone"), index.reading.rejected) == (1, 1)


@pytest.mark.parametrize(("text", "tags"), TAGS.items())
def test_tags_with_brackets_are_split(text, tags, tmp_path):
    table = pl.DataFrame({"registration_id": ["r1"], "tags": [text]})
    index = DeviceIndex.build(table, tmp_path / "index", split={"tags": ","})
    assert sorted(index.attributes["tag"].values.to_list()) == tags


def test_lists_beside_text_in_ndjson_are_not_split(tmp_path):
    lines = ['{"registration_id": "r1", "tags": ["vip", "new"]}', '{"registration_id": "r2", "tags": "vip,new"}']
    (tmp_path / "x.ndjson").write_text("\n".join(lines))
    with pytest.raises(TableError, match="not a list: row 1"):
        DeviceIndex.build(tmp_path / "x.ndjson", tmp_path / "index", split={"tags": ","})
