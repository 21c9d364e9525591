"""Who changed which segment, when: kept beside the snapshots, and counted in the manifests."""

import getpass
import json
import os
import sys
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, InvalidIndexError, parse
from audience.cli.login_name import find_login_name
from audience.index.changes import segments as segment_changes
from audience.index.records import segment_history
from audience.index.records.segment_history import SegmentChange, SegmentHistory

TABLE = pl.DataFrame({"token": ["t1", "t2", "t3"], "alias": ["u1", "u2", "u3"], "tags": [["a"], ["a", "b"], ["c"]]})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "devices.index")


def told(index, name=None):
    """The changes without their time."""
    return [
        (each.name, each.by, each.action, each.operation, each.expression, each.snapshot)
        for each in index.segment_history(name)
    ]


def test_each_change_has_author_moment_and_snapshot(index):
    index.save_segment("vip", "a AND b", by="li")
    index.save_segment("vip", "a", "王")
    index.save_ids("staff", ["t1"], by="li")
    index.apply_segments({"vip": "a", "new": "c"}, by="zhao")
    index.drop_segment("new", by="li")
    assert told(index) == [
        ("vip", "li", "saved", "save", "a AND b", 2),
        ("vip", "王", "saved", "save", "a", 3),
        ("staff", "li", "saved", "save", "registration_id(@staff)", 4),
        ("new", "zhao", "saved", "apply", "c", 5),
        ("new", "li", "dropped", "drop", "c", 6),
    ]
    assert told(index, "new") == told(index)[-2:]
    assert all(each.at.endswith("+00:00") for each in index.segment_history())


def test_same_expression_saved_again_is_a_change(index):
    index.save_segment("vip", "a")
    index.save_segment("vip", "a", by="li")
    assert [(each.by, each.snapshot) for each in index.segment_history("vip")] == [(None, 2), ("li", 3)]


def test_history_is_that_of_the_open_snapshot(index):
    index.save_segment("vip", "a")
    other = DeviceIndex.open(index.folder)
    other.save_segment("vip", "b")
    assert len(index.segment_history("vip")) == 1
    index.refresh()
    assert len(index.segment_history("vip")) == 2


def test_history_survives_vacuum_backup_and_replacement(index, tmp_path):
    index.save_segment("vip", "a", by="li")
    index.drop_segment("vip", by="li")
    index.vacuum()
    before = told(index)
    assert len(before) == 2
    index.backup(tmp_path / "copy.index")
    assert told(DeviceIndex.open(tmp_path / "copy.index")) == before
    index.save_segment("vip", "b", by="wang")
    built = DeviceIndex.build(TABLE, index.folder, replace=True)
    assert [(each.by, each.snapshot) for each in built.segment_history()] == [
        ("li", None),
        ("li", None),
        ("wang", None),
    ]
    built.save_segment("vip", "c")
    assert [each.snapshot for each in built.segment_history("vip")] == [None, None, None, 2]


def test_restore_records_the_segments_that_it_changes(index):
    index.save_segment("vip", "a")
    index.save_segment("other", "c")
    index.save_segment("vip", "b")
    index.restore(2, by="li")
    assert told(index)[-2:] == [
        ("other", "li", "dropped", "restore", "c", 5),
        ("vip", "li", "saved", "restore", "a", 5),
    ]
    index.restore(1, by="li")
    assert told(index)[-1] == ("vip", "li", "dropped", "restore", "a", 6)


def test_segments_lost_with_a_damaged_index_are_dropped_by_the_build(index):
    index.save_segment("vip", "a", by="li")
    index.save_segment("gone", "c", by="li")
    index.drop_segment("gone", by="li")
    (index.folder / "manifest.json").write_bytes(b"{}")
    built = DeviceIndex.build(TABLE, index.folder, replace=True)
    assert told(built)[-1] == ("vip", None, "dropped", "build", "a", 1)
    assert len(told(built)) == 4


def test_change_whose_snapshot_was_not_published_is_not_listed(index, monkeypatch):
    index.save_segment("vip", "a", by="li")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(segment_history, "publish_successor", die)
        with pytest.raises(KeyboardInterrupt):
            index.save_segment("vip", "b", by="wang")
    index.refresh()
    assert [each.by for each in index.segment_history()] == ["li"]
    index.tag(["t1"], add="d")  # takes the number of the snapshot that was not published
    assert [each.by for each in index.segment_history()] == ["li"]
    index.save_segment("vip", "c", by="zhao")
    assert [(each.by, each.expression) for each in index.segment_history()] == [("li", "a"), ("zhao", "c")]


