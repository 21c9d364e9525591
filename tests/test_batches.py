"""Bodies of ids are, byte for byte, what a JSON encoder writes of the vendor's listing of each thousand."""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import orjson
import polars as pl
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from audience import DeviceIndex, batches, parse, plan, vendor
from audience.errors import DamagedError, OutputError
from audience.index.ingest import build
from audience.requests.batching import iter_bodies
from audience.requests.json_bodies import framed
from audience.requests.writer import emit
from audience.vendors import reachable

even = st.text("abc0123456789-", min_size=6, max_size=6)
awkward = st.sampled_from(
    ['q"q', "b\\", "\n", "\x00\x1f", "\x7f", "四川", "😀😀", "a,b", " a", "a\u3000", "é" * 36, "x" * 37]
)
mixed = even | awkward | st.text(min_size=1)
texts = st.one_of(st.lists(each, unique=True, max_size=60) for each in (even, mixed))
wishes = st.sampled_from(["everyone", "wanted", "NOT wanted"])


@st.composite
def tables(draw):
    """Devices with an id of their own, and ids at vendors that some may not have."""
    own = draw(texts.filter(len))
    rest = {}
    for name in draw(st.sets(st.sampled_from(["tpns_token", "emas_device_id"]))):
        has = draw(st.just([True] * len(own)) | st.lists(st.booleans(), min_size=len(own), max_size=len(own)))
        rest[name] = [f"{name[0]}{each}" if there else None for each, there in zip(own, has, strict=True)]
    wanted = draw(st.lists(st.booleans(), min_size=len(own), max_size=len(own)))
    frame = pl.DataFrame({"registration_id": own, **rest, "wanted": wanted})
    return frame.cast(dict.fromkeys(("registration_id", *rest), pl.String))


def slow(crowd, to):
    """The bodies and the ids left out, the obvious way."""
    ids = crowd.tokens(to.name).to_list()
    told = [each for each in ids if each is not None and to.uncarriable(each) is None]
    bodies = [orjson.dumps(to.listing(told[at : at + to.batch])) for at in range(0, len(told), to.batch)]
    reasons = ["missing-id" if each is None else to.uncarriable(each).code for each in ids if each not in set(told)]
    return told, bodies, reasons


@given(tables(), st.integers(1, 40), st.integers(2, 9), wishes, st.data())
@example(pl.DataFrame({"registration_id": ["a" * 6], "wanted": [True]}), 3, 3, "everyone", None)
def test_bodies_are_what_an_encoder_writes(table, shard, batch, text, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "SHARD", shard)
        index = DeviceIndex.build(table, Path(folder) / "index")
        if data is not None and (dead := data.draw(st.sets(st.sampled_from(table["registration_id"].to_list())))):
            index.remove(sorted(dead))
        crowd = index.resolve(text)
        for name in reachable():
            to = replace(vendor(name), batch=batch)
            found = replace(batches(crowd, name), vendor=to)
            told, bodies, reasons = slow(crowd, to)
            assert list(found.bodies()) == bodies
            assert [orjson.dumps(body) for body in found] == bodies
            assert (len(found), found.ids.to_list()) == (len(bodies), told)
            assert found.skipped["reason"].to_list() == reasons
            assert sum(block.ids for block in found.blocks()) == len(told)
            assert list(iter_bodies(crowd, name)) == slow(crowd, vendor(name))[1]


def test_a_body_goes_on_from_one_shard_to_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SHARD", 1_300)
    index = DeviceIndex.build(pl.DataFrame({"registration_id": [f"r{at:05}" for at in range(5_000)]}), tmp_path / "i")
    assert len(index.snapshot.shards) > 2
    bodies = [json.loads(body)["to"]["registration_id"] for body in iter_bodies(index.resolve("everyone"), "engagelab")]
    assert [len(body) for body in bodies] == [1_000] * 5
    assert [each for body in bodies for each in body] == index.resolve("everyone").tokens().to_list()


