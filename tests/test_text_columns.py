"""Types of the columns of CSV files: numbers, codes, dates and moments, and values that do not fit."""

import json
import stat

import polars as pl
import pytest

from audience import DeviceIndex, TableError
from audience.index.changes import update as update_module
from audience.index.ingest import build as build_module

COLUMNS = {  # values, options → role, values as stored, what the decision says
    "whole numbers": ("30 41", {}, "number", "30 41", "whole numbers"),
    "decimals": ("0.1 -2.50 1e-05 1.5E3", {}, "number", "-2.5 1e-05 0.1 1500", "numbers"),
    "leading zeros": ("007 12", {}, "string", "007 12", "'007' in line 2"),
    "bare exponents": ("12 1e5", {}, "string", "12 1e5", "'1e5' in line 3"),
    "a plus": ("+86 12", {}, "string", "+86 12", "'+86' in line 2"),
    "codes as numbers": ("007 12", {"numbers": ["x"]}, "number", "7 12", "given"),
    "0 and 1": ("0 1", {}, "number", "0 1", "write x = 1"),
    "booleans": ("TRUE False true", {}, "tags", "x", "true and false"),
    "days": ("2020-04-08 2020-04-09", {}, "date", "2020-04-08 2020-04-09", "days"),
    "days with slashes": ("2020/4/8 2020/04/09", {}, "date", "2020-04-08 2020-04-09", "days"),
    "Chinese days": ("2020年4月8日 2020年04月09日", {}, "date", "2020-04-08 2020-04-09", "days"),
    "days in several spellings": (
        "2020-04-08 2020/4/9 10-Apr-2020",
        {},
        "date",
        "2020-04-08 2020-04-09 2020-04-10",
        "",
    ),
    "day first": (
        "03/04/2020 13/04/2020",
        {},
        "date",
        "2020-04-03 2020-04-13",
        "day first as in '13/04/2020' in line 3",
    ),
    "month first": ("03/04/2020 04/13/2020", {}, "date", "2020-03-04 2020-04-13", "month first as in '04/13/2020'"),
    "the same day either way": ("3.3.2020 04.04.2020", {}, "date", "2020-03-03 2020-04-04", "days"),
    "a format": ("03/04/2020", {"date_format": "%d/%m/%Y"}, "date", "2020-04-03", "given"),
    "a format of one column": ("03/04/20", {"date_format": {"x": "%m/%d/%y"}}, "date", "2020-03-04", "given"),
    "epoch seconds": ("1586313000", {"date_format": {"x": "epoch-seconds"}}, "time", "2020-04-08T02:30:00Z", "given"),
    "epoch milliseconds": (
        *("1586313000123", {"date_format": {"x": "epoch-milliseconds"}}),
        *("time", "2020-04-08T02:30:00.123000Z", "given"),
    ),
    "moments": (
        "2020-04-08T10:30 2020-04-08T10:30:01.5",
        {},
        "time",
        "2020-04-08T10:30:00Z 2020-04-08T10:30:01.500000Z",
        "",
    ),
    "zones": (
        *("2020-04-08T10:30:00+08:00 2020-04-08T10:30:00Z 2020-04-08T10:30-0130", {}),
        *("time", "2020-04-08T02:30:00Z 2020-04-08T10:30:00Z 2020-04-08T12:00:00Z", "moments with a zone"),
    ),
    "moments as days": ("2020-04-08T10:30 2020-04-09", {"dates": ["x"]}, "date", "2020-04-08 2020-04-09", "days"),
    "compact days": ("20200408", {"dates": ["x"]}, "date", "2020-04-08", "days"),
    "numbers of eight digits": ("20200408", {}, "number", "20200408", "whole numbers"),
    "text": ("gold silver 7 x y z", {}, "string", "7 gold silver x y z", "text"),
    "text by option": ("30 abc", {"typed": ["x"]}, "string", "30 abc", "given"),
    "no values": ("", {}, "string", "", "no values"),
}


def write_csv(folder, values: str) -> str:
    rows = [f"r{number},{value}" for number, value in enumerate(values.split(), 1)]
    (folder / "devices.csv").write_text("\n".join(["registration_id,x", *rows, "last,", ""]), "utf-8")
    return str(folder / "devices.csv")


@pytest.mark.parametrize(("values", "options", "role", "stored", "reason"), COLUMNS.values(), ids=COLUMNS.keys())
def test_column_has_the_type_of_its_values(values, options, role, stored, reason, tmp_path):
    index = DeviceIndex.build(write_csv(tmp_path, values), tmp_path / "x", **options)
    attribute = index.attributes["tag" if role == "tags" else "x"]
    assert (attribute.role, sorted(attribute.values.to_list())) == (role, sorted(stored.split()))
    assert reason in next(column.reason for column in index.reading.columns if column.name == "x")


