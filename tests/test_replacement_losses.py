"""What a build with `replace` may lose of the index that it replaces: nothing that policies and segments name."""

import json

import polars as pl
import pytest

from audience import DeviceIndex, TableError

BEFORE = {"token": ["t1", "t2", "t3"], "city": ["x", "y", "x"], "age": [1, 2, 3], "vip": [True, False, True]}
AFTER = {"token": ["t1", "t2", "t4"], "city": ["x", "y", "x"], "age": [1, 2, 3], "vip": [False, False, False]}

# policy or segment; columns that the new table has not; what the refusal names
LOST = {
    "a policy that takes out a tag": ("policy", "NOT dead", (), "dead (2 devices)"),
    "a tag among others": ("policy", "city:x AND NOT (told OR dead)", (), "dead (2 devices)"),
    "a segment of a tag": ("segment", "NOT dead", (), "dead (2 devices)"),
    "a tag in a limit": ("segment", "(NOT dead) top 2 by age", (), "dead (2 devices)"),
    "a pattern of tags": ("segment", "NOT tag matches de*", (), "dead (2 devices)"),
    "an attribute of a policy": ("policy", "age >= 2", ("age",), "age"),
    "an attribute of a segment": ("segment", "city:x", ("city",), "city"),
    "a tag and an attribute": ("segment", "dead OR age > 1", ("age",), "dead (2 devices), age"),
}

# policy or segment; columns that the new table has not
KEPT = {
    "a tag that nobody had": ("policy", "NOT gone", ()),
    "a flag that nobody has now": ("policy", "NOT vip", ()),
    "an attribute that nothing names": ("segment", "city:x", ("age",)),
    "ids": ("policy", "NOT token(t1)", ()),
    "a pattern of other tags": ("segment", "NOT tag matches z*", ()),
}


def build_tagged(path, kind, expr):
    index = DeviceIndex.build(pl.DataFrame(BEFORE), path)
    index.tag(["t1", "t3"], add="dead")
    if kind == "policy":
        index.set_policy("rule", cap=expr)
    else:
        index.save_segment("rule", expr)
    return index


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "writer.lock"}


@pytest.mark.parametrize(("kind", "expr", "dropped", "named"), LOST.values(), ids=LOST)
def test_build_refuses_to_lose_what_is_named(tmp_path, kind, expr, dropped, named):
    index = build_tagged(tmp_path / "index", kind, expr)
    before = read_files(index.folder)
    table = pl.DataFrame(AFTER).drop(dropped)
    with pytest.raises(TableError) as caught:
        DeviceIndex.build(table, index.folder, replace=True)
    place = "policy rule" if kind == "policy" else "segment @rule"
    assert [(each.code, each.message) for each in caught.value.problems] == [
        ("lost-names", f"{place} names {named}, which the index has and the table has not")
    ]
    assert read_files(index.folder) == before
    built = DeviceIndex.build(table, index.folder, replace=True, allow_loss="names")
    assert built.reading.lost_tags == {"dead": 2, "vip": 2}
    again = DeviceIndex.build(table, index.folder, replace=True)  # it is lost already
    assert again.reading.lost_tags == {}


@pytest.mark.parametrize(("kind", "expr", "dropped"), KEPT.values(), ids=KEPT)
def test_build_loses_what_nothing_names(tmp_path, kind, expr, dropped):
    index = build_tagged(tmp_path / "index", kind, expr)
    built = DeviceIndex.build(pl.DataFrame(AFTER).drop(dropped), index.folder, replace=True)
    assert (len(built), built.reading.lost_tags["dead"]) == (3, 2)


def test_table_that_has_the_tag_replaces_the_index(tmp_path):
    index = build_tagged(tmp_path / "index", "policy", "NOT dead")
    table = pl.DataFrame(AFTER).with_columns(tags=pl.Series([["dead"], [], []], dtype=pl.List(pl.String)))
    assert DeviceIndex.build(table, index.folder, replace=True).count("dead") == 1


def test_empty_table_does_not_replace_devices(tmp_path, audience):
    index = DeviceIndex.build(pl.DataFrame(BEFORE), tmp_path / "index")
    (tmp_path / "tonight.csv").write_text("token,city\n")
    words = ["index", "build", str(tmp_path / "tonight.csv"), "-o", str(index.folder), "--replace"]
    before = read_files(index.folder)
    code, _, err = audience(*words)
    assert (code, "the table has no devices, and would replace an index of 3 devices" in err) == (2, True)
    assert read_files(index.folder) == before
    assert audience(*words, "--allow-loss", "devices")[0] == 0
    assert audience(*words)[0] == 0  # nothing is lost
    assert len(DeviceIndex.open(index.folder)) == 0


def test_empty_table_does_not_replace_an_unreadable_index(tmp_path):
    index = DeviceIndex.build(pl.DataFrame(BEFORE), tmp_path / "index")
    (index.folder / "manifest.json").write_text("{}")
    with pytest.raises(TableError, match="no devices, and would replace an index"):
        DeviceIndex.build(pl.DataFrame(BEFORE).clear(), index.folder, replace=True)


def test_other_lost_tags_are_a_warning(tmp_path, audience):
    index = DeviceIndex.build(pl.DataFrame(BEFORE), tmp_path / "index")
    index.tag(["t1", "t3"], add="told")
    pl.DataFrame(AFTER).write_parquet(tmp_path / "new.parquet")
    words = ["index", "build", str(tmp_path / "new.parquet"), "-o", str(index.folder), "--replace"]
    code, _, err = audience(*words)
    warning = "no device has these tags of the replaced index: told (2 devices), vip (2 devices)"
    assert (code, f"warning: lost-tags: {warning}" in err) == (0, True)
    index.refresh()
    DeviceIndex.open(index.folder).tag(["t1"], add="told")
    code, out, err = audience(*words, "--json")
    assert json.loads(err.splitlines()[-1])["warnings"][0]["code"] == "lost-tags"
    assert json.loads(out)["reading"]["lost_tags"] == {"told": 1}


def test_unknown_loss_is_refused(tmp_path):
    with pytest.raises(TableError, match="allow_loss is 'tags', expected devices or names"):
        DeviceIndex.build(pl.DataFrame(BEFORE), tmp_path / "index", allow_loss="tags")
