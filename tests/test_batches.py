"""Bodies of ids equal, byte for byte, the JSON encoding of the vendor's targeting objects."""

import json
import os
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
from audience.errors import DamagedError, OutputError, PlanError
from audience.index.ingest import build
from audience.requests.batching import iter_json_bodies
from audience.requests.json_bodies import learn_template
from audience.requests.writer import write_requests
from audience.vendors import vendor_names

fixed_width_ids = st.text("abc0123456789-", min_size=6, max_size=6)
awkward_ids = st.sampled_from(['q"q', "b\\", "\n", "\x00\x1f", "\x7f", "四川", "😀😀", "a,b", "é" * 36, "x" * 37])
filled_texts = st.text(min_size=1).map(str.strip).filter(bool)  # a build removes outer blanks
mixed_ids = fixed_width_ids | awkward_ids.map(str.strip).filter(bool) | filled_texts
id_lists = st.one_of(*(st.lists(each, unique=True, max_size=60) for each in (fixed_width_ids, mixed_ids)))
audiences = st.sampled_from(["everyone", "wanted", "NOT wanted"])


@st.composite
def device_tables(draw):
    """Return devices with an id of their own, and ids at vendors that some may not have."""
    ids = draw(id_lists.filter(len))
    flags = st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))
    vendor_ids = {}
    for name in draw(st.sets(st.sampled_from(["tpns_token", "emas_device_id"]))):
        has_id = draw(st.just([True] * len(ids)) | flags)
        vendor_ids[name] = [f"{name[0]}{id_}" if has else None for id_, has in zip(ids, has_id, strict=True)]
    frame = pl.DataFrame({"registration_id": ids, **vendor_ids, "wanted": draw(flags)})
    return frame.cast(dict.fromkeys(("registration_id", *vendor_ids), pl.String))


def has_ids_of(table, name) -> bool:
    """Return whether the ids of a vendor are known: it has a column, or there is one column for all."""
    owned = {"registration_id": ["engagelab"], "tpns_token": ["tpns"], "emas_device_id": ["emas", "emas_v2"]}
    columns = [column for column in owned if column in table.columns]
    return len(columns) == 1 or any(name in owned[column] for column in columns)


def batch_naively(device_set, target):
    """Return the deliverable ids, the bodies and the reasons of skipped devices, computed one id at a time."""
    ids = device_set.ids(target.name).to_list()
    deliverable = [id_ for id_ in ids if id_ is not None and target.id_problem(id_) is None]
    chunks = [deliverable[start : start + target.max_ids] for start in range(0, len(deliverable), target.max_ids)]
    skipped = [id_ for id_ in ids if id_ not in set(deliverable)]
    reasons = ["missing-id" if id_ is None else target.id_problem(id_).code for id_ in skipped]
    return deliverable, [orjson.dumps(target.target_ids(chunk)) for chunk in chunks], reasons


@given(device_tables(), st.integers(1, 40), st.integers(2, 9), audiences, st.data())
@example(pl.DataFrame({"registration_id": ["a" * 6], "wanted": [True]}), 3, 3, "everyone", None)
def test_bodies_match_json_encoder(table, shard_size, max_ids, text, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_size)
        index = DeviceIndex.build(table, Path(folder) / "index")
        if data is not None and (removed := data.draw(st.sets(st.sampled_from(table["registration_id"].to_list())))):
            index.remove(sorted(removed))
        devices = index.resolve(text)
        for name in vendor_names(can="emit"):
            if not has_ids_of(table, name):
                with pytest.raises(PlanError, match="no column holds the ids"):
                    batch_ids(devices, name)
                continue
            vendor = replace(get_vendor(name), max_ids=max_ids)
            batches = replace(batch_ids(devices, name), vendor=vendor)
            deliverable, bodies, reasons = batch_naively(devices, vendor)
            assert list(batches.json_bodies()) == bodies
            assert [orjson.dumps(body) for body in batches] == bodies
            assert (len(batches), batches.ids.to_list()) == (len(bodies), deliverable)
            assert batches.skipped_frame["reason"].to_list() == reasons
            assert sum(block.id_count for block in batches.json_blocks()) == len(deliverable)
            assert list(iter_json_bodies(devices, name)) == batch_naively(devices, get_vendor(name))[1]


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
    batches = batch_ids(index.resolve("everyone"), "engagelab")
    for target_ids in (
        lambda ids: {"count": len(ids), "ids": list(ids)},
        lambda ids: {"ids": [each.upper() for each in ids], "first": ids[0]},
        lambda ids: {"ids": sorted(ids, reverse=True)},
        lambda ids: {"ids": [int(each) for each in ids]},
        lambda ids: {"ids": [int(each) if each.isdigit() else each for each in ids]},
        lambda ids: {"ids": [each.lower() for each in ids]},
        lambda ids: {"ids": sorted(ids)},
        lambda ids: {"id": ids[0]} if len(ids) == 1 else {"ids": list(ids)},
    ):
        assert learn_template(target_ids, 10) is None
        vendor = replace(get_vendor("engagelab"), target_ids=target_ids, max_ids=8)
        batches = replace(batches, vendor=vendor)
        assert list(batches.json_bodies()) == [orjson.dumps(body) for body in batches]
        assert len(list(batches.json_bodies())) == len(batches) == 4


