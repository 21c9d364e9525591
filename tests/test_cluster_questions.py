"""Counts and requests by the processes of a cluster: the numbers and the bytes of one process."""

import pickle
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cloudpickle
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from test_cluster_builds import messy_table

import audience
from audience import DeviceIndex
from audience.index.ingest import build
from audience.index.query import shared_export, shared_shards
from audience.index.query.exported_columns import choose_columns, empty_frame
from audience.index.query.exported_files import ExportForm, find_format, write_frames
from audience.index.query.insight import shared_counting
from audience.index.query.shared_shards import find_rows_of_shard
from audience.language.as_of import read_as_of
from audience.language.parser import parse
from audience.progress import ignore_progress
from audience.requests import shared_writing, writer
from audience.requests.shared_writing import find_parts

EXPRESSIONS = [
    *("x", "NOT x", "nobody", "everyone", "age < 30 AND NOT vip", "spend > 100", "city:c1 OR city matches c1*"),
    *("has(alias)", "registration_id(t5, t77, n1)", "sample(20%, seed)", "NOT sample(20%, seed)"),
    *("x limit 33 seed s", "vip OR (x limit 33 seed s)", "x top 20 by spend", "at least 2 of (x, vip, age > 20)"),
    *("did(buy) >= 2 within 7 days", "NOT did(buy where price > 3)", "active > 2026-02-01", "signup < 2026-10-27"),
    "@saved",
]
VENDORS = ["engagelab", "tpns", "xiaomi"]


class PicklingCluster:
    """Cluster of this process that gets and returns what another process would."""

    def map(self, function, arguments):
        for argument in arguments:
            sent = pickle.loads(cloudpickle.dumps(argument))  # a parser of text is a local function
            yield pickle.loads(pickle.dumps(function(sent)))


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    """An index of several shards, of which some have changed."""
    folder = tmp_path_factory.mktemp("questions") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 400)
        index = DeviceIndex.build(messy_table(2_000), folder, timezone="Europe/Berlin")
        index.remove(["t9", "t500"])
        index.update(pl.DataFrame({"token": ["n1", "t77", " spaced"], "city": ["c1", "c2", "c3"], "tags": [["x"]] * 3}))
        index.save_segment("saved", "x AND age > 40")
        moments = [datetime(2026, 11, 20 + number % 9, 12, tzinfo=UTC) for number in range(900)]
        index.add_events(
            pl.DataFrame(
                {
                    "token": [f"t{number % 300}" for number in range(900)],
                    "event": "buy",
                    "time": moments,
                    "price": [number % 7 for number in range(900)],
                }
            )
        )
    return index


@pytest.fixture(autouse=True)
def forget_snapshots():
    yield
    shared_shards._open_snapshot.cache_clear()
    shared_writing._find_listed_rows.cache_clear()
    shared_counting._open_counter.cache_clear()


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_cluster_counts_as_one_process(text, index):
    question = {"as_of": "2026-11-28T09:00", "allow_gaps": True}
    expected = index.count(text, **question)
    assert index.count(text, cluster=PicklingCluster(), **question) == expected


@pytest.mark.parametrize("exprs", [EXPRESSIONS[:8], EXPRESSIONS[:1], [*EXPRESSIONS, "vip", "age > 3"]])
def test_cluster_compares_audiences_as_one_process(exprs, index):
    question = {"as_of": "2026-11-28T09:00", "allow_gaps": True}
    expected = index.overlap(exprs, **question)
    assert index.overlap(exprs, cluster=PicklingCluster(), **question) == expected
    assert (expected.combinations is None) == (len(exprs) > 10)


@pytest.mark.parametrize(
    ("expr", "against", "attributes"),
    [
        ("x", None, None),
        ("age < 20 AND x", "vip OR x", None),
        ("x limit 33 seed s", "x", ["city", "age", "buy"]),
        ("nobody", None, ["spend", "buy", "tag"]),
        ("did(buy) >= 2", "nobody", None),
        ("everyone", "active > 2026-02-01", ["signup", "active", "app_version", "platform"]),
    ],
)
def test_cluster_profiles_an_audience_as_one_process(expr, against, attributes, index):
    question = {"attributes": attributes, "as_of": "2026-11-28T09:00", "allow_gaps": True}
    expected = index.profile(expr, against, **question)
    assert index.profile(expr, against, cluster=PicklingCluster(), **question) == expected
    assert any(value.count for each in expected.attributes for value in each.values) == (expr != "nobody")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [("parquet", "x"), ("arrow", "x"), ("csv", "city:c1"), ("ndjson", "vip limit 33 seed s"), ("parquet", "nobody")],
)
def test_cluster_exports_the_file_of_one_process(suffix, text, index, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_export, "DEFAULT_ROWS", 150)
    alone, shared = tmp_path / f"alone.{suffix}", tmp_path / f"shared.{suffix}"
    columns, devices, asked = choose_columns(None, index.snapshot), index.resolve(text), read_as_of(None, "UTC")
    frames = devices.iter_frames(rows=150)
    nbytes = write_frames(alone, find_format(alone), empty_frame(columns), frames, replace=False, list_separator=";")
    form = ExportForm(tuple(columns), find_format(shared), ";")
    export = partial(shared_export.export_on_cluster, parse(text), index.snapshot, asked, shared, form)
    assert export(PicklingCluster(), replace=False, progress=ignore_progress) == (len(devices), nbytes)
    assert shared.read_bytes() == alone.read_bytes()
    assert shared.stat().st_mode & 0o777 == 0o600
    with pytest.raises(audience.OutputError, match="already exists"):
        export(PicklingCluster(), replace=False, progress=ignore_progress)
    assert sorted(tmp_path.iterdir()) == [alone, shared]


