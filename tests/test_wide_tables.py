"""Tables with thousands of columns, indexes that replace others, and what a change of tags rewrites."""

import json

import polars as pl

from audience import DeviceIndex


def build_index(path, columns: dict, **options) -> DeviceIndex:
    return DeviceIndex.build(pl.DataFrame({"token": ["t1", "t2", "t3"], **columns}), path, **options)


def test_replaced_index_keeps_segments_and_names_what_is_lost(tmp_path, audience):
    index = build_index(tmp_path / "index", {"city": ["x", "y", "x"], "vip": [True, False, None], "age": [1, 2, 3]})
    index.save_segment("x", "city:x")
    index.save_segment("old", "age > 1 AND @x")
    index.tag(["t1", "t3"], add="told")
    (tmp_path / "new.csv").write_text("token,city,vip\nt1,x,true\nt2,x,false\n")
    words = ["index", "build", str(tmp_path / "new.csv"), "-o", str(tmp_path / "index"), "--replace", "--json"]
    words += ["--allow-loss", "names"]
    code, output, _ = audience(*words)
    assert code == 0
    facts = json.loads(output)
    assert facts["description"] == (
        "build: 2 devices; segments kept: @x, @old; segments with attributes that are gone: @old (age); "
        "tags lost: told (2 devices)"
    )
    assert facts["segments"] == {"x": "city:x", "old": "age > 1 AND @x"}
    assert DeviceIndex.open(tmp_path / "index").count("@x") == 2


def test_replacing_a_damaged_index_reports_that_its_segments_are_lost(tmp_path):
    index = build_index(tmp_path / "index", {"city": ["x", "y", "x"]})
    index.save_segment("x", "city:x")
    (tmp_path / "index" / "manifest.json").write_text("{}")
    replaced = build_index(tmp_path / "index", {"city": ["x", "y", "x"]}, replace=True)
    lost = "build: 3 devices; segments and events lost: the replaced index could not be read"
    assert (dict(replaced.segments), replaced.snapshot.manifest.description) == ({}, lost)


def test_tagging_copies_all_other_columns(tmp_path):
    columns = {f"c{number}": [number, None, -number] for number in range(200)}
    flags = {f"flag{number}": [number % 2 == 0, None, True] for number in range(200)}
    index = build_index(tmp_path / "index", {**columns, **flags})
    before = [(line.text, line.device_count) for line in index.explain(" OR ".join(f"c{at} > 5" for at in range(200)))]
    index.tag(["t1", "t2"], add=["told", "flag1"], remove="flag0")
    assert len(index.snapshot.shards) == 1 and index.snapshot.shards[0].deleted is None
    counts = [index.count(text) for text in ("told", "flag0", "flag1", "flag2", "c7 = 7", "NOT told")]
    assert counts == [2, 1, 3, 2, 1, 1]
    assert before == [
        (line.text, line.device_count) for line in index.explain(" OR ".join(f"c{at} > 5" for at in range(200)))
    ]
    index.remove(["t3"])
    index.tag(["t2"], remove="told")
    assert (len(index), index.count("told"), index.count("flag1"), set(index.resolve("everyone"))) == (
        2,
        1,
        2,
        {"t1", "t2"},
    )
    assert index.verify()


def test_flags_and_lists_of_one_column_are_one_attribute(tmp_path):
    index = build_index(tmp_path / "index", {"vip": [True, False, None], "city": ["x", "y", "x"]})
    index.update(pl.DataFrame({"token": ["t2", "t4"], "vip": [["vip", "gold"], ["vip"]]}))
    assert (set(index.resolve("vip")), set(index.resolve("gold"))) == ({"t1", "t2", "t4"}, {"t2"})
    index.update(pl.DataFrame({"token": ["t1", "t2", "t5"], "vip": [False, True, True]}))
    index.update(pl.DataFrame({"token": ["t6"], "city": ["z"]}))
    index.compact()
    assert (set(index.resolve("vip")), index.count("city:z AND NOT vip")) == ({"t2", "t4", "t5"}, 1)


def test_merged_rows_have_every_flag(tmp_path):
    rows = {"token": ["t1", "t1", "t2", "t2"], "vip": [True, None, False, None], "new": [False, True, None, None]}
    index = DeviceIndex.build(pl.DataFrame(rows), tmp_path / "index", duplicates="merge")
    index.update(
        pl.DataFrame({"token": ["t2", "t3", "t3"], "vip": [True, False, True], "new": [None, True, False]}),
        duplicates="merge",
    )
    assert (set(index.resolve("vip")), set(index.resolve("new"))) == ({"t1", "t2", "t3"}, {"t1", "t3"})
