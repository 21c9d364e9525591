"""Building of an index from tables, queries against it, and errors that name the column and row."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from audience import (
    DamagedError,
    DeviceIndex,
    ExpressionError,
    InvalidIndexError,
    OutputError,
    PlanError,
    TableError,
    parse,
    render,
)
from audience.index.changes import compaction
from audience.index.ingest import build as build_module
from audience.index.ingest import encode
from audience.index.ingest.encode import MAX_BITMAPS_PER_ATTRIBUTE
from audience.language.ast import And, Not, Or, bare
from audience.testing.devices import generate_devices

DEVICES = pl.DataFrame(
    {
        "registration_id": ["r1", "r2", "r3", "r4"],
        "province": ["guangdong", "hunan", None, "四川"],
        "age": [17, 30, None, 64],
        "active": [date(2020, 4, 5), date(2020, 4, 6), date(2020, 4, 8), None],
        "version": ["1.2", "1.2.0", "1.10.0", None],
        "vip": [True, False, None, True],
    }
)


def build_index(table, folder, **roles) -> DeviceIndex:
    return DeviceIndex.build(table, folder / "devices.index", **roles)


def resolve_ids(index, text) -> list[str]:
    return sorted(index.resolve(text).ids())


TABLE_WRITERS = {
    "devices.parquet": pl.DataFrame.write_parquet,
    "devices.csv": pl.DataFrame.write_csv,
    "devices.tsv": lambda table, file: table.write_csv(file, separator="\t"),
    "devices.ndjson": pl.DataFrame.write_ndjson,
    "devices.arrow": pl.DataFrame.write_ipc,
}


@pytest.mark.parametrize("name", TABLE_WRITERS)
def test_every_format_gives_same_answers(name, tmp_path):
    TABLE_WRITERS[name](DEVICES, tmp_path / name)
    roles = {"dates": ["active"]} if name.endswith("ndjson") else {}
    index = build_index(tmp_path / name, tmp_path, **roles)
    assert resolve_ids(index, "province:guangdong OR NOT age < 60") == ["r1", "r3", "r4"]
    assert resolve_ids(index, "active within 3 days of 2020-04-08") == ["r2", "r3"]
    assert resolve_ids(index, "version >= 1.2.0 AND NOT vip") == ["r2", "r3"]
    assert {name: attribute.role for name, attribute in index.attributes.items()} == {
        "tag": "tags",
        "province": "string",
        "age": "number",
        "active": "date",
        "version": "version",
    }


def test_build_accepts_globs_folders_lists_and_frames(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    DEVICES.head(2).write_parquet(parts / "1.parquet")
    DEVICES.tail(2).write_parquet(parts / "2.parquet")
    sources = [str(parts / "*.parquet"), parts, [parts / "1.parquet", parts / "2.parquet"], DEVICES, DEVICES.lazy()]
    for number, source in enumerate(sources):
        index = DeviceIndex.build(source, tmp_path / f"{number}.index")
        assert resolve_ids(index, "vip OR version:1.2.0") == ["r1", "r2", "r4"]


def test_csv_keeps_leading_and_trailing_zeros(tmp_path):
    (tmp_path / "devices.csv").write_text("token,app_version,channel\n007,1.10,abc\n7,1.1,\n")
    index = build_index(tmp_path / "devices.csv", tmp_path)
    assert resolve_ids(index, "app_version:1.10") == ["007"]
    assert resolve_ids(index, "app_version > 1.2") == ["007"]
    assert resolve_ids(index, "NOT channel:abc") == ["7"]


def test_comparisons_find_devices_with_a_value_in_range(tmp_path):
    index = build_index(DEVICES, tmp_path)
    assert resolve_ids(index, "age < 30") == ["r1"]
    assert resolve_ids(index, "age <= 30") == ["r1", "r2"]
    assert resolve_ids(index, "age >= 30.0") == ["r2", "r4"]
    assert resolve_ids(index, "age > 1e1") == ["r1", "r2", "r4"]
    assert resolve_ids(index, "age in (17, 64.0)") == ["r1", "r4"]
    assert resolve_ids(index, "NOT age < 30") == ["r2", "r3", "r4"]
    assert resolve_ids(index, "active >= 20200406") == ["r2", "r3"]
    assert resolve_ids(index, "active = 2020-04-06") == ["r2"]
    assert resolve_ids(index, "version >= 1.2") == ["r1", "r2", "r3"]
    assert resolve_ids(index, "version <= 1.2.0") == ["r1", "r2"]
    assert resolve_ids(index, "version = 1.2") == ["r1"]
    assert resolve_ids(index, "version = 1.2.0.0") == []


def test_timestamps_compare_with_days_and_timestamps(tmp_path):
    seen = [datetime(2020, 4, 5, 23, 59, 59, 999_999), datetime(2020, 4, 6), datetime(2020, 4, 6, 12, 30), None]
    index = build_index(DEVICES.with_columns(seen=pl.Series(seen, dtype=pl.Datetime("us"))), tmp_path)
    assert resolve_ids(index, "seen = 2020-04-06") == ["r2", "r3"]
    assert resolve_ids(index, "seen < 2020-04-06") == ["r1"]
    assert resolve_ids(index, "seen <= 20200406") == ["r1", "r2", "r3"]
    assert resolve_ids(index, 'seen > "2020-04-06T12:00"') == ["r3"]
    assert resolve_ids(index, "seen within 2 days of 2020-04-06") == ["r1", "r2", "r3"]


def test_zoned_timestamps_are_instants(tmp_path):
    seen = pl.Series([datetime(2020, 4, 7, 17, tzinfo=UTC)] * 4).dt.convert_time_zone("Asia/Shanghai")
    table = DEVICES.with_columns(seen=seen)
    assert build_index(table, tmp_path).count("seen = 2020-04-07") == 4
    days = DeviceIndex.build(table, tmp_path / "days", dates=["seen"], timezone="Asia/Shanghai")
    assert days.count("seen = 2020-04-08") == 4


def test_iso_days_in_text_files_are_dates(tmp_path):
    (tmp_path / "devices.csv").write_text("token,iso,spelt,at\na,2020-04-08,13/04/2020,2020-04-08T10:30:00\nb,,,\n")
    index = build_index(tmp_path / "devices.csv", tmp_path)
    assert {name: attribute.role for name, attribute in index.attributes.items()} == {
        "iso": "date",
        "spelt": "date",
        "at": "time",
    }
    assert resolve_ids(index, "iso >= 2020-04-01 AND at = 2020-04-08 AND spelt = 2020-04-13") == ["a"]


def test_small_and_decimal_numbers_are_exact(tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "small": pl.Series([0.1, 0.2], dtype=pl.Float32)})
    exact = pl.Series(["12345678901234567.89", "12345678901234567.90"]).str.to_decimal(scale=2)
    index = build_index(table.with_columns(exact=exact), tmp_path)
    assert resolve_ids(index, "small = 0.1") == resolve_ids(index, "small <= 0.1") == ["a"]
    assert (
        resolve_ids(index, "exact = 12345678901234567.9") == resolve_ids(index, "exact > 12345678901234567.89") == ["b"]
    )


def test_float_column_cannot_be_version_or_alias(tmp_path):
    with pytest.raises(TableError, match=r"1\.10 is not 1\.1"):
        build_index(pl.DataFrame({"token": ["a"], "version": [1.10]}), tmp_path)
    with pytest.raises(TableError, match=r"1001, not 1001\.0"):
        build_index(pl.DataFrame({"token": ["a"], "alias": [1001.0]}), tmp_path)


def test_list_values_are_checked_against_column_type(tmp_path):
    table = pl.DataFrame({"token": ["a", "b"], "n": [["5"], ["6", "n/a"]]})
    with pytest.raises(TableError, match=r"'n'.*row 2"):
        build_index(table, tmp_path, numbers=["n"])


def test_unknown_vendor_has_no_ids(tmp_path):
    with pytest.raises(TableError, match="did you mean tpns"):
        build_index(DEVICES, tmp_path, tokens={"tpsn": "province"})


def test_column_named_tag_does_not_hide_untyped_tags(tmp_path):
    for order in (["tag", "tags"], ["tags", "tag"]):
        table = pl.DataFrame({"token": ["a"], "tag": ["x"], "tags": [["vip"]]}).select("token", *order)
        with pytest.raises(TableError, match="same-name"):
            build_index(table, tmp_path, typed=["tag"])


def test_columns_with_unusual_names(tmp_path):
    index = build_index(pl.DataFrame({"token": ["a", "b"], "^t.*$": ["x", "y"], "*": ["1", "2"]}), tmp_path)
    assert resolve_ids(index, '"^t.*$":x AND "*":"1"') == ["a"]
    with pytest.raises(TableError, match="no-name"):
        build_index(pl.DataFrame({"token": ["a"], "": [1]}), tmp_path / "other")


@pytest.mark.parametrize(
    "type_", [pl.Array(pl.Date, 1), pl.Duration, pl.List(pl.List(pl.String)), pl.Struct({"a": pl.Int8}), pl.Time]
)
@pytest.mark.parametrize("role", ["tags", "typed", "numbers", "dates", "versions", None])
def test_any_dtype_in_any_role_is_read_or_rejected(type_, role, tmp_path):
    table = pl.DataFrame({"token": ["a"], "x": pl.Series([None], dtype=type_)})
    try:
        build_index(table, tmp_path, **({role: ["x"]} if role else {}))
    except TableError as error:
        assert "'x'" in str(error)


def test_extreme_days_are_answered_or_rejected(tmp_path):
    index = build_index(DEVICES, tmp_path)
    assert index.count("active within 99999 days of 2020-04-08") == 3
    assert index.count("active within 99999 days of 0100-01-01") == 0
    with pytest.raises(TableError, match="bad-value"):
        build_index(DEVICES.with_columns(active=pl.Series([3_000_000] * 4).cast(pl.Date)), tmp_path / "far")


def test_hidden_files_are_skipped_and_unknown_ones_rejected(tmp_path):
    folder = tmp_path / "tables"
    folder.mkdir()
    DEVICES.write_parquet(folder / "A.PARQUET")
    (folder / "_SUCCESS").touch()
    (folder / "._a.parquet").write_bytes(b"mac")
    assert len(build_index(folder, tmp_path)) == 4
    (folder / "notes.txt").touch()
    with pytest.raises(TableError, match=r"notes\.txt"):
        DeviceIndex.build(folder, tmp_path / "other")


def test_replace_only_replaces_an_index(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "keep.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"keep\.txt"):
        DeviceIndex.build(DEVICES, tmp_path / "data", replace=True)
    assert (tmp_path / "data" / "keep.txt").read_text() == "mine"


def test_failed_build_creates_no_folders(tmp_path):
    with pytest.raises(TableError):
        DeviceIndex.build(DEVICES.drop("registration_id"), tmp_path / "a" / "b" / "index")
    assert list(tmp_path.iterdir()) == []


def test_high_cardinality_attributes_are_bit_sliced(tmp_path):
    size = MAX_BITMAPS_PER_ATTRIBUTE * 2 + 77
    timestamps = [datetime(2020, 1, 1) + timedelta(seconds=7 * at) for at in range(size)]
    amounts = [None if at % 5 == 0 else (at * 7919) % 6007 / 4 for at in range(size)]
    table = pl.DataFrame({"token": [f"t{at}" for at in range(size)], "seen": timestamps, "amount": amounts})
    table = table.with_columns(name=pl.col("token").str.reverse()).sample(fraction=1, shuffle=True, seed=1)
    index = build_index(table, tmp_path)
    assert all(index.attributes[name].bit_depth for name in ("seen", "amount", "name"))
    for order in ("<", "<=", ">", ">="):
        for bound in (-1, 0, 0.25, 300.1, 1501.5, 99_999):
            expected = table.filter(pl.sql_expr(f"amount {order} {bound}"))["token"].sort()
            assert index.resolve(f"amount {order} {bound}").ids().sort().to_list() == expected.to_list()
    assert resolve_ids(index, "name:99t") == ["t99"]
    assert resolve_ids(index, "name:99") == []
    assert (
        index.count("seen within 1 day of 2020-01-01")
        == table.filter(pl.col("seen").dt.date() == date(2020, 1, 1)).height
    )
    assert index.count("NOT amount >= 0") == table["amount"].null_count()


def test_tags_from_lists_booleans_and_split_strings(tmp_path):
    table = DEVICES.with_columns(
        tags=pl.Series([["a", "b", "a"], [], None, ["b", None, ""]]), labels=pl.Series(["x; y", "", None, "y"])
    )
    index = build_index(table, tmp_path, split={"labels": ";"})
    assert resolve_ids(index, "a") == ["r1"]
    assert resolve_ids(index, "b AND vip") == ["r1", "r4"]
    assert resolve_ids(index, "y AND NOT x") == ["r4"]
    assert index.attributes["tag"].distinct_count == 5


def test_string_column_named_tags_needs_explicit_role(tmp_path):
    with pytest.raises(TableError, match="not-a-list"):
        build_index(DEVICES.with_columns(tags=pl.lit("a,b")), tmp_path)


def test_tag_in_two_columns_is_rejected_unless_typed(tmp_path):
    table = DEVICES.with_columns(likes=pl.Series([["music"], [], [], []]), hates=pl.Series([[], ["music"], [], []]))
    with pytest.raises(TableError, match="'likes' and 'hates' both hold the tag 'music'"):
        build_index(table, tmp_path)
    index = build_index(table, tmp_path, typed=["hates"])
    assert (resolve_ids(index, "music"), resolve_ids(index, "hates:music")) == (["r1"], ["r2"])


def test_device_has_different_ids_at_vendors(tmp_path):
    table = pl.DataFrame(
        {"registration_id": ["r1", "r2", None], "tpns_token": ["t1", None, "t3"], "emas": ["e1", "e2", None]}
    )
    index = build_index(table, tmp_path, tokens={"emas": "emas"})
    devices = index.resolve("everyone")
    assert devices.ids("tpns").to_list() == ["t1", None, "t3"]
    assert devices.ids("emas_v2").to_list() == ["e1", "e2", None]
    assert devices.ids("engagelab").to_list() == devices.ids().to_list() == ["r1", "r2", None]
    assert index.count("registration_id(r1, t3)") == 2
    assert devices.to_frame(["emas", "tpns"]).columns == ["emas", "tpns"]


def test_vendor_id_column_is_not_guessed(tmp_path):
    index = build_index(pl.DataFrame({"registration_id": ["r1"], "token": ["t1"]}), tmp_path)
    assert index.resolve("everyone").ids("tpns").to_list() == ["t1"]
    with pytest.raises(PlanError, match="--token emas=COLUMN"):
        index.resolve("everyone").ids("emas")


def test_ambiguous_id_is_rejected(tmp_path):
    index = build_index(pl.DataFrame({"registration_id": ["x", "y"], "token": ["y", "z"]}), tmp_path)
    with pytest.raises(ExpressionError, match="ambiguous-id"):
        index.count("registration_id(y)")


def test_aliases_and_accounts_can_be_shared(tmp_path):
    table = DEVICES.with_columns(
        alias=pl.Series([["u1", "u2"], ["u2"], [], None]), member=pl.Series(["m", "m", None, "n"])
    )
    index = build_index(table, tmp_path, account="member")
    assert resolve_ids(index, "alias(u2)") == ["r1", "r2"]
    assert resolve_ids(index, "account(m) AND NOT alias(u1)") == ["r2"]
    assert index.resolve("alias(u1)").to_frame()["account"].to_list() == ["m"]


BAD_TABLES = {
    "duplicate-id": ({"registration_id": ["a", "b", "a"]}, r"'registration_id'.*row 1 \('a'\), row 3 \('a'\)"),
    "empty-id": ({"registration_id": ["a", "", "b"]}, r"'registration_id'.*row 2"),
    "missing-id": ({"registration_id": ["a", None, "b"]}, r"'registration_id'.*row 2"),
    "no-id": ({"name": ["a"]}, "--token COLUMN"),
    "no-role": ({"token": ["a"], "blob": [b"x"]}, "'blob'.*Binary"),
    "bad-value": ({"token": ["a", "b"], "x": [1.0, float("inf")]}, r"'x'.*row 2 \(inf\)"),
    "same-name": (
        {"token": ["a"], "brand": ["Mi"], "xg_auto_devicebrand": ["Mi"]},
        "'brand' and 'xg_auto_devicebrand'",
    ),
    "not-ids": ({"token": [1.5]}, "'token'"),
}


@pytest.mark.parametrize(("code", "table", "message"), [(code, *case) for code, case in BAD_TABLES.items()])
def test_bad_table_is_rejected_with_column_and_row(code, table, message, tmp_path):
    with pytest.raises(TableError, match=message) as caught:
        build_index(pl.DataFrame(table, strict=False), tmp_path)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


BAD_ROLES = {
    "no-column": ({"alias": "provnce"}, "did you mean province"),
    "two-roles": ({"alias": "province", "account": "province"}, "'province'"),
    "bad-value": ({"numbers": ["province"]}, r"row 1 \('guangdong'\)"),
}


@pytest.mark.parametrize(("code", "roles", "message"), [(code, *case) for code, case in BAD_ROLES.items()])
def test_invalid_role_is_rejected(code, roles, message, tmp_path):
    with pytest.raises(TableError, match=message) as caught:
        build_index(DEVICES, tmp_path, **roles)
    assert caught.value.code == code


def test_invalid_versions_are_strings_unless_role_given(tmp_path):
    table = DEVICES.with_columns(version=pl.Series(["1.0", "beta!", None, "2.0"]))
    index = build_index(table, tmp_path)
    assert resolve_ids(index, 'version:"beta!"') == ["r2"]
    with pytest.raises(ExpressionError, match="have no order"):
        index.count("version >= 1.0")
    with pytest.raises(TableError, match=r"row 2 \('beta!'\)"):
        DeviceIndex.build(table, tmp_path / "other.index", versions=["version"])


def test_invalid_version_in_last_shard_does_not_restart_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "MAX_SHARD_DEVICES", 2)
    table = pl.DataFrame({"token": list("abcdef"), "app_version": ["1.0", "2.0rc1", "", None, "3", "4"]})
    assert resolve_ids(build_index(table, tmp_path / "valid"), "app_version > 1.5") == ["b", "e", "f"]
    rows_read = []
    table = table.with_columns(app_version=pl.Series(["1.0", "2.0rc1", "", None, "3", "none"]))
    index = DeviceIndex.build(
        table, tmp_path / "invalid", progress=lambda step, done, total: rows_read.append(done) if total else None
    )
    assert index.attributes["app_version"].role == "string"
    assert len(index.snapshot.shards) > 2
    assert len(set(rows_read)) == len(rows_read) > 2


BAD_FILES = {
    "nothing.parquet": (None, "no-file"),
    "broken.parquet": (b"PAR1 not really", "unreadable"),
    "broken.ndjson": (b'{"token": \n', "unreadable"),
    "devices.xlsx": (b"", "unknown-format"),
    "empty.csv": (b"", "unreadable"),
    "ragged.csv": (b"token,a\nx,1,2\n", "bad-row"),
    "latin.csv": ("token,a\nx,\xe9\n".encode("latin-1"), "unknown-encoding"),
}


@pytest.mark.parametrize(("name", "content", "code"), [(name, *case) for name, case in BAD_FILES.items()])
def test_unreadable_file_is_rejected(name, content, code, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError) as caught:
        build_index(tmp_path / name, tmp_path)
    assert caught.value.code == code
    assert not (tmp_path / "devices.index").exists()


def test_build_replaces_index_only_with_replace(tmp_path):
    build_index(DEVICES, tmp_path)
    with pytest.raises(OutputError, match="exists"):
        build_index(DEVICES.head(2), tmp_path)
    with pytest.raises(TableError):
        build_index(DEVICES.drop("registration_id"), tmp_path, replace=True)
    assert len(DeviceIndex.open(tmp_path / "devices.index")) == 4
    assert len(build_index(DEVICES.head(2), tmp_path, replace=True)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["devices.index"]


def test_empty_table_builds_empty_index(tmp_path):
    index = build_index(DEVICES.clear(), tmp_path)
    assert (len(index), index.count("everyone"), index.count("NOT vip"), index.count("age < 3")) == (0, 0, 0, 0)
    assert index.resolve("everyone").ids().to_list() == []


BARE_TAG_HINTS = {
    "labels is null": "it became bare tags, each written by its name alone",
    "NOT has(tags)": "it became bare tags, each written by its name alone",
    'labels matches "v*"': "it became bare tags, each written by its name alone",
    "labels:vip": "it became bare tags: write vip",
    'tags = "two words"': 'it became bare tags: write "two words"',
    "male is not null": "it became a bare tag: write male, or NOT male",
    "male:true": "it became a bare tag: write male, or NOT male",
}


@pytest.mark.parametrize(("text", "hint"), BARE_TAG_HINTS.items())
def test_name_of_a_column_that_became_bare_tags_has_a_hint(tmp_path, text, hint):
    columns = {"labels": ["vip;new", None], "tags": [["x"], ["two words"]], "male": [True, False]}
    table = pl.DataFrame({"token": ["t1", "t2"], **columns})
    index = DeviceIndex.build(table, tmp_path / "x.index", split={"labels": ";"})
    with pytest.raises(ExpressionError) as caught:
        index.count(text)
    assert [(problem.code, problem.hint) for problem in caught.value.problems] == [("unknown-attribute", hint)]


UNKNOWN_NAMES = {
    "provnce:hunan": ("unknown-attribute", "did you mean province"),
    "city:hunan": ("unknown-attribute", "did you mean province:hunan"),
    "age:young": ("bad-value", "age is a number"),
    "age < young": ("bad-value", "age is a number"),
    "active > 2020-13-01": ("bad-value", "active is a day"),
    "age = 18-25": ("bad-value", "hint: write age between 18 and 25"),
    "age in (18..25)": ("bad-value", "hint: write age between 18 and 25"),
    "age = 18+": ("bad-value", "hint: write age >= 18"),
    "age > １８": ("bad-value", "hint: write 18"),
    "active:today": ("bad-value", "hint: write active = today, without quotes"),
    'active >= "yesterday"': ("bad-value", "hint: write active >= yesterday, without quotes"),
    "active > 7": ("bad-value", "hint: write active > 7 days ago"),
    "active > -2w": ("bad-value", "hint: write active > 2 weeks ago"),
    "active on 2020/4/8": ("bad-value", "hint: write 2020-04-08"),
    "active on 8.4.2020": ("bad-value", "hint: write 2020-04-08"),
    "active > 2020-02-30": ("bad-value", "hint: that month ends on 2020-02-29"),
    'active > "2020-04-08T09:00"': ("bad-value", "hint: write the day alone: 2020-04-08"),
    "version > 1.2.x": ("bad-value", "hint: write 1.2"),
    "province > a": ("no-order", "have no order"),
    "age within 3 days of 2020-04-08": ("not-days", "are not days"),
    "active within 3 days of 2020-02-30": ("bad-value", "2020-02-30"),
    "alias(u1)": ("unknown-ids", "holds no alias"),
    "age between young and 30": ("bad-value", "age is a number"),
    "province between a and b": ("no-order", "have no order"),
    "provnce:hun*": ("unknown-attribute", "did you mean province"),
    'age matches "1*"': ("no-text", "write age between 10 and 19"),
    'active matches "2020-04-*"': ("no-text", "write active from 2026-11-01 to 2026-11-30"),
    "anniversary(age) = 02-29": ("not-days", "values of age are not days"),
    "anniversary(brthday) = 02-29": ("unknown-attribute", "no attribute 'brthday'"),
    "(vip top 3 by province)": ("no-order", "values of province have no order"),
    "(vip bottom 3 by province)": ("no-order", "hint: order by .*age.*; or build the index with --number"),
    "(vip top 1 by registration_id)": ("no-order", "registration_id is a column of ids, not an attribute"),
    "(vip bottom 3 by agee)": ("unknown-attribute", "did you mean age"),
    "(provnce:hunan limit 3 seed x)": ("unknown-attribute", "did you mean province"),
    "at least 2 of (vip, provnce:hunan, age < 30)": ("unknown-attribute", "did you mean province"),
}


@pytest.mark.parametrize(("text", "code", "message"), [(text, *case) for text, case in UNKNOWN_NAMES.items()])
def test_unknown_names_are_rejected_with_position(text, code, message, tmp_path):
    index = build_index(DEVICES, tmp_path)
    with pytest.raises(ExpressionError, match=message) as caught:
        index.count(f"vip AND NOT {text}")
    assert caught.value.code == code
    assert "^" in str(caught.value)


def test_unused_tag_counts_zero_and_warns(tmp_path):
    index = build_index(DEVICES, tmp_path)
    assert index.count("vpi") == index.count("province:hunann") == index.count("hunan") == 0
    hints = [index.find_unmatched(text)[0].hint for text in ("vpi", "province:hunann", "hunan")]
    assert hints == ["did you mean vip?", "did you mean hunan?", "did you mean province:hunan?"]
    assert "1 of 2 ids" in index.find_unmatched("registration_id(r1, r9)")[0].message


UNMATCHED_HINTS = {
    "province = null": "write province is null for devices without a value",
    "NOT province:None": "write province is null for devices without a value",
    'province = "hun*"': 'in quotes * and ? are themselves: write province matches "hun*"',
    "1.2.0": "did you mean version:1.2.0?",
    "province matches hunn": None,
    "province matches nan": 'write province matches "*nan*"',
    'province matches "HUN*"': 'write province matches "HUN*" ignoring case',
    'province matches "^hun.*$"': 'write province matches "hun*"',
    "province matches hun%": 'write province matches "hun*"',
    "NOT @": "name a segment behind it: @vip",
    "registration_id(staff.txt)": "write registration_id(@staff.txt) for the ids in the file",
    'registration_id("@staff.csv", r1)': "write registration_id(@staff.csv) for the ids in the file",
}


def test_contains_in_a_list_hints_at_the_value(tmp_path):
    table = pl.DataFrame(
        {"token": ["a", "b"], "lang": [["en", "zh"], ["fen"]], "score": [[1, 10], [2]], "city": ["a", "ab"]}
    )
    index = build_index(table, tmp_path, typed=["lang"])
    [problem] = index.find_unmatched("lang contains en")
    assert (problem.code, problem.hint) == ("contains-in-list", "write lang:en for the value itself")
    for text in (
        "lang contains e",
        "lang starts with en",
        "lang contains EN ignoring case",
        "lang:*en*",
        "city contains a",
    ):
        assert index.find_unmatched(text) == [], text
    with pytest.raises(ExpressionError, match="hint: write score = 10"):
        index.count("score contains 10")


@pytest.mark.parametrize(("text", "hint"), UNMATCHED_HINTS.items())
def test_what_no_device_has_gets_a_hint(text, hint, tmp_path):
    index = build_index(DEVICES, tmp_path)
    [problem] = index.find_unmatched(text)
    assert (problem.code, problem.hint) == ("no-device", hint)


def test_pattern_of_no_device_and_empty_range_warn(tmp_path):
    index = build_index(DEVICES, tmp_path)
    texts = (
        "zzz*",
        "(province:zzz* limit 3 seed x)",
        "age between 30 and 18",
        "vip AND (age between 9 and 8 limit 3 seed x)",
    )
    codes = [[problem.code for problem in index.find_unmatched(text)] for text in texts]
    assert codes == [["no-device"], ["no-device"], ["empty-range"], ["empty-range"]]


def test_expensive_results_are_kept_between_questions(tmp_path):
    index = build_index(DEVICES, tmp_path)
    for text in ("registration_id(r1)", "sample(50%, x)", "age < 30 OR vip"):
        counts = {index.count(text) for _ in range(3)}
        assert len(counts) == 1
    assert {shard.cache is index.snapshot.cache for shard in index.snapshot.shards} == {True}
    assert len(index.snapshot.cache) >= 2
    index.remove(["r1"])
    assert index.count("registration_id(r1)") == 0
    assert {shard.cache is index.snapshot.cache for shard in index.snapshot.shards} == {True}


def test_count_reads_only_needed_bitmaps(tmp_path):
    build_index(DEVICES, tmp_path)
    [shard] = DeviceIndex.open(tmp_path / "devices.index").snapshot.shards
    assert "attributes" not in vars(shard)
    index = DeviceIndex.open(tmp_path / "devices.index")
    index.count("province:hunan AND vip")
    [shard] = index.snapshot.shards
    assert len(shard._bitmaps) == 2
    assert "_ids" not in vars(shard)


def test_explain_returns_funnel(tmp_path):
    lines = build_index(DEVICES, tmp_path).explain("age >= 17 AND (vip OR province:hunan) AND NOT version:1.2")
    assert [(line.depth, line.text, line.device_count, line.remaining) for line in lines] == [
        (0, "AND", 2, None),
        (1, "age >= 17", 3, 3),
        (1, "OR", 3, 3),
        (2, "vip", 2, None),
        (2, "province:hunan", 1, None),
        (1, "NOT version:1.2", 3, 2),
    ]


@pytest.mark.parametrize("shard_size", [1, 2, 10])
def test_explain_counts_the_values_of_a_pattern(tmp_path, monkeypatch, shard_size):
    monkeypatch.setattr("audience.index.ingest.build.MAX_SHARD_DEVICES", shard_size)
    provinces = ["guangdong", "guangxi", "hunan", "guangdong", None]
    table = pl.DataFrame(
        {"device_id": list("abcde"), "province": provinces, "tags": [["vip_1"], ["vip_2"], [], [], []]}
    )
    index = DeviceIndex.build(table, tmp_path / "i")
    text = 'NOT province matches "gua*" OR vip_* OR province matches "GUANG?I" ignoring case OR province matches "x*"'
    assert [(line.device_count, line.value_count) for line in index.explain(text)] == [
        (4, None),
        (2, 2),
        (2, 2),
        (1, 1),
        (0, 0),
    ]


def test_folder_without_index_is_rejected(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InvalidIndexError, match="no-index"):
            DeviceIndex.open(folder)


def snapshot_files(index) -> list[Path]:
    """Return the files of the current snapshot."""
    return [
        index.folder / "manifest.json",
        *map((index.folder / "shards").joinpath, index.snapshot.manifest.file_names()),
    ]


@pytest.fixture
def with_deleted_rows(tmp_path, monkeypatch) -> DeviceIndex:
    """Index of r1 to r3, in which r4 is a deleted row."""
    monkeypatch.setattr(compaction, "MAX_DELETED_RATIO", 1)
    index = build_index(DEVICES, tmp_path)
    index.remove(["r4"])
    return index


def test_every_flipped_byte_is_detected_or_harmless(with_deleted_rows):
    index = with_deleted_rows
    exprs = ["vip AND NOT age < 30", "province:hunan OR version > 1.2", "active >= 2020-04-06", "registration_id(r2)"]
    expected = [(index.count(expr), resolve_ids(index, expr)) for expr in exprs]
    rejected_count = 0
    for file in snapshot_files(index):
        original = file.read_bytes()
        for offset in range(len(original)):
            damaged = bytearray(original)
            damaged[offset] ^= 1 << offset % 8
            file.write_bytes(damaged)
            try:
                again = DeviceIndex.open(index.folder)
                assert [(again.count(expr), resolve_ids(again, expr)) for expr in exprs] == expected
            except InvalidIndexError as error:
                rejected_count += 1
                assert file.name in str(error)
        file.write_bytes(original)
    assert rejected_count > 1_000
    assert index.verify()


def test_flipped_bytes_in_shards_and_history_are_detected(tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "MAX_SHARD_DEVICES", 2)
    monkeypatch.setattr(encode, "MAX_BITMAPS_PER_ATTRIBUTE", 1)
    monkeypatch.setattr(compaction, "MAX_SHARD_DEVICES", 2)
    monkeypatch.setattr(compaction, "MAX_DELETED_RATIO", 1)
    index = build_index(DEVICES, tmp_path)
    index.save_segment("young", "age < 30")
    index.remove(["r4"])
    exprs = ["vip AND NOT @young", "province:hunan OR version > 1.2", "active >= 2020-04-06", "registration_id(r2)"]
    expected = [resolve_ids(index, expr) for expr in exprs]
    assert any(shard.deleted for shard in index.snapshot.shards)
    rejected_count = 0
    for file in [*snapshot_files(index), *(index.folder / "history").iterdir()]:
        original = file.read_bytes()
        is_history = file.parent.name == "history"
        for offset in range(0, len(original), len(original) // 25 + 1):
            damaged = bytearray(original)
            damaged[offset] ^= 1 << offset % 8
            file.write_bytes(damaged)
            try:
                if is_history:
                    index.history()
                else:
                    again = DeviceIndex.open(index.folder)
                    assert [resolve_ids(again, expr) for expr in exprs] == expected
            except InvalidIndexError as error:
                rejected_count += 1
                assert file.name in str(error)
            else:
                assert not is_history
        if is_history:
            with pytest.raises(InvalidIndexError, match=file.name):
                index.restore(int(file.stem))
            file.unlink()
            if file.stem != f"{index.snapshot.manifest.number:08}":
                with pytest.raises(InvalidIndexError, match="no-snapshot"):
                    index.restore(int(file.stem))
        file.write_bytes(original)
    assert rejected_count > 150
    assert index.verify()


@pytest.mark.parametrize("kind", ["manifest", "tags", "ids", "lookup", "sums", "deleted"])
def test_truncated_or_missing_file_is_named(kind, with_deleted_rows):
    index = with_deleted_rows
    [file] = [file for file in snapshot_files(index) if kind in file.name]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=file.name):
        DeviceIndex.open(index.folder)
    file.unlink()
    with pytest.raises(InvalidIndexError):
        DeviceIndex.open(index.folder)


def test_build_is_deterministic(tmp_path):
    first = DeviceIndex.build(generate_devices(1_000), tmp_path / "one")
    second = DeviceIndex.build(generate_devices(1_000), tmp_path / "other")
    for file, same_file in zip(snapshot_files(first)[1:], snapshot_files(second)[1:], strict=True):
        assert file.read_bytes() == same_file.read_bytes()


def _random_expr(random: random.Random, names: list[str], depth: int = 3):
    if depth == 0 or random.random() < 0.2:
        return bare(random.choice(names))
    terms = [_random_expr(random, names, depth - 1) for _ in range(random.randint(2, 4))]
    return random.choice([lambda: And(tuple(terms)), lambda: Or(tuple(terms)), lambda: Not(terms[0])])()


def _polars_condition(expr) -> pl.Expr:
    match expr:
        case Not(term=term):
            return ~_polars_condition(term)
        case And(terms=terms):
            return pl.all_horizontal(map(_polars_condition, terms))
        case Or(terms=terms):
            return pl.any_horizontal(map(_polars_condition, terms))
    return pl.col(expr.value)


def test_random_expressions_over_census_match_polars(census, tmp_path):
    index = build_index(census, tmp_path)
    people = pl.read_parquet(census)
    pairs = people.explode("tags").with_columns(has=True).pivot("tags", index="registration_id", values="has")
    people = pairs.with_columns(pl.exclude("registration_id").fill_null(False))
    assert len(index) == 199_523
    names = index.attributes["tag"].values.to_list()
    assert len(names) == 200
    generator = random.Random(7)
    for _ in range(100):
        expr = _random_expr(generator, names)
        expected = people.filter(_polars_condition(expr))["registration_id"]
        devices = index.resolve(expr)
        assert index.count(expr) == len(devices) == len(expected), render(expr)
        assert devices.ids().sort().equals(expected.sort().rename("token")), render(expr)


def test_text_and_expr_are_interchangeable(index):
    assert index.count("male AND NOT version:1.0.2") == index.count(parse("male AND NOT version:1.0.2"))
