"""Commands that change and maintain an index and its segments, with valid and invalid input."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from audience import DeviceIndex
from audience.index.storage.published import LocalStorage
from audience.index.storage.write_lock import lock_for_update
from audience.testing.devices import generate_devices

TABLE_CSV = "registration_id,province,level\nr1,hunan,1\nr2,hunan,2\nr 3,gansu,3\n007,gansu,4\n"


@pytest.fixture
def small(audience, tmp_path, monkeypatch) -> Path:
    """Return a folder with an index of four devices, and make it the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.csv").write_text(TABLE_CSV)
    DeviceIndex.build("devices.csv", "x.index")
    return tmp_path


def snapshot_numbers() -> list[int]:
    return [snapshot.number for snapshot in DeviceIndex.open("x.index").history()]


def tagged_ids() -> list[str]:
    """Return the ids of the devices with the tag `seen`."""
    index = DeviceIndex.open("x.index")
    return sorted(index.resolve("seen").ids()) if "tag" in index.attributes else []


def test_update_changes_and_adds_devices(audience, small):
    (small / "more-1.csv").write_text("\ufeffregistration_id,level\r\nr1,9\r\n")
    (small / "more-2.csv").write_text("registration_id,level\nr9,9\n")
    assert audience("index", "update", "x.index", "more-*.csv") == (
        0,
        "snapshot 2: 1 changed, 1 added, 5 devices\n",
        "",
    )
    assert audience("count", "x.index", "level > 8")[1] == "2\n"
    pl.DataFrame({"registration_id": ["r2"], "colour": ["red"], "junk": [1]}).write_parquet("new.parquet")
    assert "use --new colour" in audience("index", "update", "x.index", "new.parquet")[2]
    words = ["--new", "colour", "--ignore", "junk", "--json"]
    code, out, _ = audience("index", "update", "x.index", "new.parquet", *words)
    assert (code, json.loads(out)["changed"], json.loads(out)["snapshot"]) == (0, 1, 3)
    assert audience("count", "x.index", "colour:red")[1] == "1\n"


REJECTED_UPDATES = {
    "an empty file": ("", "more.csv is empty"),
    "no id column": ("name,level\nr1,9\n", "hint: call it registration_id, as the index does"),
    "a duplicate id": ("registration_id,level\nr1,9\nr1,8\n", "duplicate-id"),
    "a missing id": ("registration_id,level\n,9\n", "missing-id"),
    "an unknown column": ("registration_id,levle\nr1,9\n", "did you mean level?"),
}


@pytest.mark.parametrize(("text", "message"), REJECTED_UPDATES.values(), ids=REJECTED_UPDATES.keys())
def test_rejected_update_changes_nothing(text, message, audience, small):
    (small / "more.csv").write_text(text)
    code, out, err = audience("index", "update", "x.index", "more.csv")
    assert (code, out) == (2, "")
    assert message in err
    assert snapshot_numbers() == [1]


def write_id_file(name: str, data: bytes) -> list[str]:
    Path(name).write_bytes(data)
    return ["--ids", name]


ID_SOURCES = {
    "words": (lambda: ["r1", "r 3", "r1"], ["r 3", "r1"]),
    "Windows lines with a byte order mark": (
        lambda: write_id_file("ids.txt", b"\xef\xbb\xbf r1 \r\n\r\nr 3\r\n007\r\n"),
        ["007", "r 3", "r1"],
    ),
    "a file with another suffix": (lambda: write_id_file("ids.list", b"r2"), ["r2"]),
    "CSV": (lambda: write_id_file("ids.csv", b"level,registration_id\n1,007\n"), ["007"]),
    "the same id twice": (lambda: write_id_file("ids.csv", b"registration_id\nr1\nr1\n"), ["r1"]),
    "NDJSON": (
        lambda: write_id_file("ids.ndjson", b'{"token": "r1", "x": [1]}\n{"token": "r2"}\n{"token": null}\n'),
        ["r1", "r2"],
    ),
    "a column by its name": (lambda: [*write_id_file("ids.csv", b"name\n007\n"), "--column", "name"], ["007"]),
    "a known column by its name": (
        lambda: [*write_id_file("ids.csv", b"registration_id\n007\n"), "--column", "registration_id"],
        ["007"],
    ),
    "several files and words": (
        lambda: [*write_id_file("a.txt", b"r1"), *write_id_file("b.csv", b"device_id\nr2\n"), "007"],
        ["007", "r1", "r2"],
    ),
}


