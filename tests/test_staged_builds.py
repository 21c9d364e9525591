"""Builds for an object store by processes of other machines: they put shards there, and the head publishes them."""

import os
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import cluster_head
import dask_processes
import object_store
import polars as pl
import pytest
from dask_processes import kill, run_dask
from object_server import KEYS, serve_objects
from sizes import scale
from test_cluster_builds import CountingCluster, LostCluster, assert_same, finish_head, messy_table, write_table

import audience
from audience import DeviceIndex
from audience.cluster.cluster import Cluster
from audience.index.changes import publishing
from audience.index.changes.publishing import pull_index, vacuum_published
from audience.index.ingest import build
from audience.index.ingest.shared import store_drafts
from audience.index.storage import block_cache
from audience.index.storage.object_storage import open_object_storage

SHARD_ROWS = 40

pytestmark = pytest.mark.skipif(object_store.REASON is not None, reason=str(object_store.REASON))


@pytest.fixture(scope="module")
def endpoint():
    """The settings of an S3 with a bucket."""
    with serve_objects() as environment:
        object_store.create_bucket(environment["AWS_ENDPOINT_URL"], "devices")
        yield environment


@pytest.fixture
def settings(endpoint, tmp_path, monkeypatch):
    """The settings for the store in the environment, shards of a few rows, and an empty cache."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**KEYS, **endpoint, "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUDIENCE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", SHARD_ROWS)
    yield
    block_cache._open_cache.cache_clear()


@pytest.fixture
def url(request, settings):
    """A place of the test's own."""
    return f"s3://devices/{request.node.name.translate(str.maketrans('[]', '--'))}.index"


class OtherMachines(Cluster):
    """Cluster whose processes may be on other machines."""

    def map(self, function, arguments):
        return map(function, arguments)


class OthersCount(CountingCluster):
    """The same, which notes which shards it has encoded."""

    is_of_this_machine = False


def list_keys(url: str) -> set[str]:
    return {each.key for each in open_object_storage(url).client.list()}


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_shards_are_put_to_the_store_with_the_bytes_of_one_process(form, url, tmp_path):
    source, options = write_table(messy_table(150), form, tmp_path), {"timezone": "Europe/Berlin"}
    if form == "csv":
        options["split"] = {"tags": ";"}
    index = DeviceIndex.build(source, url, cluster=OtherMachines(), **options)
    alone = DeviceIndex.build(source, tmp_path / "alone", **options)
    assert len(index.verify()) == len(alone.verify()) > 16
    pull_index(url, tmp_path / "pulled")
    assert_same(tmp_path / "pulled", tmp_path / "alone")
    assert [index.count(text) for text in ("x", "age < 20", "everyone limit 7 seed a")] == [
        alone.count(text) for text in ("x", "age < 20", "everyone limit 7 seed a")
    ]
    assert not [key for key in list_keys(url) if key.startswith("drafts/")]
    with pytest.raises(audience.OutputError, match="exists"):
        DeviceIndex.build(source, url, cluster=OtherMachines(), **options)


def test_replaced_index_keeps_segments_policies_and_events(url, tmp_path):
    folder = tmp_path / "first"
    index = DeviceIndex.build(messy_table(100), folder, timezone="UTC")
    index.save_segment("young", "age < 30")
    index.set_policy("adults", cap="age >= 18")
    index.add_events(pl.DataFrame({"token": ["t5", "t90"], "at": ["2026-11-01T00:00:00Z"] * 2}), "buy")
    index.push(url)
    with pytest.raises(audience.ClusterError, match="cluster-lost"):
        DeviceIndex.build(messy_table(50), url, replace=True, cluster=LostCluster(1))
    assert len(DeviceIndex.open(url)) == 100
    built = DeviceIndex.build(messy_table(150), url, replace=True, cluster=OtherMachines())
    assert (len(built), list(built.segments), list(built.policies)) == (150, ["young"], ["adults"])
    assert built.resolve("did(buy)").ids().to_list() == ["t5", "t90"]
    assert built.verify()


@pytest.fixture
def lost(url, tmp_path) -> Path:
    """The table of a build of 150 devices that was lost after three shards; an older index is published."""
    messy_table(150).write_parquet(tmp_path / "t.parquet")
    DeviceIndex.build(pl.DataFrame({"token": ["old"], "city": ["x"]}), tmp_path / "old").push(url)
    with pytest.raises(audience.ClusterError, match="cluster-lost"):
        DeviceIndex.build(tmp_path / "t.parquet", url, replace=True, cluster=LostCluster(3))
    assert DeviceIndex.open(url).resolve("everyone").ids().to_list() == ["old"]
    return tmp_path / "t.parquet"


def build_again(table: Path, url: str, monkeypatch) -> list[str]:
    """The names of the shards that were written again."""
    cluster = OthersCount(monkeypatch)
    index = DeviceIndex.build(table, url, replace=True, cluster=cluster)
    alone = DeviceIndex.build(table, table.parent / "alone")
    assert index.snapshot.manifest.shards == alone.snapshot.manifest.shards
    assert index.verify()
    return cluster.written[: -len(alone.snapshot.shards)] if len(cluster.written) > 4 else cluster.written


def test_build_goes_on_from_finished_shards(lost, url, monkeypatch):
    assert build_again(lost, url, monkeypatch) == ["00000001-00003"]


