"""Make the segments of an index those of a folder of `.aud` files."""

import io

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, parse, render
from audience.cli.app import run
from audience.index.changes.applied_segments import apply_segments, compare_segments

TABLE = pl.DataFrame(
    {"device_id": [f"d{number}" for number in range(6)], "age": range(6), "tags": [["a"], ["a", "b"], ["c"]] * 2}
)


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    """Return an index with three segments, of which one is a list of ids."""
    index = DeviceIndex.build(TABLE, tmp_path / "i")
    index.save_segment("vip", "b")
    index.save_segment("old", "@vip AND a")
    index.save_ids("staff", ["d1", "d9"], "device_id")
    return index


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of the files, beside the index; commands run in the folder above it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    return tmp_path / "s"


@pytest.fixture
def apply(folder, capsys):
    """Run the command; its exit code, standard output and standard error."""

    def command(*options):
        with pytest.raises(SystemExit) as ended:
            run(["segment", "apply", "i", "s", *options])
        return ended.value.code, *capsys.readouterr()

    return command


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _texts(index):
    return dict(DeviceIndex.open(index.folder).snapshot.manifest.segments)


def _number(index):
    return DeviceIndex.open(index.folder).snapshot.manifest.number


FILES = {"vip.aud": "b OR c  # more\n", "new/young.aud": "@vip &&\nage<3 && @staff"}


def test_folder_is_applied_in_one_snapshot(index, folder, apply):
    _write(folder, FILES)
    code, out, err = apply("--yes")
    assert (code, err) == (0, "")
    assert out == (
        "+ @young: @vip AND age < 3 AND @staff\n"
        "~ @vip\n  - b\n  + b OR c\n"
        "- @old: @vip AND a\n"
        "= @staff: list of ids, kept\n"
        "1 added, 1 changed, 1 removed, 0 unchanged, 1 list of ids kept\n"
        "snapshot 5: segments applied\n"
    )
    assert _texts(index) == {"vip": "b OR c", "staff": "device_id(@staff)", "young": "@vip AND age < 3 AND @staff"}
    reopened = DeviceIndex.open(index.folder)
    assert (reopened.count("@young"), reopened.count("@staff")) == (1, 1)
    reopened.verify()


def test_second_run_changes_nothing(index, folder, apply):
    _write(folder, FILES)
    assert apply("--yes")[0] == 0
    code, out, _ = apply()
    assert (code, out) == (0, "= @staff: list of ids, kept\nnothing to change, 2 unchanged, 1 list of ids kept\n")
    assert _number(index) == 5


def test_dry_run_changes_nothing(index, folder, apply):
    _write(folder, FILES)
    before = sorted(index.folder.rglob("*")), _texts(index)
    assert apply("--dry-run")[0] == 0
    code, out, _ = apply("--dry-run", "--json")
    assert code == 0
    assert (sorted(index.folder.rglob("*")), _texts(index)) == before
    assert orjson.loads(out) == {
        "added": [{"name": "young", "expression": "@vip AND age < 3 AND @staff", "id_files": []}],
        "changed": [
            {
                "name": "vip",
                "before": {"expression": "b", "id_files": []},
                "after": {"expression": "b OR c", "id_files": []},
            }
        ],
        "removed": [{"name": "old", "expression": "@vip AND a", "id_files": []}],
        "unchanged": [],
        "kept": ["staff"],
        "snapshot": 4,
        "dry_run": True,
    }


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_changes_without_a_terminal_need_confirmation(index, folder, apply, options, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    _write(folder, FILES)
    code, _, err = apply(*options)
    assert (code, _number(index)) == (2, 4)
    assert "unconfirmed" in err
    assert "--yes" in err


@pytest.mark.parametrize("answer", [True, False])
def test_answer_on_terminal_decides(index, folder, apply, monkeypatch, answer):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda text, err: answer)
    _write(folder, FILES)
    code, _, _ = apply()
    assert (code, _number(index)) == ((0, 5) if answer else (1, 4))