@pytest.mark.parametrize(("make", "tagged"), ID_SOURCES.values(), ids=ID_SOURCES.keys())
def test_ids_are_read_from_words_and_files(make, tagged, audience, small):
    code, out, err = audience("index", "tag", "x.index", "--add", "seen", *make())
    assert (code, err) == (0, "")
    assert out == f"snapshot 2: {len(tagged)} changed, 4 devices\n"
    assert tagged_ids() == tagged


def test_ids_from_parquet_and_stdin(audience, small, monkeypatch):
    pl.DataFrame({"registration_id": ["r1", None]}).write_parquet("ids.parquet")
    assert audience("index", "tag", "x.index", "--add", "seen", "--ids", "ids.parquet")[0] == 0
    for words in (["-"], ["--ids", "-"]):
        monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffr2\r\n"))
        assert audience("index", "tag", "x.index", "--add", "seen", *words)[0] == 0
    assert tagged_ids() == ["r1", "r2"]
    monkeypatch.setattr("sys.stdin", None)
    code, _, err = audience("index", "remove", "x.index", "-")
    assert (code, "no-input" in err) == (2, True)


REJECTED_TAGS = {
    "no ids": (["--add", "a"], "no ids were given"),
    "no tag": (["r1"], "no-tag"),
    "a tag added and removed": (["r1", "--add", "a", "--remove", "a"], "both-ways"),
    "an empty tag": (["r1", "--add", ""], "empty-name"),
    "a tag with a type": (["r1", "--add", "province:hunan"], "change column province"),
    "a missing file": (["--add", "a", "--ids", "nothing.txt"], "nothing.txt"),
    "a missing table": (["--add", "a", "--ids", "nothing.csv"], "no-file"),
    "a table without an id column": (["--add", "a", "--ids", "names.csv"], "no column registration_id"),
    "a missing column": (["--add", "a", "--ids", "names.csv", "--column", "nam"], "did you mean name?"),
    "a column of a text file": (["--add", "a", "--ids", "ids.txt", "--column", "name"], "bad-option"),
    "a binary file": (["--add", "a", "--ids", "binary.txt"], "binary.txt"),
    "decimal numbers": (["--add", "a", "--ids", "names.parquet", "--column", "x"], "not-ids"),
    "a missing index": (["--add", "a", "r1"], "no-index"),
    "a negative wait": (["--add", "a", "r1", "--wait", "-1"], "--wait"),
    "a wait that is not a number": (["--add", "a", "r1", "--wait", "nan"], "--wait"),
    "an infinite wait": (["--add", "a", "r1", "--wait", "inf"], "--wait"),
}


