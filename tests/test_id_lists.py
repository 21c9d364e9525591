"""Lists of ids that an index keeps as segments."""

import orjson
import polars as pl
import pytest

from audience import DamagedError, DeviceIndex, ExpressionError, parse, plan, render
from audience.requests.writer import write_requests

TABLE = pl.DataFrame(
    {"device_id": [f"d{number}" for number in range(100)], "tpns_token": [f"t{number}" for number in range(100)]}
)
STAFF = [f"d{number}" for number in range(0, 40_000, 2)]  # 50 are in the index


@pytest.fixture
def kept(tmp_path, monkeypatch) -> DeviceIndex:
    """Return an index with a saved list of a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "staff.txt").write_text("\n".join(STAFF))
    index = DeviceIndex.build(TABLE, tmp_path / "devices.index")
    index.save_segment("staff", "device_id(@staff.txt) AND NOT device_id(d0)")
    return index


def _reopened(index):
    return DeviceIndex.open(index.folder)


def test_saved_list_does_not_change_with_its_file(kept, tmp_path):
    for change in (lambda file: file.write_text("d1\n"), lambda file: file.unlink()):
        change(tmp_path / "staff.txt")
        for index in (kept, _reopened(kept)):
            assert index.count("@staff") == 49
            assert render(index.segments["staff"]) == "device_id(@staff.txt) AND NOT device_id(d0)"
            assert index.count("NOT @staff") == 51


def test_saved_list_follows_the_devices(kept):
    kept.update(pl.DataFrame({"device_id": ["d200", "d201"], "tpns_token": ["x", "y"]}))
    assert kept.count("@staff") == 50
    kept.remove(["d2", "d3"])
    kept.compact()
    assert kept.count("@staff") == 49
    kept.vacuum()
    assert _reopened(kept).count("@staff") == 49


def test_vacuum_keeps_lists_that_a_kept_snapshot_names(kept):
    def lists():
        return sorted(path.name for path in (kept.folder / "shards").glob("*.ids.json"))

    [first] = lists()
    kept.save_ids("other", ["d1"], "device_id")
    kept.save_segment("copy", kept.segments["staff"])
    assert len(lists()) == 2
    kept.drop_segment("staff")
    kept.drop_segment("other")
    kept.vacuum()
    assert lists() == [first]
    kept.drop_segment("copy")
    kept.vacuum(keep=2)
    assert lists() == [first]
    kept.restore(kept.history()[0].number)
    assert kept.count("@copy") == 49
    kept.drop_segment("copy")
    kept.vacuum()
    assert lists() == []


def test_saved_list_is_backed_up_and_kept_by_a_new_build(kept, tmp_path):
    kept.backup(tmp_path / "backup")
    assert DeviceIndex.open(tmp_path / "backup").count("@staff") == 49
    rebuilt = DeviceIndex.build(TABLE.head(10), kept.folder, replace=True)
    assert rebuilt.count("@staff") == 4
    assert "attributes that are gone" not in rebuilt.history()[-1].description
    other = DeviceIndex.build(TABLE.select("tpns_token"), kept.folder, replace=True, allow_loss="names")
    assert "segments with attributes that are gone: @staff (device_id)" in other.history()[-1].description


def test_damaged_list_is_an_error(kept):
    [file] = (kept.folder / "shards").glob("*.ids.json")
    file.write_bytes(file.read_bytes().replace(b"d2", b"d3", 1))
    index = _reopened(kept)
    assert index.count("everyone") == 100
    for ask in (lambda: index.count("@staff"), index.verify):
        with pytest.raises(DamagedError, match=file.name):
            ask()


def test_saved_list_is_planned_and_explained_without_its_ids(kept, tmp_path):
    planned = plan("@staff", "tpns", kept)
    result = write_requests(planned, kept, tmp_path / "requests")
    manifest = orjson.loads((tmp_path / "requests/manifest.json").read_bytes())
    assert (result.devices, manifest["id_files"][0]["id_count"]) == (49, 20_000)
    for shown in (repr(planned), planned._repr_html_(), str(kept.explain("@staff")), str(manifest)):
        assert "d3776" not in shown
        assert len(shown) < 4_000


def test_ids_are_saved_by_column(kept):
    kept.save_ids("few", ["t1", "t1", "t999"], "tpns_token")
    assert (kept.count("@few"), render(kept.segments["few"])) == (1, "tpns_token(@few)")
    assert plan("@few AND NOT @few", "tpns", kept).by_ids is None
    for ids, column, code in [
        ([], "tpns_token", "empty-list"),
        (["t1"], "token", "unknown-call"),
        ([3], "device_id", "wrong-type"),
    ]:
        with pytest.raises(ExpressionError) as caught:
            kept.save_ids("few", ids, column)
        assert caught.value.code == code
    assert kept.count("@few") == 1


def test_changed_file_is_not_saved(kept, tmp_path):
    expr = parse("device_id(@staff.txt)")
    (tmp_path / "staff.txt").write_text("d1\n")
    with pytest.raises(ExpressionError, match="changed-file"):
        kept.save_segment("staff", expr)


def test_two_files_of_one_path_are_not_confused(kept, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids.txt").write_text(f"d{len(name)}{name}\n")
    exprs = [parse("device_id(@ids.txt)", folder=tmp_path / name) for name in ("a", "b")]
    with pytest.raises(ExpressionError, match="same-name"):
        kept.save_segment("both", exprs[0] | exprs[1])


@pytest.fixture
def lists(folder):
    """Return a folder of the command line with files of ids of its index."""
    ids = DeviceIndex.open(folder / "devices.index").resolve("everyone").ids().to_list()[:20]
    (folder / "staff.txt").write_text("\n".join([*ids, "unknown"]))
    table = pl.DataFrame({"name": ["x"] * 21, "registration_id": [*ids, "unknown"]})
    table.write_csv(folder / "staff.csv")
    return folder


def test_list_is_saved_by_command(lists, audience):
    for file, column in [("staff.txt", ()), ("staff.csv", ("--column", "registration_id")), ("staff.csv", ())]:
        code, out, err = audience("segment", "save", "devices.index", "staff", "--ids", file, *column)
        assert code == 0, err
        assert "segment @staff saved, 20 devices" in out
        assert f"1 of 21 ids in registration_id(@{file}) not found in the index" in err
        code, out, _ = audience("segment", "show", "devices.index", "@staff")
        assert (code, out) == (0, f"registration_id(@{file})\n")
    code, out, _ = audience("segment", "list", "devices.index")
    assert "registration_id(@staff.csv)  (@staff.csv: list of 21 ids, digest " in out
    [listed] = orjson.loads(audience("segment", "list", "devices.index", "--json")[1])
    assert [(file["path"], file["id_count"]) for file in listed["id_files"]] == [("staff.csv", 21)]
    assert audience("segment", "drop", "devices.index", "staff")[0] == 0


WRONG = {
    "nothing": ((), "expected an expression or --ids FILE"),
    "both": (("vip", "--ids", "staff.txt"), "not both"),
    "column alone": (("vip", "--column", "device_id"), "--column needs --ids FILE"),
    "no such column": (("--ids", "staff.csv", "--column", "device"), "no column 'device'"),
    "not an id column": (("--ids", "staff.csv", "--column", "name"), "unknown function 'name'"),
    "no such file": (("--ids", "none.txt"), "No such file"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_list_is_an_error(words, message, lists, audience):
    code, out, err = audience("segment", "save", "devices.index", "staff", *words)
    assert (code, out) == (2, "")
    assert message in err