# files => what the errors begin with, in order
ERRORS = {
    "every invalid file is named": (
        {
            "a.aud": "a AND",
            "b.aud": "a\nAND zzz:1",
            "c.aud": "# x\n @nope",
            "d.aud": b"a\n\xff",
            "e.aud": "@a",
            "vip.aud": "a",
        },
        [
            "missing-operand: s/a.aud:1:6: ",
            "unreadable-file: s/d.aud:2: ",
            "unknown-attribute: s/b.aud:2:5: ",
            "unknown-segment: s/c.aud:2:2: ",
        ],
    ),
    "cycles": (
        {"a.aud": "c AND\n@b", "b.aud": "@c", "c.aud": "NOT @a", "d.aud": "@d", "e.aud": "@a"},
        ["segment-cycle: s/c.aud:1:5: ", "segment-cycle: s/d.aud:1:1: "],
    ),
    "removed segment is mentioned": ({"old.aud": "a AND @vip"}, ["used-segment: s/old.aud:1:7: "]),
    "two files of one segment": ({"a.aud": "a", "x/a.aud": "b"}, ["same-segment: s/x/a.aud: "]),
    "missing file of ids": ({"a.aud": "a OR\ndevice_id(@x.txt)"}, ["unreadable-file: s/a.aud:2:11: "]),
    "empty file": ({"a.aud": "# nothing\n"}, ["empty-text: s/a.aud"]),
    "no file": ({"a.txt": "a"}, ["no-expressions: s contains no .aud files"]),
    "hidden files alone": ({".a.aud": "a"}, ["no-expressions: s contains no .aud files"]),
}


@pytest.mark.parametrize("what", ERRORS)
def test_invalid_folder_changes_nothing(what, index, folder, apply):
    files, starts = ERRORS[what]
    _write(folder, files)
    code, out, err = apply("--yes")
    lines = [line for line in err.splitlines() if line[0].isalpha()]
    assert (code, out, _number(index)) == (2, "", 4)
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


def test_broken_link_is_not_a_removed_segment(index, folder, apply):
    _write(folder, {"old.aud": "a"})
    (folder / "vip.aud").symlink_to("nowhere")
    code, _, err = apply("--yes")
    assert (code, _number(index)) == (2, 4)
    assert "s/vip.aud: the link is broken" in err


def test_all_segments_are_removed_only_on_request(index, folder, apply):
    assert apply("--yes")[0] == 2
    assert apply("--yes", "--allow-empty")[0] == 0
    assert list(_texts(index)) == ["staff"]


def test_file_is_not_a_folder(index, folder, capsys):
    _write(folder, {"vip.aud": "a"})
    with pytest.raises(SystemExit) as ended:
        run(["segment", "apply", "i", "s/vip.aud", "--yes"])
    assert (ended.value.code, _number(index)) == (2, 4)
    assert "s/vip.aud is not a folder" in capsys.readouterr().err


def test_file_replaces_saved_list(index, folder, apply):
    _write(folder, {"vip.aud": "b", "old.aud": "@vip AND a", "staff.aud": "device_id(d0, d1, d2)"})
    code, out, _ = apply("--yes")
    assert code == 0
    assert "~ @staff\n  - device_id(@staff)  (@staff: list of 2 ids" in out
    reopened = DeviceIndex.open(index.folder)
    assert reopened.count("@staff") == 3
    assert reopened.snapshot.manifest.segment_files == {}


def test_files_of_ids_are_read_beside_and_kept(index, folder, apply):
    files = {
        "vip.aud": "b",
        "old.aud": "@vip AND a",
        "x/team.aud": "a AND device_id(@team.txt)",
        "x/team.txt": "d0\nd1\n",
    }
    _write(folder, files)
    assert apply("--yes")[0] == 0
    assert "nothing to change" in apply()[1]
    (folder / "x" / "team.txt").write_text("d0\n")
    assert DeviceIndex.open(index.folder).count("@team") == 2
    code, out, _ = apply("--yes")
    assert (code, DeviceIndex.open(index.folder).count("@team")) == (0, 1)
    assert "  - a AND device_id(@team.txt)  (@team.txt: 2 ids" in out
    assert "1 changed, 2 unchanged, 1 list of ids kept" in out