@pytest.mark.parametrize("case", REJECTED_TAGS)
def test_rejected_tag_command_changes_nothing(case, audience, small):
    words, message = REJECTED_TAGS[case]
    (small / "names.csv").write_text("name\nr1\n")
    pl.DataFrame({"x": [1.5]}).write_parquet("names.parquet")
    (small / "ids.txt").write_text("r1\n")
    (small / "binary.txt").write_bytes(b"\xff\xfe\x00")
    code, out, err = audience("index", "tag", "nowhere" if case == "a missing index" else "x.index", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert snapshot_numbers() == [1]


def test_unknown_ids_are_reported(audience, small):
    code, out, err = audience("index", "tag", "x.index", "--add", "seen", "r1", "z1", " r2", *map(str, range(9)))
    assert (code, out) == (0, "snapshot 2: 1 changed, 4 devices\n")
    assert "11 of 12 ids belong to no device: 'z1', ' r2', '0', '1', '2', …" in err
    (small / "empty.txt").write_text("\n")
    code, out, err = audience("index", "remove", "x.index", "--ids", "empty.txt", "--json")
    assert (code, json.loads(out)["removed"]) == (0, 0)
    assert json.loads(err)["warnings"][0]["code"] == "no-ids"
    for name in ("empty.csv", "empty.ndjson"):
        assert "no changes" in audience("index", "remove", "x.index", *write_id_file(name, b""))[1]
    assert "snapshot 2 is still current" in audience("index", "remove", "x.index", "z9")[1]


def test_restore_brings_back_removed_devices(audience, small):
    assert audience("index", "remove", "x.index", "r1", "007")[1] == "snapshot 2: 2 removed, 2 devices\n"
    assert audience("count", "x.index", "everyone")[1] == "2\n"
    assert audience("index", "restore", "x.index", "1")[1] == "snapshot 3 restores snapshot 1: 4 devices\n"
    code, _, err = audience("index", "restore", "x.index", "9")
    assert (code, "it keeps 1, 2, 3" in err) == (2, True)
    lines = audience("index", "history", "x.index")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["snapshot", "1", "2", "3"]
    assert json.loads(audience("index", "history", "x.index", "--json")[1])[1]["devices"] == 2


def test_compact_backup_and_vacuum(audience, small):
    for number in range(3):
        audience("index", "tag", "x.index", "--add", f"t{number}", "r1")
    assert "no changes" in audience("index", "compact", "x.index")[1]
    assert audience("index", "backup", "x.index", "-o", "copy.index")[0] == 0
    assert audience("count", "copy.index", "t0 AND t2")[1] == "1\n"
    code, _, err = audience("index", "backup", "x.index", "-o", "copy.index")
    assert (code, "already exists" in err, "--replace" in err) == (2, True, False)
    for keep in (["--keep", "0"], [], ["--keep", "one"]):
        assert audience("index", "vacuum", "x.index", *keep)[0] == 2
    code, out, _ = audience("index", "vacuum", "x.index", "--keep", "2", "--json")
    assert (code, json.loads(out)["kept"]) == (0, snapshot_numbers()) == (0, snapshot_numbers()[-2:])
    assert audience("index", "vacuum", "x.index", "--keep", "99")[1].startswith("0 files removed")
    assert audience("index", "check", "x.index")[0] == 0


def test_info_shows_deleted_rows_until_compacted(audience, small):
    first = DeviceIndex.build(generate_devices(200), "y.index").resolve("everyone").ids()[0]
    assert audience("index", "remove", "y.index", first)[0] == 0
    assert "199 devices, 1 deleted row" in audience("index", "info", "y.index")[1]
    assert audience("index", "compact", "y.index")[1] == "snapshot 3: 199 devices\n"
    out = audience("index", "info", "y.index")[1]
    assert "deleted" not in out
    assert "snapshot   3, 20" in out


WRITE_COMMANDS = {
    "update": ["index", "update", "x.index", "devices.csv"],
    "tag": ["index", "tag", "x.index", "--add", "a", "r1"],
    "remove": ["index", "remove", "x.index", "r1"],
    "compact": ["index", "compact", "x.index"],
    "restore": ["index", "restore", "x.index", "1"],
    "vacuum": ["index", "vacuum", "x.index", "--keep", "1"],
    "save": ["segment", "save", "x.index", "a", "everyone"],
    "drop": ["segment", "drop", "x.index", "a"],
}


@pytest.mark.parametrize("words", WRITE_COMMANDS.values(), ids=WRITE_COMMANDS.keys())
def test_second_writer_is_rejected_and_readers_work(words, audience, small):
    with lock_for_update(LocalStorage(Path("x.index")), "a long update"):
        code, out, err = audience(*words)
        assert (code, out) == (1, "")
        assert "a long update" in err
        assert audience("count", "x.index", "everyone", "--json")[0] == 0
        assert json.loads(audience(*words, "--wait", "0.1", "--json")[2])["errors"][0]["code"] == "locked"
    assert snapshot_numbers() == [1]


@pytest.mark.parametrize(
    "words", [*WRITE_COMMANDS.values(), ["segment", "list", "x.index"], ["index", "history", "x.index"]]
)
def test_missing_index_is_rejected(words, audience, small):
    code, out, err = audience(*["nowhere" if word == "x.index" else word for word in words])
    assert (code, out) == (2, "")
    assert "no-index" in err
    assert not Path("nowhere").exists()


def test_segment_save_list_and_drop(audience, small):
    assert audience("segment", "list", "x.index")[1] == "no segments\n"
    assert (
        audience("segment", "save", "x.index", "south", "province:hunan")[1]
        == "snapshot 2: segment @south saved, 2 devices\n"
    )
    assert audience("segment", "save", "x.index", "@big spenders", "@south AND level > 1")[0] == 0
    assert audience("count", "x.index", '@"big spenders"')[1] == "1\n"
    table = audience("segment", "list", "x.index")[1].splitlines()
    assert table[1:] == [
        "@south                 2  province:hunan",
        '@"big spenders"        1  @south AND level > 1',
    ]
    assert audience("segment", "show", "x.index", "big spenders")[1] == "@south AND level > 1\n"
    facts = json.loads(audience("segment", "show", "x.index", "big spenders", "--json")[1])
    assert facts["expanded"] == "province:hunan AND level > 1"
    assert "segments   @south" in audience("index", "info", "x.index")[1]
    assert json.loads(audience("index", "info", "x.index", "--json")[1])["segments"]["south"] == "province:hunan"
    code, _, err = audience("segment", "drop", "x.index", "south")
    assert (code, "is mentioned by" in err) == (2, True)
    assert audience("segment", "drop", "x.index", "big spenders")[0] == 0
    assert audience("segment", "drop", "x.index", "@south")[1] == "snapshot 5: segment @south deleted\n"
    assert json.loads(audience("segment", "list", "x.index", "--json")[1]) == []


REJECTED_SEGMENTS = {
    "an empty name": (["save", "x.index", "@", "everyone"], "empty-name"),
    "a cycle": (["save", "x.index", "a", "@a"], "segment-cycle"),
    "an unknown attribute": (["save", "x.index", "a", "provnce:hunan"], "did you mean province?"),
    "an incomplete expression": (["save", "x.index", "a", "hunan AND"], "missing-operand"),
    "an unknown segment": (["show", "x.index", "a"], "unknown-segment"),
    "a missing segment": (["drop", "x.index", "a"], "unknown-segment"),
}


@pytest.mark.parametrize(("words", "message"), REJECTED_SEGMENTS.values(), ids=REJECTED_SEGMENTS.keys())
def test_invalid_segment_is_rejected(words, message, audience, small):
    code, out, err = audience("segment", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert snapshot_numbers() == [1]


def test_explain_shows_split_variants(audience):
    expr = 'male AND split(a:45%, "b c":45%, summer)'
    tree = json.loads(audience("explain", "devices.index", expr, "--json")[1])["tree"]
    index = DeviceIndex.open("devices.index")
    variants = {line["text"]: (line["devices"], line["remaining"]) for line in tree if line["depth"] == 2}
    assert list(variants) == ["a:45%", '"b c":45%', "held out, 10%"]
    for text, variant_expr in (
        ("a:45%", "split(a:45%, b:45%, summer) = a"),
        ('"b c":45%', "split(a:45%, b:45%, summer) = b"),
        ("held out, 10%", "NOT split(a:45%, b:45%, summer)"),
    ):
        assert variants[text] == (index.count(variant_expr), index.count(f"male AND {variant_expr}"))
    assert sum(remaining for _, remaining in variants.values()) == index.count("male")
    out = audience("explain", "devices.index", "split(a:50%, b:50%, summer)")[1]
    assert "a:50%" in out
    assert "held out" not in out
    variant = json.loads(audience("explain", "devices.index", "split(a:45%, summer) = a", "--json")[1])["tree"]
    assert [line["depth"] for line in variant] == [0]


def test_interrupted_build_leaves_nothing(audience, small, monkeypatch):
    def raise_interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("audience.index.ingest.encoded_shards._encode_and_write", raise_interrupt)
    code, out, err = audience("index", "build", "devices.csv", "-o", "y.index")
    assert (code, out) == (130, "")
    assert err == "interrupted: stopped before it was done\n"
    assert sorted(path.name for path in small.iterdir()) == ["devices.csv", "x.index"]
    err = audience("index", "build", "devices.csv", "-o", "y.index", "--json")[2]
    assert json.loads(err)["errors"][0]["code"] == "interrupted"


def test_interrupted_update_leaves_old_snapshot(audience, small, monkeypatch):
    def raise_interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("audience.index.changes.update.reject_shared_tags", raise_interrupt)
        assert audience("index", "update", "x.index", "devices.csv")[0] == 130
    assert snapshot_numbers() == [1]
    assert audience("index", "check", "x.index")[1] == "snapshot 1: 5 files verified\n"
    assert audience("index", "vacuum", "x.index", "--keep", "1")[1] == "4 files removed; snapshots kept: 1\n"
    assert audience("index", "update", "x.index", "devices.csv")[0] == 0


def test_ctrl_c_stops_waiting_command(small):
    line = [sys.executable, "-m", "audience", "index", "tag", "x.index", "--add", "a", "r1", "--wait", "60"]
    with lock_for_update(LocalStorage(Path("x.index")), "update"):
        ran = subprocess.Popen(line, stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        with pytest.raises(subprocess.TimeoutExpired):
            ran.wait(8)
        ran.send_signal(signal.SIGINT)
        _, err = ran.communicate(timeout=30)
    assert (ran.returncode, err) == (130, b"interrupted: stopped before it was done\n")
