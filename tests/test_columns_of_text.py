"""Text in columns that have a role, in tables of every format: empty text, and lists that are written as text."""

import polars as pl
import pytest

from audience import DeviceIndex, ExpressionError, TableError

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


NOTED = {  # text of a table with types => what its reading says
    "days": (["2020-04-08", "", None], "text that looks like days: --date x"),
    "moments": (["2020-04-08T10:00Z", "2020-04-08 10:00:01"], "text that looks like moments: --date-format x=FORMAT"),
    "words": (["2020-04-08", "x"], "String in the table"),
    "nothing": (["", None], "String in the table"),
}


@pytest.mark.parametrize(("values", "reason"), NOTED.values(), ids=NOTED.keys())
def test_text_that_looks_like_dates_is_noted(values, reason, tmp_path):
    frame = pl.DataFrame({"registration_id": [f"r{row}" for row in range(len(values))], "x": values})
    index = DeviceIndex.build(frame, tmp_path / "index")
    [column] = [each for each in index.reading.columns if each.name == "x"]
    assert (column.role, column.reason.startswith(reason)) == ("string", True)
    assert column.is_notable == ("looks like" in reason)
    if reason.endswith("--date x"):
        assert DeviceIndex.build(frame, tmp_path / "dated", dates=["x"]).attributes["x"].role == "date"


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


LISTS = {
    "interests": ["a b", "c"],
    "alias": ["x", "y"],
    "account": ["q"],
    "n": ["1", "2.5"],
    "d": ["2020-04-08", "2021-04-08"],
    "v": ["1.2", "1.10"],
    "platform": ["iOS", "android"],
    "tags": ["vip", "new"],
}
ROLES = {
    "typed": ["interests", "platform"],
    "numbers": ["n"],
    "dates": ["d"],
    "versions": ["v"],
    "account": "account",
    "alias": "alias",
}


def shard_bytes(path):
    return {file.name: file.read_bytes() for file in sorted((path / "shards").iterdir())}


def test_split_columns_of_every_role_are_those_of_lists(tmp_path):
    ids = pl.DataFrame({"registration_id": ["r1", "r2", "r3"]})
    lists = {name: pl.Series([values, values[:1], []], dtype=pl.List(pl.String)) for name, values in LISTS.items()}
    texts = {name: [f" {' ; '.join(values)} ", values[0], ";"] for name, values in LISTS.items()}
    DeviceIndex.build(ids.with_columns(**lists), tmp_path / "lists", **ROLES, tags=["tags"])
    for format_, write in WRITERS.items():
        table = write(ids.with_columns(**{name: pl.Series(values) for name, values in texts.items()}), tmp_path)
        DeviceIndex.build(table, tmp_path / format_, **ROLES, split=dict.fromkeys(LISTS, ";"))
        assert shard_bytes(tmp_path / format_) == shard_bytes(tmp_path / "lists"), format_


def test_alias_is_split_by_its_name_also_in_updates(tmp_path):
    table = pl.DataFrame({"registration_id": ["r1"], "alias": ["x;y"], "interests": ["a"]})
    index = DeviceIndex.build(table, tmp_path / "index", split={"alias": ";", "interests": ";"}, typed=["interests"])
    assert [index.count(expr) for expr in ("alias(y)", "interests:a")] == [1, 1]
    index.update(pl.DataFrame({"registration_id": ["r1"], "alias": ["z;x"], "interests": ["a;b"]}))
    assert [index.count(expr) for expr in ("alias(y)", "alias(z)", "interests:b")] == [0, 1, 1]


def test_an_export_with_lists_is_read_back(tmp_path, audience):
    table = pl.DataFrame(
        {"registration_id": ["r1", "r2"], "alias": [["x", "y"], ["z"]], "interests": [["a", "b"], ["b"]]}
    )
    index = DeviceIndex.build(table, tmp_path / "typed", typed=["interests"])
    code, _, _ = audience("export", str(tmp_path / "typed"), "everyone", "-o", str(tmp_path / "x.csv"))
    again = DeviceIndex.build(
        tmp_path / "x.csv", tmp_path / "again", typed=["interests"], split={"interests": ";", "alias": ";"}
    )
    columns = ["registration_id", "alias", "interests"]
    frames = [each.resolve("everyone").to_frame(columns).sort("registration_id") for each in (index, again)]
    assert (code, frames[0].equals(frames[1])) == (0, True)


def test_ids_of_one_device_are_not_split(tmp_path):
    table = pl.DataFrame({"registration_id": ["r1"], "user": ["a;b"]})
    with pytest.raises(TableError, match="two-roles"):
        DeviceIndex.build(table, tmp_path / "index", tokens={"tpns": "user"}, split={"user": ";"})


@pytest.mark.parametrize("expr", ["interests:a", "interests is null", 'interests matches "a*"', "alias(x)", "v >= 1.2"])
def test_sql_refuses_split_columns_of_other_roles_than_tags(expr, tmp_path):
    table = pl.DataFrame({name: ["r1"] for name in ("registration_id", "interests", "alias", "v", "tags")})
    split = dict.fromkeys(("interests", "alias", "tags", "v"), ";")
    table = table.with_columns(v=pl.lit("1.2"))
    index = DeviceIndex.build(table, tmp_path / "index", typed=["interests"], versions=["v"], split=split)
    with pytest.raises(ExpressionError, match=r"not-in-sql: .*is split in the index"):
        index.to_sql(expr)
    assert "STRING_SPLIT" in index.to_sql("r1").sql
