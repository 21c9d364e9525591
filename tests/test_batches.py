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

from audience import DeviceIndex, batch_ids, get_vendor, parse, plan
from audience.errors import DamagedError, OutputError
from audience.index.ingest import build
from audience.requests.batching import iter_json_bodies
from audience.requests.json_bodies import learn_template
from audience.requests.writer import write_requests
from audience.vendors import vendor_names

fixed_width_ids = st.text("abc0123456789-", min_size=6, max_size=6)
awkward_ids = st.sampled_from(
    ['q"q', "b\\", "\n", "\x00\x1f", "\x7f", "四川", "😀😀", "a,b", " a", "a\u3000", "é" * 36, "x" * 37]
)
mixed_ids = fixed_width_ids | awkward_ids | st.text(min_size=1)
id_lists = st.one_of(*(st.lists(each, unique=True, max_size=60) for each in (fixed_width_ids, mixed_ids)))
audiences = st.sampled_from(["everyone", "wanted", "NOT wanted"])


@st.composite
def device_tables(draw):
    """Devices with an id of their own, and ids at vendors that some may not have."""
    own = draw(id_lists.filter(len))
    rest = {}
    for name in draw(st.sets(st.sampled_from(["tpns_token", "emas_device_id"]))):
        has = draw(st.just([True] * len(own)) | st.lists(st.booleans(), min_size=len(own), max_size=len(own)))
        rest[name] = [f"{name[0]}{each}" if there else None for each, there in zip(own, has, strict=True)]
    wanted = draw(st.lists(st.booleans(), min_size=len(own), max_size=len(own)))
    frame = pl.DataFrame({"registration_id": own, **rest, "wanted": wanted})
    return frame.cast(dict.fromkeys(("registration_id", *rest), pl.String))


def batch_naively(device_set, target):
    """The bodies and the ids left out, the obvious way."""
    ids = device_set.ids(target.name).to_list()
    told = [each for each in ids if each is not None and target.id_problem(each) is None]
    bodies = [
        orjson.dumps(target.target_ids(told[at : at + target.max_ids])) for at in range(0, len(told), target.max_ids)
    ]
    reasons = ["missing-id" if each is None else target.id_problem(each).code for each in ids if each not in set(told)]
    return told, bodies, reasons


@given(device_tables(), st.integers(1, 40), st.integers(2, 9), audiences, st.data())
@example(pl.DataFrame({"registration_id": ["a" * 6], "wanted": [True]}), 3, 3, "everyone", None)
def test_bodies_match_json_encoder(table, shard, batch, text, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard)
        index = DeviceIndex.build(table, Path(folder) / "index")
        if data is not None and (dead := data.draw(st.sets(st.sampled_from(table["registration_id"].to_list())))):
            index.remove(sorted(dead))
        crowd = index.resolve(text)
        for name in vendor_names(can="emit"):
            to = replace(get_vendor(name), max_ids=batch)
            found = replace(batch_ids(crowd, name), vendor=to)
            told, bodies, reasons = batch_naively(crowd, to)
            assert list(found.json_bodies()) == bodies
            assert [orjson.dumps(body) for body in found] == bodies
            assert (len(found), found.ids.to_list()) == (len(bodies), told)
            assert found.skipped_frame["reason"].to_list() == reasons
            assert sum(block.id_count for block in found.json_blocks()) == len(told)
            assert list(iter_json_bodies(crowd, name)) == batch_naively(crowd, get_vendor(name))[1]


def test_body_spans_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 1_300)
    index = DeviceIndex.build(pl.DataFrame({"registration_id": [f"r{at:05}" for at in range(5_000)]}), tmp_path / "i")
    assert len(index.snapshot.shards) > 2
    bodies = [
        json.loads(body)["to"]["registration_id"] for body in iter_json_bodies(index.resolve("everyone"), "engagelab")
    ]
    assert [len(body) for body in bodies] == [1_000] * 5
    assert [each for body in bodies for each in body] == index.resolve("everyone").ids().to_list()


def test_no_template_learned_from_non_verbatim_payload(tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"registration_id": [f"{at:04}" for at in range(25)]}), tmp_path / "i")
    found = batch_ids(index.resolve("everyone"), "engagelab")
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
        assert learn_template(listing, 10) is None
        odd = replace(found, vendor=replace(get_vendor("engagelab"), target_ids=listing, max_ids=8))
        assert list(odd.json_bodies()) == [orjson.dumps(body) for body in odd]
        assert len(list(odd.json_bodies())) == len(odd) == 4


def test_skipped_devices_are_listed_with_python_repr(tmp_path):
    names = ["plain", "it's", 'q"q', "\\", "四川", "\u200b"]
    table = pl.DataFrame(
        {"registration_id": names, "tpns_token": [None] * 6}, schema_overrides={"tpns_token": pl.String}
    )
    found = batch_ids(DeviceIndex.build(table, tmp_path / "i").resolve("everyone"), "tpns")
    shown = {device: message for device, _, message in found.skipped_frame.iter_rows()}
    assert shown == {name: f"{name!r} has no id at tpns" for name in names}
    assert [problem.code for problem in found.skipped_problems()] == ["missing-id"]
    assert "6 of 6 devices are skipped" in found.skipped_problems()[0].message


@pytest.mark.parametrize("form", ["r{:07}", "r{}"])
def test_damaged_ids_are_never_sent(tmp_path, form):
    names = [form.format(at) for at in range(20_000)]
    DeviceIndex.build(pl.DataFrame({"registration_id": names}), tmp_path / "i")
    [file] = (tmp_path / "i" / "shards").glob("*.ids.arrow")
    data = bytearray(file.read_bytes())
    data[data.index(names[15_000].encode())] = ord("s")
    file.write_bytes(data)
    crowd = DeviceIndex.open(tmp_path / "i").resolve("everyone")
    for name in vendor_names(can="emit"):
        with pytest.raises(DamagedError, match="ids"):
            list(iter_json_bodies(crowd, name))


def read_request_files(folder):
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
def test_request_files_split_by_line_count(count, lines, form):
    table = pl.DataFrame({"registration_id": [form.format(at) for at in range(count)], "vip": [True] * count})
    told = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 11)
        patch.setattr("audience.requests.writer.MAX_LINES_PER_FILE", lines)
        index = DeviceIndex.build(table, Path(folder) / "index")
        small = replace(get_vendor("emas"), max_ids=3)
        patch.setattr(sys.modules["audience.requests.batching"], "get_vendor", lambda name, can=None: small)
        meant = replace(plan("vip", "emas"), native=(), by_ids=parse("vip"))
        out = Path(folder) / "out"
        emitted = write_requests(meant, index, out, progress=lambda *said: told.append(said))
        found = read_request_files(out)
        assert [line for some in found for line in some] == list(batch_ids(index.resolve("vip"), "emas").json_bodies())
        assert all(len(some) == lines for some in found[:-1])
    assert (emitted.id_count, emitted.batches) == (count, -(-count // 3))
    assert told[-1] == ("writing ids", count, count)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})


def test_request_folder_is_written_atomically(tmp_path, index, monkeypatch):
    meant = replace(plan("male", "engagelab"), native=(), by_ids=parse("male"))

    def raise_disk_full(*arguments):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_requests(meant, index, tmp_path / "out", progress=raise_disk_full)
    monkeypatch.setattr("audience.requests.writer.fsync_path", raise_disk_full)
    with pytest.raises(OutputError, match="No space left"):
        write_requests(meant, index, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
