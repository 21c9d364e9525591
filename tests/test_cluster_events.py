"""Events that processes add together: the files, the counts and the errors of one process."""

import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from test_cluster_questions import PicklingCluster

import audience
from audience import DeviceIndex
from audience.cluster.cluster import ThisProcess
from audience.errors import LostClusterError
from audience.index.changes.events import adding
from audience.index.ingest import build
from audience.index.ingest.events import spool
from audience.index.query import shared_shards
from audience.index.storage.device_numbers import PARTITION_SIZE, NumberSequence


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """An index of several shards, one of which has changed, with some events."""
    folder = tmp_path_factory.mktemp("events") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", 40)
        patch.setattr(build, "NumberSequence", partial(NumberSequence, PARTITION_SIZE - 50))
        devices = pl.DataFrame({"token": [f"t{number}" for number in range(150)], "age": range(150)})
        index = DeviceIndex.build(devices, folder, timezone="Europe/Berlin")
        index.remove(["t7"])
        index.update(pl.DataFrame({"token": ["n1", "t9"], "age": [1, 2]}))
        index.add_events(events_table(30, start=9_000), unknown="keep", batch="first")
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    yield
    shared_shards._open_snapshot.cache_clear()


def events_table(rows: int, start: int = 0) -> pl.DataFrame:
    """Events of known and unknown devices on many days, some at the same moment, with properties of each kind."""
    numbers = range(start, start + rows)
    return pl.DataFrame(
        {
            "token": [f"t{number * number % 170}" for number in numbers],
            "event": [("buy", "open", "buy", "share")[number % 4] for number in numbers],
            "time": [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=number // 3 * 7 % 500) for number in numbers],
            "price": [number % 9 / 4 if number % 5 else None for number in numbers],
            "category": [f"c{number % 6}" if number % 4 else None for number in numbers],
            "gift": [number % 3 == 0 for number in numbers],
        }
    )


def write_events(table: pl.DataFrame, form: str, folder: Path) -> object:
    match form:
        case "parquet":
            table.write_parquet(folder / "e.parquet", row_group_size=50)
            return folder / "e.parquet"
        case "csv":
            table.write_csv(folder / "e.csv")
            return folder / "e.csv"
        case "files":
            table[:130].write_parquet(folder / "e1.parquet")
            table[130:].write_parquet(folder / "e2.parquet")
            return [folder / "e1.parquet", folder / "e2.parquet"]
    return table


def content(index: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (index / "shards").iterdir()}


SIZES = {"one file": (37, 10_000, 10_000), "runs": (37, 90, 60), "a day is divided": (50, 90, 7)}


@pytest.mark.parametrize(
    ("form", "sizes", "options"),
    [
        ("parquet", "one file", {}),
        ("parquet", "runs", {"unknown": "keep"}),
        ("csv", "runs", {"keep": "20d", "covers_to": "2026-11-25"}),
        ("files", "a day is divided", {"unknown": "keep", "keep": "16d"}),
        ("frame", "runs", {"batch": "b7"}),
    ],
)
def test_cluster_adds_the_events_of_one_process(form, sizes, options, built, tmp_path, monkeypatch):
    for module, name, size in zip(
        (adding, spool, spool), ("MAX_CHUNK_EVENTS", "MAX_RUN_EVENTS", "MAX_FILE_EVENTS"), SIZES[sizes], strict=True
    ):
        monkeypatch.setattr(module, name, size)
    source = write_events(events_table(200), form, tmp_path)
    results, cluster = [], PicklingCluster()
    for name, each in (("alone", None), ("shared", cluster)):
        shutil.copytree(built, tmp_path / name)
        results.append(DeviceIndex.open(tmp_path / name).add_events(source, cluster=each, **options))
    assert results[0] == results[1]
    assert results[0].reading.to_json() == results[1].reading.to_json()
    assert results[0].added > 40 and results[0].unknown > 0
    assert content(tmp_path / "shared") == content(tmp_path / "alone")
    of_both = [DeviceIndex.open(tmp_path / name).snapshot.manifest for name in ("alone", "shared")]
    kept = [(each.event_files, each.event_ranges, each.waiting_events, each.description) for each in of_both]
    assert kept[0] == kept[1] and len(kept[0][0]) > (1 if sizes == "one file" else 3)
    if form == "parquet":
        again = DeviceIndex.open(tmp_path / "shared").add_events(source, cluster=cluster)
        assert (again.added, again.snapshot) == (0, results[1].snapshot)
    assert list(tmp_path.glob(".*")) == []


def test_only_the_owner_reads_what_a_cluster_has_added(built, tmp_path):
    shutil.copytree(built, tmp_path / "shared")
    modes = []

    class Watching(ThisProcess):
        def map(self, function, arguments):
            for result in map(function, arguments):
                modes.extend(path.stat().st_mode & 0o77 for path in tmp_path.glob(".*/**/*"))
                yield result

    source = write_events(events_table(100), "csv", tmp_path)
    stale = tmp_path / ".shared.0123abcd.tmp" / "files-1"  # of a process that was killed
    stale.mkdir(0o700, parents=True)
    stale.parent.chmod(0o700)
    DeviceIndex.open(tmp_path / "shared").add_events(source, cluster=Watching())
    assert list(tmp_path.glob(".*")) == []
    assert len(modes) > 3 and set(modes) == {0}
    assert {path.stat().st_mode & 0o77 for path in (tmp_path / "shared" / "shards").iterdir()} == {0}


BAD: dict[str, dict[str, list[str | None]]] = {
    "bad-value": {"price": ["x1"]},
    "bad-name": {"event": ["delivered"]},
    "missing-moment": {"time": [None]},
}


@pytest.mark.parametrize("code", BAD)
def test_shared_addition_has_the_error_of_one_process(code, built, tmp_path, monkeypatch):
    monkeypatch.setattr(adding, "MAX_CHUNK_EVENTS", 50)
    good = events_table(120).select("token", "event", pl.col("time").cast(pl.String), pl.col("price").cast(pl.String))
    bad = good[100:101].with_columns(pl.Series(name, values, dtype=pl.String) for name, values in BAD[code].items())
    source = tmp_path / "e.csv"
    pl.concat([good[:100], bad, good[100:]]).write_csv(source)
    errors = []
    for name, cluster in (("alone", None), ("shared", PicklingCluster())):
        shutil.copytree(built, tmp_path / name)
        before = content(tmp_path / name)
        with pytest.raises(audience.TableError) as error:
            DeviceIndex.open(tmp_path / name).add_events(source, numbers=["price"], cluster=cluster)
        errors.append(str(error.value))
        assert content(tmp_path / name) == before
    assert errors[0] == errors[1] and errors[0].startswith(code)
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("options", [{}, {"batch": "b", "on_bad_row": "reject"}])
def test_what_depends_on_all_rows_is_refused(options, built, tmp_path):
    shutil.copytree(built, tmp_path / "index")
    with pytest.raises(audience.ClusterError, match="not-shared"):
        DeviceIndex.open(tmp_path / "index").add_events(events_table(3), cluster=ThisProcess(), **options)


def test_lost_cluster_leaves_the_old_events(built, tmp_path):
    shutil.copytree(built, tmp_path / "index")

    class LostCluster:
        def __init__(self, calls):
            self.calls = calls

        def map(self, function, arguments):
            for argument in arguments:
                if self.calls == 0:
                    raise LostClusterError(audience.Problem("cluster-lost", "lost"))
                self.calls -= 1
                yield function(argument)

    source = write_events(events_table(100), "parquet", tmp_path)
    before = content(tmp_path / "index")
    for calls in (0, 1):
        with pytest.raises(audience.ClusterError, match="cluster-lost"):
            DeviceIndex.open(tmp_path / "index").add_events(source, cluster=LostCluster(calls))
        assert content(tmp_path / "index") == before
    assert len(list(tmp_path.glob(".*"))) == 1
    assert DeviceIndex.open(tmp_path / "index").add_events(source, cluster=ThisProcess()).added > 0
    assert list(tmp_path.glob(".*")) == []