def test_shard_without_an_object_or_its_record_is_written_again(lost, url, monkeypatch):
    client = open_object_storage(url).client
    (ids,) = [key for key in list_keys(url) if key.endswith("/00000001-00001.ids.arrow")]
    (record,) = [key for key in list_keys(url) if key.endswith("/00000001-00002.json")]
    client.delete([ids])
    client.put(record, client.get(record).data[:-3])
    assert build_again(lost, url, monkeypatch) == ["00000001-00001", "00000001-00002", "00000001-00003"]


def test_shards_that_a_vacuum_may_soon_delete_are_written_again(lost, url, monkeypatch):
    monkeypatch.setattr(store_drafts, "MAX_RECORD_AGE", timedelta(seconds=-5))
    assert len(build_again(lost, url, monkeypatch)) == 4


def test_vacuum_deletes_what_is_left_of_a_lost_build(lost, url, monkeypatch):
    left = {key for key in list_keys(url) if "/00000001-0000" in key}
    assert len([key for key in left if key.startswith("shards/")]) == 4 + 12
    assert vacuum_published(url, 9) == []  # it may be under way
    monkeypatch.setattr(publishing, "MIN_AGE", timedelta(seconds=-5))
    deleted = vacuum_published(url, 9)
    assert len([key for key in deleted if key.startswith("shards/")]) == 12
    assert not [key for key in list_keys(url) if key.startswith("drafts/")]
    assert len(DeviceIndex.open(url).verify()) == 5


def test_of_two_publishers_one_is_refused(lost, url, monkeypatch):
    class Publishes(OtherMachines):
        def map(self, function, arguments):
            yield from map(function, arguments)
            DeviceIndex.build(messy_table(7), url, replace=True)

    with pytest.raises(audience.LockedError, match="publish-conflict"):
        DeviceIndex.build(lost, url, replace=True, cluster=Publishes())
    assert len(DeviceIndex.open(url)) == 7
    assert build_again(lost, url, monkeypatch) == []


def test_objects_that_are_gone_when_all_shards_are_finished_are_noticed(lost, url, monkeypatch):
    class Vacuumed(OtherMachines):
        def map(self, function, arguments):
            yield from map(function, arguments)
            client = open_object_storage(url).client
            client.delete([key for key in list_keys(url) if key.endswith("/00000001-00002.tags.arrow")])

    with pytest.raises(audience.AudienceError, match=r"00000001-00002.tags.arrow (is not there|was deleted)"):
        DeviceIndex.build(lost, url, replace=True, cluster=Vacuumed())
    assert len(DeviceIndex.open(url)) == 1
    assert build_again(lost, url, monkeypatch) == ["00000001-00002"]


def test_error_of_a_row_leaves_no_draft(url, tmp_path):
    table = messy_table(100).with_columns(token=pl.when(pl.col("age") != 33).then("token"))
    with pytest.raises(audience.TableError, match="missing-id"):
        DeviceIndex.build(table, url, cluster=OtherMachines())
    assert not [key for key in list_keys(url) if key.startswith("drafts/")]
    with pytest.raises(audience.InvalidIndexError, match="no-index"):
        DeviceIndex.open(url)


def test_worker_without_credentials_is_an_error(url, tmp_path, monkeypatch):
    class Refused(OtherMachines):
        def map(self, function, arguments):
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            store_drafts._open_client.cache_clear()
            monkeypatch.setattr("audience.index.storage.object_client.MAX_RETRIES", 0)
            return map(function, arguments)

    with pytest.raises(audience.OutputError, match="cannot be reached"):
        DeviceIndex.build(messy_table(100), url, cluster=Refused())
    store_drafts._open_client.cache_clear()


@pytest.mark.parametrize("number", range(scale(1, 10)))
def test_workers_under_tls_put_shards_and_the_death_of_any_process_loses_nothing(
    number, url, endpoint, tmp_path, monkeypatch
):
    messy_table(600).write_parquet(tmp_path / "t.parquet")
    DeviceIndex.build(pl.DataFrame({"token": ["old"], "city": ["x"]}), tmp_path / "old").push(url)
    for name in (*KEYS, *endpoint, "NO_PROXY", "AUDIENCE_CACHE_DIR"):
        monkeypatch.setitem(dask_processes.ENVIRONMENT, name, os.environ[name])

    def start_head() -> subprocess.Popen:
        words = [dask.address, dask.folder, tmp_path / "t.parquet", url, str(SHARD_ROWS)]
        return subprocess.Popen(
            [sys.executable, cluster_head.__file__, *words],
            env=dask_processes.ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill_at(head: subprocess.Popen, process: subprocess.Popen) -> None:
        """Kill *process* at one of the steps of progress of *head*."""
        for _ in range(random.Random(f"{number}{process.pid == head.pid}").randrange(4, 15)):
            head.stdout.readline()
        kill(process)

    (tmp_path / "dask").mkdir()
    with run_dask(tmp_path / "dask", 2) as dask:
        head = start_head()
        kill_at(head, head)
        assert len(DeviceIndex.open(url)) == 1
        head = start_head()
        kill_at(head, dask.workers.pop(0))
        assert finish_head(head) == "built"
        index = DeviceIndex.open(url)
        alone = DeviceIndex.build(tmp_path / "t.parquet", tmp_path / "alone")
        assert index.snapshot.manifest.shards == alone.snapshot.manifest.shards
        assert len(index.verify()) == len(alone.verify())
        if number:  # the scheduler, too
            head = start_head()
            kill_at(head, dask.scheduler)
            assert finish_head(head) in ("failed cluster-lost", "built")
            assert DeviceIndex.open(url).verify()