def test_forgotten_ids_leave_the_history(index):
    index.save_segment("staff", 'alias(u1, "u2") OR a', by="li")
    index.save_segment("staff", "alias(u2)", by="li")
    index.save_segment("others", "alias(u11) OR u1x", by="li")
    index.forget(["u1"], column="alias")
    assert [(each.name, each.operation, each.expression) for each in index.segment_history()] == [
        ("staff", "save", None),
        ("staff", "save", "alias(u2)"),
        ("others", "save", "alias(u11) OR u1x"),
    ]
    index.forget(["u2"], column="alias")
    assert told(index, "staff")[1:] == [
        ("staff", "li", "saved", "save", None, 3),
        ("staff", None, "saved", "forget", "nobody", 6),
    ]
    assert b"u2" not in b"".join(file.read_bytes() for file in (index.folder / "records").iterdir())


def test_unknown_name_is_an_error_with_a_hint(index):
    index.save_segment("regulars", "a")
    with pytest.raises(ExpressionError, match="did you mean regulars") as caught:
        index.segment_history("regular")
    assert caught.value.code == "unknown-segment"


@pytest.mark.parametrize("by", ["", "a\nb", "\x1b[31m", "x" * 201, "\ud800"])
def test_author_that_cannot_be_printed_is_rejected(index, by):
    with pytest.raises(ExpressionError) as caught:
        index.save_segment("vip", "a", by=by)
    assert caught.value.code == "bad-author"
    assert DeviceIndex.open(index.folder).snapshot.manifest.number == 1


def change(number, text="a"):
    return SegmentChange(f"s{number}", "2026-11-28T09:00:00+00:00", None, "saved", "save", text, number)


def test_oldest_changes_are_let_go(monkeypatch):
    monkeypatch.setattr(segment_history, "MAX_CHANGES", 3)
    history = SegmentHistory().add([change(number) for number in range(5)])
    assert (history.let_go, len(history), [each.snapshot for each in history.changes]) == (2, 5, [2, 3, 4])
    assert [each.snapshot for each in history.first(4).changes] == [2, 3]
    assert history.first(1).changes == ()


def test_long_expressions_let_older_changes_go_but_not_the_last_one(monkeypatch):
    monkeypatch.setattr(segment_history, "MAX_TEXT", 10)
    history = SegmentHistory().add([change(0, "x" * 6), change(1, "x" * 6), change(2, "x" * 4)])
    assert [each.snapshot for each in history.changes] == [1, 2]
    assert [each.snapshot for each in history.add([change(3, "x" * 99)]).changes] == [3]


def test_users_of_segments_are_segments_and_policies(index):
    index.apply_segments({"vips": "a", "others": "NOT @vips", "big spenders": "@vips OR @others"})
    index.set_policy("consent", cap="@vips")
    assert index.segment_users() == {
        "vips": ("@others", '@"big spenders"', "policy consent"),
        "others": ('@"big spenders"',),
        "big spenders": (),
    }


def test_segment_that_a_policy_mentions_cannot_be_dropped(index):
    index.save_segment("vips", "a")
    index.set_policy("consent", cap="@vips")
    with pytest.raises(ExpressionError, match="mentioned by policy consent") as caught:
        index.drop_segment("vips")
    assert caught.value.code == "used-segment"


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["save", "drop", "apply", "tag", "restore", "vacuum"]), st.integers(0, 3)), max_size=8
)


@given(operations=OPERATIONS)
@settings(max_examples=15, deadline=None)
def test_history_replayed_gives_the_segments(operations, tmp_path_factory):
    """The last change of each name says what is saved now, whatever was done."""
    index = DeviceIndex.build(TABLE, tmp_path_factory.mktemp("law") / "devices.index")
    for operation, number in operations:
        name, text = f"s{number}", ["a", "b", "a AND c", "everyone"][number]
        match operation:
            case "save":
                index.save_segment(f"s{number % 2}", text)
            case "drop" if name in index.segments:
                index.drop_segment(name)
            case "apply":
                index.apply_segments({f"s{other}": text for other in range(number)})
            case "tag":
                index.tag(["t1"], add=f"n{number}")
            case "restore":
                kept = index.history()
                index.restore(kept[number % len(kept)].number)
            case "vacuum":
                index.vacuum(number + 1)
    last = {each.name: each for each in index.segment_history()}
    replayed = {name: each.expression for name, each in last.items() if each.action == "saved"}
    assert replayed == dict(index.snapshot.manifest.segments)


# Counts over snapshots. -----------------------------------------------------------------------------------------------


def test_counts_over_snapshots_are_those_of_each_snapshot(index):
    index.save_segment("vip", "b")
    index.tag(["t1"], add="b")
    index.update(pl.DataFrame({"token": ["t9"], "city": ["x"], "tags": [["b"]]}), new=["city"])
    index.save_segment("vip", "b AND city:x")
    counts = index.count_over_snapshots("b")
    assert [(each.number, each.device_count) for each in counts] == [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)]
    assert counts[-1].created == index.history()[-1].created
    of_segment = index.count_over_snapshots("@vip", last=3)
    assert [(each.number, each.device_count) for each in of_segment] == [(3, None), (4, 1), (5, 1)]
    assert of_segment[0].problem.code == "unknown-attribute"