REFUSED_COLUMNS = {
    "one odd value": ("30 41 abc", "odd-value", "'abc' in line 4; the other 2 values are numbers"),
    "n/a": ("30 41 n/a n/a n/a 50", "odd-value", "3 odd values, the first is 'n/a' in line 4"),
    "one odd day": (
        "2020-04-08 2020-04-09 2020-04-31",
        "odd-value",
        "'2020-04-31' in line 4; the other 2 values are dates",
    ),
    "one odd boolean": ("true false yes", "odd-value", "'yes' in line 4; the other 2 values are true or false"),
    "an ambiguous day": ("2020-04-08 03/04/2020", "ambiguous-date", "'03/04/2020' in line 3"),
    "day first and month first": ("13/04/2020 04/13/2020", "mixed-dates", "'04/13/2020' in line 3 has the month first"),
    "days and moments": ("2020-04-08 2020-04-08T10:30", "mixed-dates", "'2020-04-08T10:30' in line 3 has a time"),
    "with and without a zone": ("2020-04-08T10:30 2020-04-08T10:30Z", "mixed-dates", "in line 3 has a zone"),
}


@pytest.mark.parametrize(("values", "code", "message"), REFUSED_COLUMNS.values(), ids=REFUSED_COLUMNS.keys())
def test_column_is_refused_with_its_lines(values, code, message, tmp_path):
    with pytest.raises(TableError) as caught:
        DeviceIndex.build(write_csv(tmp_path, values), tmp_path / "x")
    assert caught.value.code == code
    assert message in str(caught.value)


MISSING = ["NULL", r"\N", "n/a"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])  # a file in UTF-8 is read as it is, others are rewritten
def test_texts_for_no_value_are_missing_in_columns_of_every_type(encoding, tmp_path):
    columns = {"n": "30", "day": "2020-04-08", "at": "2020-04-08T10:00+08:00", "city": "北京", "flag": "true"}
    rows = [",".join(["registration_id", *columns]), ",".join(["r1", *columns.values()])]
    rows += [",".join([f"r{number}", *[text] * len(columns)]) for number, text in enumerate(MISSING, 2)]
    (tmp_path / "x.csv").write_text("\n".join(rows), encoding)
    index = DeviceIndex.build(tmp_path / "x.csv", tmp_path / "x", missing=MISSING, encoding=encoding)
    assert {name: attribute.role for name, attribute in index.attributes.items()} == {
        **{"n": "number", "day": "date", "at": "time", "city": "string", "tag": "tags"}
    }
    assert [index.count(f"{name} is null") for name in ("n", "day", "at", "city")] == [3] * 4
    (tmp_path / "more.csv").write_text("registration_id,city,n\nr1,NULL,31\n")
    index.update(tmp_path / "more.csv", missing=["NULL"])
    assert (index.count("city is null"), index.count("n = 31")) == (4, 1)


def test_an_id_for_no_value_is_missing_and_a_part_of_a_text_is_not(tmp_path):
    (tmp_path / "x.csv").write_text("registration_id,city\nr1,NULL x\nr2,null\nNULL,a\n")
    with pytest.raises(TableError, match=r"missing-id: .*line 4"):
        DeviceIndex.build(tmp_path / "x.csv", tmp_path / "x", missing=["NULL"])
    index = DeviceIndex.build(tmp_path / "x.csv", tmp_path / "x", missing=["NULL"], on_bad_row="reject")
    assert sorted(index.attributes["city"].values) == ["NULL x", "null"]


def test_an_odd_text_is_named_with_the_option_for_it(tmp_path):
    table = write_csv(tmp_path, "30 41 n/a")
    with pytest.raises(TableError, match="--missing n/a if that means no value"):
        DeviceIndex.build(table, tmp_path / "x")
    assert DeviceIndex.build(table, tmp_path / "x", missing=["n/a"]).attributes["x"].role == "number"


def test_texts_for_no_value_are_refused_of_tables_with_types(tmp_path):
    pl.DataFrame({"registration_id": ["r1"]}).write_ndjson(tmp_path / "x.ndjson")
    for table in (tmp_path / "x.ndjson", pl.DataFrame({"registration_id": ["r1"]})):
        with pytest.raises(TableError, match=r"bad-option: .*the table is no CSV"):
            DeviceIndex.build(table, tmp_path / "x", missing=["NULL"])


def test_wrong_date_formats_are_rejected(tmp_path):
    table = write_csv(tmp_path, "2020-04-08")
    with pytest.raises(TableError, match="is not a format of dates"):
        DeviceIndex.build(table, tmp_path / "x", date_format="day/month")
    with pytest.raises(TableError, match="no column 'y' for --date-format"):
        DeviceIndex.build(table, tmp_path / "x", date_format={"y": "%d/%m/%Y"})
    with pytest.raises(TableError, match=r"should hold dates in the format %d/%m/%Y: line 2 \('2020-04-08'\)"):
        DeviceIndex.build(table, tmp_path / "x", date_format={"x": "%d/%m/%Y"})


