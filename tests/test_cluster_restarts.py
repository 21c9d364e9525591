"""Jobs of a cluster that were cut off: what is there is the old or the new, and the next start goes on."""

import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import cluster_jobs
import polars as pl
import pytest
from cluster_jobs import JOBS, LimitedCluster
from dask_processes import ENVIRONMENT, DaskProcesses, kill, run_dask
from sizes import IS_FULL_SIZE, scale

import audience
from audience import DeviceIndex
from audience._fs.checksums import hash128
from audience.errors import LostClusterError
from audience.index.ingest.shared import kept_calls
from audience.index.query import shared_shards
from audience.requests import shared_writing

MOMENTS = scale(1, 20)
NEVER = -1
FIRST_KEPT = {"events": 1, "export": 1, "emit": 10}  # calls of a count are not kept


@pytest.fixture(scope="module", autouse=True)
def small_sizes():
    with pytest.MonkeyPatch.context() as patch:
        for module, name, size in cluster_jobs.SMALL_SIZES:
            patch.setattr(module, name, size)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    cluster_jobs.make_index(folder)
    return folder


@pytest.fixture
def place(built, tmp_path) -> Path:
    """A folder with the index, in which one job is done."""
    shutil.copytree(built, tmp_path / "shared", copy_function=shutil.copy2)
    return tmp_path / "shared"


@pytest.fixture(autouse=True)
def forget_snapshots():
    yield
    shared_shards._open_snapshot.cache_clear()
    shared_writing._find_listed_rows.cache_clear()


def lose() -> None:
    raise LostClusterError(audience.Problem("cluster-lost", "lost"))