def test_counts_are_asked_when_each_snapshot_was_published(tmp_path, monkeypatch):
    days = ["2026-11-01", "2026-11-10", "2026-11-20"]
    table = pl.DataFrame({"token": ["t1", "t2", "t3"], "active": days})
    index = DeviceIndex.build(table, tmp_path / "devices.index", dates=["active"])
    manifest = replace(index.snapshot.manifest, created="2026-11-12T00:00:00+00:00")
    monkeypatch.setattr(index.snapshot, "manifest", manifest)
    assert [each.device_count for each in index.count_over_snapshots("active within 7 days")] == [1]
    asked = index.count_over_snapshots("active within 7 days", as_of="2026-11-03")
    assert [each.device_count for each in asked] == [1]
    asked = index.count_over_snapshots("active within 30 days", as_of="2026-11-25")
    assert [each.device_count for each in asked] == [3]


def test_invalid_expression_and_number_are_refused(index):
    with pytest.raises(ExpressionError):
        index.count_over_snapshots("ctiy:x")
    with pytest.raises(ValueError, match="expected 1 or more"):
        index.count_over_snapshots("a", last=0)


def test_snapshot_with_a_missing_file_has_a_reason(index):
    index.update(pl.DataFrame({"token": ["t1"], "tags": [["z"]]}))
    index.compact()
    current = {*index.snapshot.manifest.file_names()}
    for file in (index.folder / "shards").iterdir():
        if file.name not in current:
            file.unlink()
    first, *_, last = DeviceIndex.open(index.folder).count_over_snapshots("a")
    assert (first.device_count, first.problem.code, last.device_count) == (None, "damaged", 1)


def test_snapshot_that_is_not_kept_is_an_error_with_those_that_are(index):
    index.tag(["t1"], add="z")
    with pytest.raises(InvalidIndexError, match="keeps no snapshot 9") as caught:
        index.restore(9)
    assert "it keeps 1, 2" in str(caught.value)


# The command. ---------------------------------------------------------------------------------------------------------


def test_command_lists_changes_and_counts(audience, index, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "li")
    path = str(index.folder)
    assert audience("segment", "save", path, "vip", "b")[0] == 0
    audience("index", "tag", path, "--add", "b", "t1")
    audience("segment", "save", path, "others", "NOT @vip")
    code, out, _ = audience("segment", "history", path, "@vip", "--counts", "--json")
    facts = json.loads(out)
    assert code == 0
    created = DeviceIndex.open(path).history()[1].created  # a moment after the change was noted
    assert facts["history"][0]["at"] <= created
    assert facts["history"] == [
        {
            "at": facts["history"][0]["at"],
            "by": "li",
            "action": "saved",
            "operation": "save",
            "expression": "b",
            "snapshot": 2,
        }
    ]
    assert (facts["used_by"], facts["snapshot"]) == (["@others"], 4)
    assert [(each["snapshot"], each["devices"], each["reason"]) for each in facts["counts"]] == [
        (1, 1, None),
        (2, 1, None),
        (3, 2, None),
        (4, 2, None),
    ]
    lines = audience("segment", "history", path, "vip", "--counts")[1].splitlines()
    assert lines[0].split() == ["changed", "by", "action", "snapshot", "expression"]
    assert lines[1].split()[1:] == ["li", "saved", "2", "b"]
    assert lines[3].split() == ["snapshot", "created", "devices"]


def test_command_lists_a_segment_that_was_dropped(audience, index):
    path = str(index.folder)
    audience("segment", "save", path, "vip", "b")
    audience("segment", "drop", path, "vip")
    code, out, notes = audience("segment", "history", path, "vip", "--counts")
    assert (code, "dropped" in out, "not saved now" in notes) == (0, True, True)
    code, _, errors = audience("segment", "history", path, "vpi")
    assert (code, "did you mean vip" in errors) == (2, True)


# Name of the author on the command line. ------------------------------------------------------------------------------


def test_login_name_is_made_printable(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: " li\x1b[31m\n ")
    assert find_login_name() == "li[31m"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no user ids")
@pytest.mark.parametrize("error", [OSError, KeyError])
def test_user_without_a_name_has_a_number(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(getpass, "getuser", fail)
    assert find_login_name() == f"uid {os.getuid()}"


def test_expression_of_history_is_canonical_text(index):
    index.save_segment("vip", parse("a and not(b)"))
    assert [each.expression for each in index.segment_history("vip")] == ["a AND NOT b"]
    assert segment_changes.find_segment_changes(index.snapshot, None) == index.segment_history()
