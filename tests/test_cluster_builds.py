"""Builds that processes share: same bytes, same errors, and whoever is killed, the same index or the old one."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path

import cluster_head
import polars as pl
import pytest
from dask_processes import ENVIRONMENT, DaskProcesses, kill, run_dask
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale, scale_examples

import audience
from audience import DeviceIndex
from audience.cluster.cluster import ThisProcess
from audience.errors import LostClusterError
from audience.index.ingest import build, encoded_shards
from audience.index.ingest.shared import building
from audience.index.ingest.shared.chunks import Chunk, group_chunks
from audience.index.storage import polars_bridge, sorted_hashes

SHARD_ROWS = 40
KILLED = -9


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", SHARD_ROWS)


def messy_table(rows: int) -> pl.DataFrame:
    """Devices with values that are cast, renamed, counted or encoded in each way that there is."""
    numbers = range(rows)
    return pl.DataFrame(
        {
            "token": [f" t{number} " if number % 7 == 0 else f"t{number}" for number in numbers],
            "alias": [f"a{number // 2}" if number % 3 else None for number in numbers],
            "age": [number % 50 if number % 11 else None for number in numbers],
            "spend": [number / 7 for number in numbers],
            "platform": [("iOS", "android", "Android", None)[number % 4] for number in numbers],
            "app_version": [f"1.{number % 13}.{number % 3}" for number in numbers],
            "active": [date(2026, 1, 1) + timedelta(days=number % 90) for number in numbers],
            "signup": [datetime(2026, 10, 25, 2, 30) + timedelta(hours=number) for number in numbers],
            "city": [f"c{number * number % 17}" for number in numbers],
            "vip": [number % 5 == 0 for number in numbers],
            "tags": [["x", f"k{number % 6}"] if number % 4 else [] for number in numbers],
        }
    )


def write_table(table: pl.DataFrame, form: str, folder: Path):
    """The source of *table* in a form."""
    flat = table.with_columns(pl.col("tags").list.join(";"))
    match form:
        case "parquet":
            table.write_parquet(folder / "t.parquet", row_group_size=30)
            return folder / "t.parquet"
        case "arrow":
            table.write_ipc(folder / "t.arrow", record_batch_size=30)
            return str(folder / "t.arrow")
        case "files":
            table[:70].write_parquet(folder / "t1.parquet")
            table[70:].write_parquet(folder / "t2.parquet")
            return [folder / "t1.parquet", folder / "t2.parquet"]
        case "hive":
            for value in (True, False):
                part = folder / "t" / f"country={'cn' if value else 'us'}"
                part.mkdir(parents=True)
                table.filter(pl.col("vip") == value).write_parquet(part / "p.parquet")
            return folder / "t"
        case "csv":
            flat.write_csv(folder / "t.csv")
            return folder / "t.csv"
        case "ndjson":
            table.write_ndjson(folder / "t.ndjson")
            return folder / "t.ndjson"
        case "query":
            return table.lazy()
    return table


def shard_bytes(index: Path) -> dict[str, bytes]:
    """The content of the files of an index that do not have its date."""
    return {path.name: path.read_bytes() for path in (index / "shards").iterdir()}


def assert_same(shared: Path, alone: Path) -> None:
    expected, found = shard_bytes(alone), shard_bytes(shared)
    assert list(found) and found.keys() == expected.keys()
    assert [name for name in sorted(found) if found[name] != expected[name]] == []
    of_both = [DeviceIndex.open(index).snapshot.manifest for index in (shared, alone)]
    kept = [(each.device_count, each.columns, each.shards, each.timezone, each.next_number) for each in of_both]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("form", ["parquet", "arrow", "files", "hive", "csv", "ndjson", "query", "frame"])
def test_shared_build_writes_the_bytes_of_one_process(form, tmp_path, small_shards, monkeypatch):
    source, options = write_table(messy_table(150), form, tmp_path), {"timezone": "Europe/Berlin"}
    if form == "csv":
        options["split"] = {"tags": ";"}
    alone = DeviceIndex.build(source, tmp_path / "alone", **options)
    shared = DeviceIndex.build(source, tmp_path / "shared", cluster=ThisProcess(), **options)
    assert_same(tmp_path / "shared", tmp_path / "alone")
    assert len(shared.snapshot.shards) == 4
    assert shared.reading.to_json() == alone.reading.to_json()
    assert list(tmp_path.glob(".*")) == []


@settings(max_examples=scale_examples(10))
@given(rows=st.integers(0, 60), shard_rows=st.integers(7, 40), form=st.sampled_from(["parquet", "csv", "frame"]))
def test_shards_of_any_size_have_the_borders_of_one_process(rows, shard_rows, form, tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    table = pl.DataFrame({"token": [f"t{number}" for number in range(rows)], "city": ["x"] * rows})
    source = write_table(table.with_columns(tags=pl.lit(None, pl.List(pl.String))), form, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", shard_rows)
        results: list[str | None] = []
        for name, cluster in (("alone", None), ("shared", ThisProcess())):
            try:
                DeviceIndex.build(source, folder / name, ignore=["tags"], cluster=cluster)
                results.append(None)
            except audience.TableError as error:
                results.append(str(error))
    assert results[0] == results[1]
    if results[0] is None:
        assert_same(folder / "shared", folder / "alone")


def test_chunks_are_grouped_up_to_the_rows_of_a_shard():
    sizes = [4, 4, 2, 5, 5, 1]
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    groups = group_chunks([Chunk(*pair) for pair in zip(starts, sizes, strict=True)], 10)
    assert [[chunk.row_count for chunk in group] for group in groups] == [[4, 4, 2], [5, 5], [1]]


BAD_TABLES = {
    "missing-id": {"token": [*"abcdefg", None], "city": ["x"] * 8},
    "duplicate-id": {"token": [*"abcdefga"], "city": ["x"] * 8},
    "same-tag": {"token": [*"abcdefgh"], "tags": [["vip"]] * 8, "vip": [True] * 8},
    "bad-value": {"token": [*"abcdefgh"], "age": [*"1234567", "x"]},
}


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("code", BAD_TABLES)
def test_shared_build_has_the_error_of_one_process(code, form, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 3)
    table = pl.DataFrame(BAD_TABLES[code])
    if form == "csv" and "tags" in table.columns:
        table = table.with_columns(pl.col("tags").list.join(";"))
    source = tmp_path / f"t.{form}"
    table.write_parquet(source) if form == "parquet" else table.write_csv(source)
    options = {"numbers": ["age"]} if "age" in table.columns else {"tags": ["tags"]} if "tags" in table.columns else {}
    errors = []
    for cluster in (None, ThisProcess()):
        with pytest.raises(audience.TableError) as error:
            DeviceIndex.build(source, tmp_path / "index", cluster=cluster, **options)
        errors.append(str(error.value))
    assert errors[0] == errors[1] and errors[0].startswith(code)
    assert list(tmp_path.iterdir()) == [source]


class LostCluster:
    """Cluster that is lost after some calls."""

    def __init__(self, calls: int):
        self.calls = calls

    def map(self, function, arguments):
        for argument in arguments[: self.calls]:
            yield function(argument)
        raise LostClusterError(audience.Problem("cluster-lost", "lost"))


class CountingCluster(ThisProcess):
    """Cluster that notes which shards it has encoded."""

    def __init__(self, monkeypatch):
        self.written = []

        def write(storage, name, *arguments):
            self.written.append(name)
            return encoded_shards.write_shard(storage, name, *arguments)

        monkeypatch.setattr(building, "write_shard", write)


@pytest.fixture
def lost(tmp_path, small_shards) -> Path:
    """The draft of a build of 150 devices that was lost after three shards; `shared` is an older index."""
    messy_table(150).write_parquet(tmp_path / "t.parquet")
    DeviceIndex.build(pl.DataFrame({"token": ["old"], "city": ["x"]}), tmp_path / "shared")
    with pytest.raises(audience.ClusterError, match="cluster-lost"):
        DeviceIndex.build(tmp_path / "t.parquet", tmp_path / "shared", replace=True, cluster=LostCluster(3))
    assert len(DeviceIndex.open(tmp_path / "shared")) == 1
    (draft,) = tmp_path.glob(".shared.*.draft")
    return draft


def build_again(folder: Path, cluster) -> None:
    DeviceIndex.build(folder / "t.parquet", folder / "shared", replace=True, cluster=cluster)
    DeviceIndex.build(folder / "t.parquet", folder / "alone")
    assert_same(folder / "shared", folder / "alone")
    assert list(folder.glob(".*")) == []


def test_build_goes_on_from_finished_shards(lost, tmp_path, monkeypatch):
    cluster = CountingCluster(monkeypatch)
    build_again(tmp_path, cluster)
    assert cluster.written == ["00000001-00003"]


@pytest.mark.parametrize("part", ["tags", "ids", "lookup", "checksums", "record", "missing"])
def test_damaged_shard_of_a_draft_is_written_again(part, lost, tmp_path, monkeypatch):
    name = "00000001-00001"
    file = lost / f"{name}.json" if part == "record" else lost / "shards" / f"{name}.{part}.arrow"
    if part == "missing":
        (lost / "shards" / f"{name}.ids.arrow").unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.unlink()
        file.write_bytes(data)
    cluster = CountingCluster(monkeypatch)
    build_again(tmp_path, cluster)
    assert cluster.written == [name, "00000001-00003"]


def test_build_of_a_changed_table_takes_nothing_from_the_draft(lost, tmp_path, monkeypatch):
    messy_table(150).with_columns(age=pl.lit(7)).write_parquet(tmp_path / "t.parquet")
    cluster = CountingCluster(monkeypatch)
    build_again(tmp_path, cluster)
    assert len(cluster.written) == 4


def test_head_compares_tables_of_hashes_in_ranges_and_reads_no_id(tmp_path, small_shards, monkeypatch):
    """8 bytes a device are compared; ids are read only of devices with equal hashes, of which there are none here."""
    ranges = []

    def note_range(hashes):
        ranges.append(len(hashes))
        return hashes

    monkeypatch.setattr(sorted_hashes, "sorted_unique", note_range)
    monkeypatch.setattr(polars_bridge, "read_ids_at", pytest.fail)
    DeviceIndex.build(messy_table(150), tmp_path / "shared", ignore=["alias"], cluster=ThisProcess())
    assert ranges == [0] * sorted_hashes.PARTITIONS


def test_folders_of_a_draft_are_private(lost):
    assert {path.stat().st_mode & 0o777 for path in (lost, *lost.iterdir()) if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in lost.rglob("*") if path.is_file()} == {0o600}


class ChangingCluster(ThisProcess):
    """Cluster whose workers see a file that was changed after the head has read it."""

    def __init__(self, file: Path):
        self.file = file

    def map(self, function, arguments):
        messy_table(150)[::-1].write_parquet(self.file)
        return map(function, arguments)


def test_worker_refuses_another_file(tmp_path, small_shards):
    file = tmp_path / "t.parquet"
    messy_table(150).write_parquet(file)
    with pytest.raises(audience.ClusterError, match="other-source"):
        DeviceIndex.build(file, tmp_path / "shared", cluster=ChangingCluster(file))
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize("options", [{"on_bad_row": "reject"}, {"duplicates": "last"}, {"duplicates": "merge"}])
def test_shards_that_depend_on_each_other_are_refused(options, tmp_path):
    with pytest.raises(audience.ClusterError, match="not-shared"):
        DeviceIndex.build(messy_table(3), tmp_path / "shared", cluster=ThisProcess(), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with run_dask(tmp_path_factory.mktemp("dask"), 2) as processes:
        yield processes


@pytest.fixture(scope="module")
def built_alone(tmp_path_factory) -> Path:
    """A folder with a table and the index that one process builds of it."""
    folder = tmp_path_factory.mktemp("alone")
    messy_table(1_000).write_parquet(folder / "t.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", SHARD_ROWS)
        DeviceIndex.build(folder / "t.parquet", folder / "alone")
    return folder


def start_head(dask: DaskProcesses, table: Path, index: Path) -> subprocess.Popen:
    command = [sys.executable, cluster_head.__file__, dask.address, dask.folder, table, index, str(SHARD_ROWS)]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish_head(head: subprocess.Popen) -> str:
    """The last line that *head* prints."""
    with head, ThreadPoolExecutor(1) as reader:  # `communicate` would lose lines that are buffered here already
        reading = reader.submit(head.stderr.read)
        output, errors = head.stdout.read(), reading.result()
    assert errors == "" or "distributed" in errors, errors
    assert output
    return output.splitlines()[-1]


def test_workers_of_dask_build_the_same_index(dask, built_alone, tmp_path):
    assert finish_head(start_head(dask, built_alone / "t.parquet", tmp_path / "shared")) == "built"
    assert_same(tmp_path / "shared", built_alone / "alone")


def test_error_of_a_worker_is_that_of_one_process(dask, tmp_path, small_shards):
    table = messy_table(100).with_columns(token=pl.when(pl.col("age") != 33).then("token"))
    table.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(audience.TableError) as error:
        DeviceIndex.build(tmp_path / "t.parquet", tmp_path / "alone")
    head = start_head(dask, tmp_path / "t.parquet", tmp_path / "shared")
    output, _ = head.communicate(timeout=120)
    assert output.endswith(f"{error.value}\nfailed {error.value.code}\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def run_command(*words: str | Path) -> str:
    """The standard output of a command."""
    command = [sys.executable, "-m", "audience", *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120).stdout


def test_commands_ask_a_scheduler(dask, built_alone, tmp_path):
    index = built_alone / "alone"
    expected = DeviceIndex.open(index).count("x AND NOT vip")
    assert run_command("count", index, "x AND NOT vip", *dask.options) == f"{expected}\n"
    emit = ["emit", index, "x AND NOT vip", "--vendor=xiaomi", "--by-ids", "-o"]
    run_command(*emit, tmp_path / "alone")
    run_command(*emit, tmp_path / "shared", *dask.options)
    requests = [(tmp_path / name / "requests-00001.ndjson").read_bytes() for name in ("alone", "shared")]
    assert requests[0] == requests[1] and len(requests[0]) > 1_000


@pytest.mark.parametrize("number", range(scale(1, 20)))
@pytest.mark.parametrize("victim", ["worker", "head", "scheduler"])
def test_whoever_is_killed_the_old_index_stays_or_the_new_one_is_whole(victim, number, dask, built_alone, tmp_path):
    """Each step of progress is a moment at which one of the processes may die; then the build is started again."""
    moment = random.Random(f"{victim}{number}").randrange(2, 28)
    index, table = tmp_path / "shared", built_alone / "t.parquet"
    DeviceIndex.build(pl.DataFrame({"token": ["old"], "city": ["x"]}), index)
    head = start_head(dask, table, index)
    for _ in range(moment):
        head.stdout.readline()
    kill(head) if victim == "head" else dask.kill(victim)
    ended = "killed" if victim == "head" else finish_head(head)
    if ended != "built":
        assert (victim, ended) in {("head", "killed"), ("scheduler", "failed cluster-lost")}
        assert len(DeviceIndex.open(index)) == 1
    dask.restore(2)
    if ended != "built":
        assert finish_head(start_head(dask, table, index)) == "built"
    assert_same(index, built_alone / "alone")
    assert list(tmp_path.glob(".*")) == []