def write_ids(folder, *ids: str) -> str:
    (folder / "devices.csv").write_text("\n".join(["registration_id,x", *(f"{id_},a" for id_ in ids), ""]), "utf-8")
    return str(folder / "devices.csv")


def test_outer_blanks_of_ids_are_removed_and_counted(tmp_path):
    index = DeviceIndex.build(write_ids(tmp_path, " r1", "r2\u00a0", "\u3000r3", "r 4"), tmp_path / "x")
    assert sorted(index.resolve("everyone").ids()) == ["r 4", "r1", "r2", "r3"]
    assert index.reading.stripped == {"registration_id": 3}
    with pytest.raises(TableError, match=r"line 2 \('r1'\), line 3 \('r1'\)"):
        DeviceIndex.build(write_ids(tmp_path, " r1", "r1"), tmp_path / "y")


@pytest.mark.parametrize("ids", [("1.23457E+17", "r1"), ("12345.0", "12346"), ("12345.0", "12346.0"), ("1E+17", "1")])
def test_ids_that_a_spreadsheet_changed_are_refused(ids, tmp_path):
    with pytest.raises(TableError, match=r"digits lost: line 2"):
        DeviceIndex.build(write_ids(tmp_path, *ids), tmp_path / "x")


@pytest.mark.parametrize("ids", [("007", "7"), ("1e5", "12e44"), ("12345.0", "abc"), ("1.0", "2.1")])
def test_ids_that_look_like_numbers_are_kept(ids, tmp_path):
    index = DeviceIndex.build(write_ids(tmp_path, *ids), tmp_path / "x")
    assert sorted(index.resolve("everyone").ids()) == sorted(ids)


MESSY = 'registration_id,age,note\nr1,30,"two\nlines"\nr2,abc,x\nr3,41\n1.2E+17,50,x\n,60,x\nr4,70,y\n'


def test_bad_rows_are_written_to_a_file(tmp_path):
    (tmp_path / "devices.csv").write_text(MESSY)
    index = DeviceIndex.build(tmp_path / "devices.csv", tmp_path / "x.index", on_bad_row="reject")
    assert sorted(index.resolve("everyone").ids()) == ["r1", "r4"]
    rejects = tmp_path / "x.index.rejects.csv"
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    lines = [line.split(",")[1] for line in rejects.read_text().splitlines()[1:]]
    assert (index.reading.rejected, index.reading.row_count, sorted(lines)) == (4, 2, ["4", "5", "6", "7"])
    assert "column 'age' should hold numbers: 'abc',\"r2,abc,x\"" in rejects.read_text()


def test_failed_build_writes_no_rejects(tmp_path):
    (tmp_path / "devices.csv").write_text(MESSY + "r4,1,z\n")
    with pytest.raises(TableError, match=r"line 8 \('r4'\), line 9 \('r4'\)"):
        DeviceIndex.build(tmp_path / "devices.csv", tmp_path / "x.index", on_bad_row="reject")
    assert [file.name for file in tmp_path.iterdir()] == ["devices.csv"]


def test_bad_rows_of_frames_and_updates_are_rejected(tmp_path):
    (tmp_path / "devices.ndjson").write_text(
        '{"token": "a", "n": "1"}\n{"token": null, "n": "2"}\n{"token": "c", "n": "x"}\n'
    )
    index = DeviceIndex.build(
        tmp_path / "devices.ndjson", tmp_path / "x", numbers=["n"], on_bad_row="reject", rejects=tmp_path / "bad.csv"
    )
    assert (len(index), index.reading.rejected) == (1, 2)
    assert (
        ',3,"column \'n\' should hold a number, like 30 or 1.5: \'x\'","{""token"":""c"",""n"":""x""}"'
        in (tmp_path / "bad.csv").read_text()
    )
    (tmp_path / "more.csv").write_text("token;n\nb;7\nd;seven\n")
    with pytest.raises(TableError, match=r"'n' should hold a number, like 30 or 1.5: line 3 \('seven'\)"):
        index.update(tmp_path / "more.csv")
    result = index.update(tmp_path / "more.csv", on_bad_row="reject", rejects=tmp_path / "bad.csv")
    assert (result.added, result.reading.rejected, len(index)) == (1, 1, 2)
    assert index.count("n = 7") == 1