def test_error_of_an_exported_value_is_that_of_one_process(index, tmp_path):
    form = ExportForm(tuple(choose_columns(["tags"], index.snapshot)), "csv", "k")
    arguments = parse("x"), index.snapshot, read_as_of(None, "UTC"), tmp_path / "x.csv", form, PicklingCluster()
    with pytest.raises(audience.TableError, match="cannot be joined"):
        shared_export.export_on_cluster(*arguments, replace=False, progress=ignore_progress)
    assert list(tmp_path.iterdir()) == []


def test_invalid_expression_is_refused_before_the_cluster_is_asked(index):
    with pytest.raises(audience.ExpressionError, match="unknown"):
        index.count("wrong_column:x", cluster=None)
    with pytest.raises(audience.ExpressionError, match="unknown"):
        index.count("wrong_column:x", cluster=pytest.fail)


def test_worker_that_does_not_see_the_index_says_so(index, monkeypatch):
    monkeypatch.setattr(type(index.snapshot), "location", property(lambda snapshot: "/nowhere/index"))
    with pytest.raises(audience.ClusterError, match="/nowhere/index is not on every machine"):
        index.count("x", cluster=PicklingCluster())


def test_worker_refuses_another_snapshot(tmp_path, index):
    changed = DeviceIndex.build(messy_table(50), tmp_path / "index")
    DeviceIndex.build(messy_table(60), tmp_path / "index", replace=True)
    with pytest.raises(audience.InvalidIndexError, match="built again"):
        changed.count("x", cluster=PicklingCluster())


def written(folder: Path) -> dict[str, bytes]:
    """The files of an emission that do not have its date."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "audit.jsonl"}


@pytest.mark.parametrize("lines", [1, 2, 1_000])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("text", ["x", "city:c1", "nobody", "vip limit 100 seed s", "age < 20 OR did(buy)", "everyone"])
def test_cluster_writes_the_requests_of_one_process(text, vendor, lines, index, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "MAX_LINES_PER_FILE", lines)
    plan = audience.plan(text, vendor, index, as_of="2026-11-28T09:00", allow_gaps=True)
    for name, each in (("plan", plan), ("ids", plan.sent_by_ids(audience.Problem("by-ids", "asked")))):
        results = [
            writer.write_requests(each, index, tmp_path / f"{name}{number}", cluster=cluster)
            for number, cluster in enumerate((None, PicklingCluster()))
        ]
        assert results[0] == results[1]
        assert written(tmp_path / f"{name}0") == written(tmp_path / f"{name}1")


def test_head_evaluates_no_shard_and_lists_the_skipped_devices(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 40)
    devices = messy_table(150).with_columns(
        tpns_token=pl.when(pl.int_range(150) % 3 > 0).then(pl.format("p{}", pl.int_range(150))),
        platform=pl.lit("ios"),
    )
    index = DeviceIndex.build(devices, tmp_path / "index", timezone="UTC")
    plan = audience.plan("x", "tpns", index).sent_by_ids(audience.Problem("by-ids", "asked"))
    alone = writer.write_requests(plan, index, tmp_path / "alone")
    assert alone.skipped_count > 20 and alone.id_count > 50 and alone.platforms
    monkeypatch.setattr(DeviceIndex, "resolve", pytest.fail)
    cluster = ForgettingCluster(index)
    assert writer.write_requests(plan, index, tmp_path / "shared", cluster=cluster) == alone
    assert written(tmp_path / "shared") == written(tmp_path / "alone")
    assert "skipped.ndjson" in written(tmp_path / "shared")


class ForgettingCluster(PicklingCluster):
    """Cluster whose head may not load a bitmap of its index."""

    def __init__(self, index):
        self.shards = index.snapshot.evaluated_shards

    def map(self, function, arguments):
        loaded = [shard.loaded_count for shard in self.shards]
        yield from super().map(function, arguments)
        assert [shard.loaded_count for shard in self.shards] == loaded


def test_worker_that_resolves_another_number_of_ids_is_refused(index, tmp_path, monkeypatch):
    plan = audience.plan("x", "xiaomi", index).sent_by_ids(audience.Problem("by-ids", "asked"))

    def find_fewer(*of):
        return find_rows_of_shard(*of) - find_rows_of_shard(*of)[:1]

    monkeypatch.setattr(shared_writing, "find_rows_of_shard", find_fewer)
    with pytest.raises(audience.ClusterError, match="other-source"):
        writer.write_requests(plan, index, tmp_path / "requests", cluster=PicklingCluster())
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=scale_examples(50))
@given(listed=st.lists(st.integers(0, 5)), data=st.data())
def test_parts_of_shards_are_the_slice_of_all_ids(listed, data):
    ids = [(shard, number) for shard, count in enumerate(listed) for number in range(count)]
    start = data.draw(st.integers(0, len(ids)))
    stop = data.draw(st.integers(start, len(ids)))
    parts = find_parts(listed, start, stop)
    assert [(part.position, number) for part in parts for number in range(part.start, part.stop)] == ids[start:stop]
    assert all(part.listed == listed[part.position] for part in parts)