def content(folder: Path) -> dict[str, str]:
    """Checksums of what jobs have written, but for files that have dates and paths in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and "manifest" not in path.name
             and path.parent.name != "history"]  # fmt: skip
    return {str(path.relative_to(folder)): hash128(path.read_bytes()) for path in files
            if path.suffix not in (".jsonl", ".lock")}  # fmt: skip


def kept_records(folder: Path) -> set[str]:
    return {path.name for path in folder.glob(".*/*.json")} - {"begun.json"}


@pytest.fixture(scope="module")
def expected(built, tmp_path_factory) -> dict[str, tuple[dict[str, str], int]]:
    """What each job writes, and its number of calls."""
    found = {}
    for job, run in JOBS.items():
        folder, cluster = tmp_path_factory.mktemp(job) / "alone", LimitedCluster(NEVER, lose)
        shutil.copytree(built, folder, copy_function=shutil.copy2)
        run(folder, cluster)
        found[job] = content(folder), cluster.calls
        assert cluster.calls > 8 and kept_records(folder) == set()
    return found


def go_on(job: str, place: Path, monkeypatch) -> list[str]:
    """Do *job* to its end, and return the names of the calls that were made for that."""
    made: list[str] = []
    write = kept_calls._write_record

    def note(record: Path, body: object) -> None:
        made.append(record.name)
        write(record, body)

    monkeypatch.setattr(kept_calls, "_write_record", note)
    JOBS[job](place, LimitedCluster(NEVER, lose))
    return made


@pytest.mark.parametrize("number", range(MOMENTS))
@pytest.mark.parametrize("job", JOBS)
def test_killed_job_goes_on_from_its_finished_calls(job, number, place, expected, monkeypatch):
    wanted, calls = expected[job]
    before = content(place)
    moment = random.Random(f"{job}{number}").randrange(FIRST_KEPT[job], calls)
    command = [sys.executable, cluster_jobs.__file__, job, place, str(moment)]
    assert subprocess.run(command, env=ENVIRONMENT, timeout=120).returncode == -9
    assert before.items() <= content(place).items()
    kept = kept_records(place)
    assert kept
    assert not kept & {*go_on(job, place, monkeypatch)}
    assert content(place) == wanted
    assert list(place.glob(".*")) == []


@pytest.mark.parametrize("job", JOBS)
def test_job_whose_cluster_is_lost_at_any_call_goes_on(job, place, expected, monkeypatch):
    wanted, calls = expected[job]
    made: list[str] = []
    for moment in range(1, calls, scale(5, 1)):
        with pytest.raises(LostClusterError):
            JOBS[job](place, LimitedCluster(moment, lose))
        assert {path.stat().st_mode & 0o77 for path in place.glob(".*/**/*")} <= {0}
    kept = kept_records(place)
    assert len(kept) > 2
    made = go_on(job, place, monkeypatch)
    assert not kept & {*made}
    assert content(place) == wanted


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with run_dask(tmp_path_factory.mktemp("dask"), 2, preload=Path(cluster_jobs.__file__)) as processes:
        yield processes


def start_on_dask(job: str, place: Path, dask: DaskProcesses) -> subprocess.Popen:
    command = [sys.executable, cluster_jobs.__file__, job, place, dask.address, dask.folder]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def finish(started: subprocess.Popen) -> str:
    """The last line that a process prints; `communicate` would lose those that are buffered here already."""
    lines = started.stdout.read().splitlines()
    kill(started)
    return lines[-1]


@pytest.mark.skipif(not IS_FULL_SIZE, reason="a long proof; in other runs, builds of Dask and calls of jobs are killed")
@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("victim", ["worker", "scheduler", "head"])
@pytest.mark.parametrize("job", JOBS)
def test_whoever_of_dask_is_killed_the_job_ends_or_goes_on(job, victim, number, place, expected, dask):
    """Each finished call is a moment at which one of the processes may die; then the job is done again."""
    wanted, calls = expected[job]
    before = content(place)
    moment = random.Random(f"{job}{victim}{number}").randrange(1, calls)
    started = start_on_dask(job, place, dask)
    for _ in range(moment):
        started.stdout.readline()
    kill(started) if victim == "head" else dask.kill(victim)
    ended = "killed" if victim == "head" else finish(started)
    assert ended == "done" or (victim, ended) in {("head", "killed"), ("scheduler", "failed cluster-lost")}
    assert before == {name: hash128((place / name).read_bytes()) for name in before}  # workers may still write others
    dask.restore(2)
    if ended != "done":
        assert finish(start_on_dask(job, place, dask)) == "done"
    assert content(place) == wanted
    assert list(place.glob(".*")) == []


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("victim", ["record", "file", "missing"])
@pytest.mark.parametrize("job", JOBS)
def test_damaged_call_is_made_again(job, victim, place, expected, monkeypatch):
    wanted, calls = expected[job]
    with pytest.raises(LostClusterError):
        JOBS[job](place, LimitedCluster(calls - 1, lose))
    (folder,) = place.glob(".*")
    record = min(folder.glob("[rsl]*-*.json"))  # of the first call
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]
    match victim:
        case "record":
            damage(record)
        case "file":
            for file in files:
                damage(file)
        case "missing":
            for file in files:
                file.unlink()
    assert record.name in go_on(job, place, monkeypatch)
    assert content(place) == wanted


def test_job_of_another_snapshot_takes_nothing(place, monkeypatch):
    with pytest.raises(LostClusterError):
        cluster_jobs.export(place, LimitedCluster(5, lose))
    old = {*place.glob(".*.export")}
    DeviceIndex.open(place / "index").update(pl.DataFrame({"token": ["t1"], "age": [49]}))
    assert len(kept_records(place)) == 5
    assert "shards-000000.json" in go_on("export", place, monkeypatch)
    assert old and not any(folder.exists() for folder in old)
    assert len(pl.read_parquet(place / "out.parquet").filter(pl.col("token") == "t1")) == 0


def test_changed_events_are_read_again(place, monkeypatch):
    with pytest.raises(LostClusterError):
        cluster_jobs.add_events(place, LimitedCluster(5, lose))
    file = place / "events.parquet"
    pl.read_parquet(file).with_columns(event=pl.lit("share")).write_parquet(file, row_group_size=50)
    os.utime(file, ns=(1, 1))
    kept = kept_records(place)
    assert len(kept) == 5 and kept <= {*go_on("events", place, monkeypatch)}
    assert [event.name for event in DeviceIndex.open(place / "index").events()] == ["share"]


def test_digest_of_a_long_list_of_ids_has_all_of_them():
    exprs = [audience.Ids("token", tuple(f"t{number}" for number in range(first, first + 1_000))) for first in (0, 1)]
    assert repr(exprs[0]) == repr(exprs[1])
    assert len({kept_calls.digest_job(pickle.dumps(expr)) for expr in exprs}) == 2