def test_update_reads_dates_by_the_role_of_the_index(tmp_path):
    index = DeviceIndex.build(write_csv(tmp_path, "2020-04-08"), tmp_path / "x")
    index.update(write_csv(tmp_path, "13/04/2020"))
    assert index.count("x = 2020-04-13") == 1
    with pytest.raises(TableError, match="ambiguous-date"):
        index.update(write_csv(tmp_path, "03/04/2020"))
    index.update(write_csv(tmp_path, "03/04/2020"), date_format="%d/%m/%Y")
    assert index.count("x = 2020-04-03") == 1


def test_build_reports_every_decision(audience, folder):
    (folder / "devices.csv").write_bytes("registration_id;vip;code\n r1;1;007\n".encode("utf-16"))
    code, out, err = audience("index", "build", "devices.csv", "-o", "z.index")
    assert code == 0
    assert "encoding utf-16-le, byte order mark" in err
    assert "write vip = 1" in err
    assert "outer blanks of 1 id removed" in err
    code, out, err = audience("index", "build", "devices.csv", "-o", "w.index", "--json")
    reading = json.loads(out)["reading"]
    assert (code, err) == (0, "")
    assert reading["files"][0]["delimiter"] == ";"
    assert reading["columns"][2]["role"] == "string"
    assert (reading["rows"], reading["stripped_ids"]) == (1, {"registration_id": 1})


ROWS = [
    ("r1", "a", "Rome", None),
    ("r2", "b", None, 5),
    ("r1", "c", None, 7),
    ("r2", "b;d", "Bonn", None),
    ("r1", "a", "Rome", 7),
]
REPEATED = pl.DataFrame(ROWS, schema=["token", "labels", "city", "age"], orient="row")


@pytest.mark.parametrize("rows_in_shard", [100, 2, 1])
def test_rows_of_one_id_are_refused_merged_or_the_last_counts(rows_in_shard, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "MAX_SHARD_DEVICES", rows_in_shard)
    with pytest.raises(TableError, match="duplicate-id"):
        DeviceIndex.build(REPEATED, tmp_path / "x", split={"labels": ";"})
    last = DeviceIndex.build(REPEATED, tmp_path / "last", split={"labels": ";"}, duplicates="last")
    assert (len(last), last.reading.duplicates) == (2, 3)
    assert {text: sorted(last.resolve(text).ids()) for text in ("a", "c", "b AND d", "age = 7", "age = 5")} == {
        "a": ["r1"],
        "c": [],
        "b AND d": ["r2"],
        "age = 7": ["r1"],
        "age = 5": [],
    }
    merged = DeviceIndex.build(REPEATED, tmp_path / "merged", split={"labels": ";"}, duplicates="merge")
    assert (len(merged), merged.reading.duplicates) == (2, 3)
    assert sorted(merged.resolve("a AND c AND city:Rome AND age = 7").ids()) == ["r1"]
    assert sorted(merged.resolve("b AND d AND city:Bonn AND age = 5").ids()) == ["r2"]
    conflicting = REPEATED.with_columns(city=pl.Series(["Rome", None, "Paris", "Bonn", None]))
    with pytest.raises(TableError, match="rows of the id 'r1' have different values: 'Rome' and 'Paris'"):
        DeviceIndex.build(conflicting, tmp_path / "y", split={"labels": ";"}, duplicates="merge")


@pytest.mark.parametrize("rows_in_chunk", [100, 2, 1])
def test_update_takes_the_last_row_of_an_id_or_merges_them(rows_in_chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(update_module, "MAX_CHUNK_DEVICES", rows_in_chunk)
    start = pl.DataFrame({"token": ["r1", "r9"], "labels": ["z", "z"], "kept": ["k", "k"]})
    for duplicates, r1 in (("last", "a AND NOT c AND kept:k"), ("merge", "a AND c AND city:Rome AND kept:k")):
        index = DeviceIndex.build(start, tmp_path / duplicates, split={"labels": ";"})
        result = index.update(REPEATED, new=["city", "age"], duplicates=duplicates)
        assert (result.changed, result.added, len(index), result.reading.duplicates) == (1, 1, 3, 3)
        assert sorted(index.resolve(f"{r1} AND age = 7 AND NOT z").ids()) == ["r1"]
    with pytest.raises(TableError, match="duplicate-id"):
        index.update(REPEATED)


def test_table_without_a_good_row_replaces_nothing(tmp_path):
    table = tmp_path / "devices.csv"
    table.write_text("registration_id,age\nr1,5\n")
    DeviceIndex.build(table, tmp_path / "index")
    table.write_text("registration_id,age\n,5\n,6\n")
    with pytest.raises(TableError, match="all 2 rows are bad") as caught:
        DeviceIndex.build(table, tmp_path / "index", replace=True, on_bad_row="reject")
    assert caught.value.code == "no-good-row"
    assert len(DeviceIndex.open(tmp_path / "index")) == 1
    assert len((tmp_path / "index.rejects.csv").read_text().splitlines()) == 3
