"""Shards that are written again with other tags: their files of ids are not, and no file that is published changes."""

import os

import polars as pl
import pytest

from audience import AudienceError, DeviceIndex

TOKENS = [f"r{at}" for at in range(60)]
TABLE = pl.DataFrame({"token": TOKENS, "tags": [["a"] if at % 3 else ["b"] for at in range(60)]})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(TABLE, tmp_path / "index")


def read_shards(index: DeviceIndex) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (index.folder / "shards").iterdir()}


def test_files_of_ids_are_those_of_the_shard_before(index):
    before = read_shards(index)
    index.tag(TOKENS[::2], add="c", remove="a")
    for kind in ("ids", "lookup"):
        files = [*(index.folder / "shards").glob(f"*.{kind}.arrow")]
        assert len(files) == 2 and len({file.stat().st_ino for file in files}) == 1
    after = read_shards(index)
    assert {name: after[name] for name in before} == before
    opened = DeviceIndex.open(index.folder)
    assert (opened.count("c"), opened.count("a"), opened.count("token(r4) AND c")) == (30, 20, 1)
    assert opened.verify()


def test_copies_take_the_place_of_names_where_a_disk_has_none(index, monkeypatch):
    def refuse(*words: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    index.tag(TOKENS[::2], add="c")
    monkeypatch.undo()
    assert {file.stat().st_nlink for file in (index.folder / "shards").iterdir()} == {1}
    assert {oct(file.stat().st_mode & 0o777) for file in (index.folder / "shards").iterdir()} == {"0o600"}
    assert DeviceIndex.open(index.folder).count("c AND token(r4)") == 1


def test_draft_that_a_full_disk_has_left_is_not_written_into(index, monkeypatch):
    before = read_shards(index)

    def fill_disk(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_disk)
    for change in (
        lambda: index.tag(TOKENS[:30], add="c"),
        lambda: index.update(pl.DataFrame({"token": TOKENS[:30], "tags": [["c"]] * 30})),
    ):
        with pytest.raises(AudienceError, match="No space left"):
            change()
    monkeypatch.undo()
    assert {name: data for name, data in read_shards(index).items() if name in before} == before


def test_damaged_ids_are_no_sound_ids_of_the_new_shard(index):
    (ids,) = (index.folder / "shards").glob("*.ids.arrow")
    data = bytearray(ids.read_bytes())
    at = data.index(b"r11r1")
    data[at + 1] = ord("9")
    ids.write_bytes(data)
    opened = DeviceIndex.open(index.folder)
    with pytest.raises(AudienceError, match="is not what was written"):
        opened.tag(["r30", "r31"], add="c")
        DeviceIndex.open(index.folder).resolve("everyone").ids()
