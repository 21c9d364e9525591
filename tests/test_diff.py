"""Audiences in two snapshots: devices that came, went and stayed, by their numbers."""

import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, InvalidIndexError

TABLE = pl.DataFrame({"token": ["t1", "t2", "t3", "t4"], "tags": [["a"], ["a", "b"], ["b"], ["a"]]})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    index.tag(["t1"], remove="a")
    index.tag(["t3"], add="a")
    index.remove(["t4"])
    index.update(pl.DataFrame({"token": ["t5"], "tags": [["a"]]}))
    return index


def ids(devices):
    return sorted(devices.ids())


def test_devices_are_listed_by_what_became_of_them(index):
    diff = index.diff("a", 1, 5)
    assert (ids(diff.came), ids(diff.went), ids(diff.stayed)) == (["t3", "t5"], ["t1", "t4"], ["t2"])
    assert (ids(diff.added), ids(diff.removed)) == (["t5"], ["t4"])
    assert (diff.from_, diff.to, diff.came.snapshot.manifest.number, diff.went.snapshot.manifest.number) == (1, 5, 5, 1)
    back = index.diff("a", 5, 1)
    assert (ids(back.came), ids(back.went), ids(back.added)) == (["t1", "t4"], ["t3", "t5"], ["t4"])
    same = index.diff("a", 3, 3)
    assert (len(same.came), len(same.went), len(same.stayed)) == (0, 0, 3)
    assert repr(diff) == "<Diff of snapshots 1 and 5: 2 came, 2 went, 1 stayed>"
    assert "2, 1 of them new in the index" in diff._repr_html_()


def test_device_that_was_removed_and_added_again_is_another_device(index):
    index.update(pl.DataFrame({"token": ["t4"], "tags": [["a"]]}))
    diff = index.diff("a", 1, 6)
    assert "t4" in ids(diff.removed)
    assert "t4" in ids(diff.added)


def test_segment_is_what_it_is_now(index):
    index.save_segment("vip", "a")
    assert ids(index.diff("@vip", 1, 5).went) == ["t1", "t4"]


def test_both_snapshots_are_asked_at_one_moment(tmp_path):
    table = pl.DataFrame({"token": ["t1", "t2"], "active": ["2026-11-20", "2026-11-27"]})
    index = DeviceIndex.build(table, tmp_path / "x.index", dates=["active"])
    index.update(pl.DataFrame({"token": ["t1"], "active": ["2026-11-28"]}), date_format={"active": "%Y-%m-%d"})
    diff = index.diff("active within 3 days", 1, 2, as_of="2026-11-28T12:00")
    assert (ids(diff.came), ids(diff.went), ids(diff.stayed)) == (["t1"], [], ["t2"])


@pytest.mark.parametrize("numbers", [(1, 9), (9, 1), (0, 5), (-1, 5)])
def test_snapshot_that_is_gone_is_an_error_with_those_that_are_kept(index, numbers):
    with pytest.raises(InvalidIndexError, match="keeps no snapshot") as caught:
        index.diff("a", *numbers)
    assert "it keeps 1, 2, 3, 4, 5" in str(caught.value)


def test_snapshot_that_cannot_answer_is_named(index):
    index.update(pl.DataFrame({"token": ["t1"], "city": ["x"]}), new=["city"])
    with pytest.raises(ExpressionError, match=r"snapshot 1: .*city"):
        index.diff("city:x", 1, 6)


operations = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "tag", "untag", "compact"]), st.sets(st.integers(0, 7), min_size=1)),
    min_size=1,
    max_size=6,
)


@given(operations, st.data())
@settings(max_examples=25, deadline=None)
def test_diff_is_that_of_sets_of_devices(changes, data):
    """The oracle numbers the devices itself: one that comes back is another one."""
    with tempfile.TemporaryDirectory() as folder:
        index = DeviceIndex.build(pl.DataFrame({"token": ["t0", "t1"], "tags": [["a"], ["b"]]}), Path(folder) / "x")
        devices, next_number = {"t0": (0, True), "t1": (1, False)}, 2
        states = {1: dict(devices)}
        for operation, tokens in changes:
            names = [f"t{number}" for number in sorted(tokens)]
            match operation:
                case "add":
                    new = [name for name in names if name not in devices]
                    if new:
                        index.update(pl.DataFrame({"token": new, "tags": [["a"]] * len(new)}))
                    for name in new:
                        devices[name], next_number = (next_number, True), next_number + 1
                case "remove":
                    names = [name for name in names if name in devices][: len(devices) - 1]
                    index.remove(names)
                    devices = {name: state for name, state in devices.items() if name not in names}
                case "tag" | "untag":
                    (index.tag(names, add="a") if operation == "tag" else index.tag(names, remove="a"))
                    devices |= {name: (devices[name][0], operation == "tag") for name in names if name in devices}
                case "compact":
                    index.compact()
            states[index.snapshot.manifest.number] = dict(devices)
        known = sorted(states)
        from_, to = data.draw(st.sampled_from(known)), data.draw(st.sampled_from(known))
        diff = index.diff("a", from_, to)
        before, after = ({(n, name) for name, (n, has) in states[each].items() if has} for each in (from_, to))
        all_before, all_after = ({(n, name) for name, (n, _) in states[each].items()} for each in (from_, to))
        expected = {
            "came": after - before,
            "went": before - after,
            "stayed": before & after,
            "added": after - all_before,
            "removed": before - all_after,
        }
        for field, numbered in expected.items():
            assert ids(getattr(diff, field)) == sorted(name for _, name in numbered), field


def test_command_prints_counts_and_writes_files(audience, index, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(index.folder)
    lines = audience("diff", path, "a", "1", "5")[1].splitlines()
    assert [line.split()[:2] for line in lines] == [["came", "2"], ["went", "2"], ["stayed", "1"]]
    words = ["--came", "came.csv", "--went", "went.ndjson", "--columns", "id,tags", "--json"]
    code, out, _ = audience("diff", path, "a", "1", "5", *words)
    facts = json.loads(out)
    assert (code, facts["came"], facts["added"], facts["went"], facts["removed"], facts["stayed"]) == (0, 2, 1, 2, 1, 1)
    assert sorted(Path("came.csv").read_text().splitlines()) == ["id,tags", "t3,a;b", "t5,a"]
    assert sorted(map(json.loads, Path("went.ndjson").read_text().splitlines()), key=lambda row: row["id"]) == [
        {"id": "t1", "tags": ["a"]},
        {"id": "t4", "tags": ["a"]},
    ]
    assert "already exists" in audience("diff", path, "a", "1", "5", *words)[2]
    code, _, err = audience("diff", path, "a", "1", "9")
    assert (code, "it keeps 1, 2, 3, 4, 5" in err) == (2, True)