def test_skipped_devices_are_listed_with_python_repr(tmp_path):
    names = ["plain", "it's", 'q"q', "\\", "四川", "\u200b"]
    table = pl.DataFrame(
        {"registration_id": names, "tpns_token": [None] * 6}, schema_overrides={"tpns_token": pl.String}
    )
    batches = batch_ids(DeviceIndex.build(table, tmp_path / "i").resolve("everyone"), "tpns")
    messages = {device: message for device, _, message in batches.skipped_frame.iter_rows()}
    assert messages == {name: f"{name!r} has no id at tpns" for name in names}
    assert [problem.code for problem in batches.skipped_problems()] == ["missing-id"]
    assert "6 of 6 devices skipped" in batches.skipped_problems()[0].message


@pytest.mark.parametrize("form", ["r{:07}", "r{}"])
def test_damaged_ids_are_never_sent(tmp_path, form):
    names = [form.format(at) for at in range(20_000)]
    DeviceIndex.build(pl.DataFrame({"registration_id": names}), tmp_path / "i")
    [file] = (tmp_path / "i" / "shards").glob("*.ids.arrow")
    data = bytearray(file.read_bytes())
    data[data.index(names[15_000].encode())] = ord("s")
    file.write_bytes(data)
    devices = DeviceIndex.open(tmp_path / "i").resolve("everyone")
    for name in vendor_names(can="emit"):
        with pytest.raises(DamagedError, match="ids"):
            list(iter_json_bodies(devices, name))


def read_request_files(folder):
    """Return the lines of all request files in *folder*, checked against the manifest."""
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    lines_by_file = []
    for file in files:
        data = (folder / file["name"]).read_bytes()
        assert (xxhash.xxh128_hexdigest(data), len(data)) == (file["xxh128"], file["bytes"])
        lines = data.splitlines()
        assert data.count(b"\n") == file["lines"] == len(lines)
        lines_by_file += [lines] if file["name"].startswith("requests-") else []
    return lines_by_file


@given(st.integers(1, 40), st.integers(1, 7), st.sampled_from(["a{:03}", "{}", "四{}"]))
def test_request_files_split_by_line_count(count, lines, form):
    table = pl.DataFrame({"registration_id": [form.format(at) for at in range(count)], "vip": [True] * count})
    progress_calls = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 11)
        patch.setattr("audience.requests.writer.MAX_LINES_PER_FILE", lines)
        index = DeviceIndex.build(table, Path(folder) / "index")
        vendor = replace(get_vendor("emas"), max_ids=3)
        patch.setattr(sys.modules["audience.requests.batching"], "get_vendor", lambda name, can=None: vendor)
        by_ids = replace(plan("vip", "emas"), native=(), by_ids=parse("vip"))
        out = Path(folder) / "out"
        result = write_requests(by_ids, index, out, progress=lambda *call: progress_calls.append(call))
        files = read_request_files(out)
        assert [line for file in files for line in file] == list(batch_ids(index.resolve("vip"), "emas").json_bodies())
        assert all(len(file) == lines for file in files[:-1])
    assert (result.id_count, result.batches) == (count, -(-count // 3))
    assert progress_calls[-1] == ("writing ids", count, count)
    assert [done for _, done, _ in progress_calls] == sorted({done for _, done, _ in progress_calls})


def test_request_folder_is_written_atomically(tmp_path, index, monkeypatch):
    by_ids = replace(plan("male", "engagelab"), native=(), by_ids=parse("male"))

    def raise_disk_full(*arguments):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_requests(by_ids, index, tmp_path / "out", progress=raise_disk_full)
    monkeypatch.setattr(os, "fsync", raise_disk_full)
    with pytest.raises(OutputError, match="No space left"):
        write_requests(by_ids, index, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