def test_a_listing_that_does_more_than_to_put_ids_in_a_row_is_left_to_it(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"registration_id": [f"{at:04}" for at in range(25)]}), tmp_path / "i")
    found = batches(index.resolve("everyone"), "engagelab")
    for listing in (
        lambda ids: {"count": len(ids), "ids": list(ids)},
        lambda ids: {"ids": [each.upper() for each in ids], "first": ids[0]},
        lambda ids: {"ids": sorted(ids, reverse=True)},
        lambda ids: {"ids": [int(each) for each in ids]},
        lambda ids: {"ids": [int(each) if each.isdigit() else each for each in ids]},
        lambda ids: {"ids": [each.lower() for each in ids]},
        lambda ids: {"ids": sorted(ids)},
        lambda ids: {"id": ids[0]} if len(ids) == 1 else {"ids": list(ids)},
    ):
        assert framed(listing, 10) is None
        odd = replace(found, vendor=replace(vendor("engagelab"), listing=listing, batch=8))
        assert list(odd.bodies()) == [orjson.dumps(body) for body in odd]
        assert len(list(odd.bodies())) == len(odd) == 4


def test_the_devices_left_out_are_named_as_python_shows_them(tmp_path):
    names = ["plain", "it's", 'q"q', "\\", "四川", "\u200b"]
    table = pl.DataFrame(
        {"registration_id": names, "tpns_token": [None] * 6}, schema_overrides={"tpns_token": pl.String}
    )
    found = batches(DeviceIndex.build(table, tmp_path / "i").resolve("everyone"), "tpns")
    shown = {device: message for device, _, message in found.skipped.iter_rows()}
    assert shown == {name: f"{name!r} has no id at tpns" for name in names}
    assert [problem.code for problem in found.problems()] == ["missing-id"]
    assert "6 of 6 devices are left out" in found.problems()[0].message


@pytest.mark.parametrize("form", ["r{:07}", "r{}"])
def test_damaged_ids_are_never_sent(tmp_path, form):
    names = [form.format(at) for at in range(20_000)]
    DeviceIndex.build(pl.DataFrame({"registration_id": names}), tmp_path / "i")
    [file] = (tmp_path / "i" / "shards").glob("*.ids.arrow")
    data = bytearray(file.read_bytes())
    data[data.index(names[15_000].encode())] = ord("s")
    file.write_bytes(data)
    crowd = DeviceIndex.open(tmp_path / "i").resolve("everyone")
    for name in reachable():
        with pytest.raises(DamagedError, match="ids"):
            list(iter_bodies(crowd, name))


def written(folder):
    """The lines of all files of requests in *folder*, each file as its manifest says."""
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    found = []
    for file in files:
        data = (folder / file["name"]).read_bytes()
        assert (xxhash.xxh128_hexdigest(data), len(data)) == (file["xxh128"], file["bytes"])
        lines = data.splitlines()
        assert data.count(b"\n") == file["lines"] == len(lines)
        found += [lines] if file["name"].startswith("requests-") else []
    return found


@given(st.integers(1, 40), st.integers(1, 7), st.sampled_from(["a{:03}", "{}", "四{}"]))
def test_files_hold_all_bodies_so_many_lines_each(count, lines, form):
    table = pl.DataFrame({"registration_id": [form.format(at) for at in range(count)], "vip": [True] * count})
    told = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "SHARD", 11)
        patch.setattr("audience.requests.writer.LINES", lines)
        index = DeviceIndex.build(table, Path(folder) / "index")
        small = replace(vendor("emas"), batch=3)
        patch.setattr(sys.modules["audience.requests.batching"], "sendable", lambda name: small)
        meant = replace(plan("vip", "emas"), native=(), by_ids=parse("vip"))
        out = Path(folder) / "out"
        emitted = emit(meant, index, out, progress=lambda *said: told.append(said))
        found = written(out)
        assert [line for some in found for line in some] == list(batches(index.resolve("vip"), "emas").bodies())
        assert all(len(some) == lines for some in found[:-1])
    assert (emitted.told, emitted.batches) == (count, -(-count // 3))
    assert told[-1] == ("writing ids", count, count)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_the_folder_appears_whole_or_not_at_all(tmp_path, index, monkeypatch):
    meant = replace(plan("male", "engagelab"), native=(), by_ids=parse("male"))

    def full(*said):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        emit(meant, index, tmp_path / "out", progress=full)
    monkeypatch.setattr("audience.requests.writer.sync", full)
    with pytest.raises(OutputError, match="No space left"):
        emit(meant, index, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