def test_expression_that_is_a_file_of_ids_is_no_saved_list(index, folder, apply):
    files = {"vip.aud": "b", "old.aud": "@vip AND a", "team.aud": "device_id(@team.txt)", "team.txt": "d0\nd1\n"}
    _write(folder, files)
    assert apply("--yes")[0] == 0
    (folder / "team.aud").unlink()
    code, out, _ = apply("--yes")
    assert (code, set(DeviceIndex.open(index.folder).segments)) == (0, {"vip", "old", "staff"})
    assert "- @team: device_id(@team.txt)  (@team.txt: 2 ids, digest " in out
    assert "= @staff: list of ids, kept\n" in out


def test_expression_with_the_text_and_ids_of_a_saved_list_replaces_it(index, folder, apply):
    (folder / "staff").write_text("".join(f"{each}\n" for each in index.segments["staff"].values))
    _write(folder, {"vip.aud": "b", "old.aud": "@vip AND a", "staff.aud": "device_id(@staff)"})
    code, out, _ = apply("--yes")
    assert (code, "list of " in out, "1 changed, 2 unchanged\n" in out) == (0, True, True)
    assert "nothing to change, 3 unchanged\n" in apply()[1]


def test_tags_without_devices_are_warned_of_at_their_file(index, folder, apply):
    _write(folder, {"vip.aud": "a OR\nbb", "old.aud": "@vip"})
    code, _, err = apply("--yes")
    assert code == 0
    assert err.count("warning: ") == 1
    assert "warning: no-device: s/vip.aud:2:1: no device has 'bb'" in err


def test_segments_saved_after_the_review_are_not_removed(index):
    segments = {"vip": parse("b")}
    reviewed = compare_segments(segments, index.snapshot)
    DeviceIndex.open(index.folder).save_segment("new", "c")
    with pytest.raises(ExpressionError, match="changed-segments"):
        apply_segments(index.snapshot.storage, segments, None, 0, reviewed)
    assert _number(index) == 5
    index.refresh()
    index.tag(["d0"], add="z")  # other changes of the index do not matter
    assert apply_segments(index.snapshot.storage, segments, None, 0, compare_segments(segments, index.snapshot))


def test_apply_segments_names_invalid_segments(index):
    with pytest.raises(ExpressionError) as caught:
        index.apply_segments({"a": "x AND", "b": "c OR"})
    assert [problem.message.partition(":")[0] for problem in caught.value.problems] == ["@a", "@b"]
    with pytest.raises(ExpressionError, match="@a: this index has no attribute 'zzz'"):
        index.apply_segments({"a": "zzz:1", "old": "a"})
    assert _number(index) == 4


def test_too_long_expansion_is_an_error(index):
    segments = {f"s{number}": f"@s{number - 1} OR NOT @s{number - 1}" for number in range(1, 30)} | {"s0": "a"}
    with pytest.raises(ExpressionError, match="too-long: @s29: "):
        index.apply_segments(segments)


names = st.sampled_from("pqrs")
exprs = st.sampled_from(["a", "b AND NOT c", "age > 2", "device_id(d1)"])
mappings = st.dictionaries(names, exprs | names.map("@{}".format), max_size=4)


@given(before=mappings, after=mappings)
def test_segments_are_those_of_the_mapping_or_unchanged(before, after, small_index):
    small_index.apply_segments({})
    for segments in (before, after):
        held, number = dict(small_index.segments), _number(small_index)
        if _is_sound(segments):
            changes = small_index.apply_segments(segments)
            assert {name: render(expr) for name, expr in small_index.segments.items()} == segments
            assert changes.added.keys() == segments.keys() - held.keys()
            assert changes.removed.keys() == held.keys() - segments.keys()
            assert bool(changes) == (_number(small_index) != number)
        else:
            with pytest.raises(ExpressionError):
                small_index.apply_segments(segments)
            assert (dict(small_index.segments), _number(small_index)) == (held, number)


@pytest.fixture(scope="module")
def small_index(tmp_path_factory) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path_factory.mktemp("small") / "i")


def _is_sound(segments):
    """Return whether every reference leads to an expression without one."""
    for name in segments:
        text = segments[name]
        for _ in segments:
            if text.startswith("@"):
                text = segments.get(text[1:], "@")
        if text.startswith("@"):
            return False
    return True
