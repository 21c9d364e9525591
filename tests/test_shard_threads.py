"""Questions that several threads answer together: the answers, errors and interrupts of one thread."""

import _thread
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from strategies import index_forms, index_leaf, make_table

from audience import DamagedError, DeviceIndex
from audience.cli.app import run
from audience.index.ingest import build
from audience.index.query import shard_threads, thread_trials
from audience.index.query.shard_threads import count_cores, map_expr, map_shards
from audience.index.query.thread_trials import Trial
from audience.index.storage import croaring, joined_shard
from audience.language.ast import bare

SHARD_DEVICES, SHARD_COUNT = 40, 7
RANDOM = random.Random(15)
TAGS = list("abcdef")


def random_device() -> dict:
    return {
        "tags": RANDOM.sample(TAGS, RANDOM.randint(0, 4)),
        "province": RANDOM.choice([None, "guangdong", "hunan", "四川"]),
        "brand": RANDOM.choice([None, "Mi", "vivo"]),
        "age": RANDOM.choice([None, 0, 17, 18, 30, 41.5]),
        "active": [date(2020, 4, RANDOM.randint(1, 12)) for _ in range(RANDOM.randint(0, 2))],
        "version": RANDOM.choice([None, "1.0.2", "1.2", "1.2.0", "1.10", "2.0.0.1"]),
        "alias": RANDOM.sample(["u1", "u2", "u3"], RANDOM.randint(0, 2)),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An index of several shards."""
    table = make_table([random_device() for _ in range(SHARD_DEVICES * SHARD_COUNT)])
    folder = tmp_path_factory.mktemp("threads") / "devices.index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "MAX_SHARD_DEVICES", SHARD_DEVICES)
        DeviceIndex.build(table, folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def share_everything():
    """Share every question from its second shard on, and combine the smallest bitmaps without Python's lock.

    No shard is so small that it is evaluated as a part of another.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joined_shard, "MAX_JOINED_ROWS", 0)
        patch.setattr(shard_threads, "MIN_SHARED_SECONDS", 0)
        patch.setattr(shard_threads, "MIN_LOADING_SECONDS", 0)
        patch.setattr(croaring, "MIN_UNLOCKED_BYTES", 0)
        patch.setattr(croaring, "MIN_UNLOCKED_ROWS", 0)
        yield


@pytest.fixture(scope="module")
def alone(folder) -> DeviceIndex:
    return DeviceIndex.open(folder, threads=1)


@pytest.fixture(scope="module")
def shared(folder) -> DeviceIndex:
    return DeviceIndex.open(folder, threads=4)


@pytest.fixture
def shards(folder):
    """Shards that nobody has read yet."""
    return DeviceIndex.open(folder, threads=4).snapshot.shards


@given(expr=index_forms(index_leaf))
def test_threads_answer_as_one(alone, shared, expr):
    assert len(shared.snapshot.shards) == SHARD_COUNT
    for _ in range(2):  # the second time it is known to be slow, and the first shard is shared as well
        assert shared.count(expr) == alone.count(expr)
        assert list(shared.resolve(expr).bitmaps) == list(alone.resolve(expr).bitmaps)
    assert shared.explain(expr) == alone.explain(expr)


def test_many_threads_ask_the_same_index(folder):
    """Eight threads ask in different orders, with a small cache, so that entries come and go."""
    texts = [f"{a} AND ({b} OR NOT {c})" for a in TAGS for b in TAGS for c in ("age < 18", "brand:Mi", "alias(u1)", a)]
    texts += [f"{tag} limit {number} seed x" for tag in TAGS for number in (5, 50)]
    texts += [f"at least 2 of ({tag}, province:hunan, version < 1.2)" for tag in TAGS]
    expected = {text: DeviceIndex.open(folder, threads=1).count(text) for text in texts}
    index = DeviceIndex.open(folder, threads=3, cache_bytes=20_000)

    def ask(seed: int) -> dict[str, int]:
        order = random.Random(seed).sample(texts, len(texts))
        return {text: (index.count if seed % 2 else lambda text: len(index.resolve(text)))(text) for text in order}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [expected] * 8


def test_a_writer_changes_the_index_that_others_ask(tmp_path, monkeypatch):
    """One tag moves from some devices to as many others in each change, and no answer is between two changes."""
    monkeypatch.setattr(build, "MAX_SHARD_DEVICES", 50)
    ids = [f"r{number}" for number in range(200)]
    table = pl.DataFrame({"registration_id": ids, "tags": [["told"] if at < 100 else ["x"] for at in range(200)]})
    index = DeviceIndex.build(table, tmp_path / "devices.index")
    reader = DeviceIndex.open(tmp_path / "devices.index", threads=3)
    stopped, failures = threading.Event(), list[str]()

    def ask() -> None:
        while not stopped.is_set():
            found = reader.count("told"), len(reader.resolve("told OR x")), len(reader.resolve("NOT told"))
            if found != (100, 200, 100):
                failures.append(str(found))

    def follow() -> None:
        while not stopped.is_set():
            reader.refresh()

    threads = [threading.Thread(target=target) for target in (ask, ask, follow)]
    for thread in threads:
        thread.start()
    for number in range(5):
        told = pl.DataFrame(
            {
                "registration_id": ids,
                "tags": [["told"] if (at + 10 * number) % 200 < 100 else ["x"] for at in range(200)],
            }
        )
        index.update(told)
    stopped.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_results_are_in_the_order_of_the_shards(shards):
    def slow_at_first(shard, number):
        time.sleep(0.002 * (SHARD_COUNT - number))
        return shard.name, number

    expected = [(shard.name, number) for number, shard in enumerate(shards)]
    assert map_shards(slow_at_first, shards, range(SHARD_COUNT)) == expected
    assert map_shards(lambda shard: shard, shards[:1]) == [shards[0]]
    assert map_shards(lambda shard: shard, ()) == []
    with pytest.raises(ValueError, match="zip"):
        map_shards(slow_at_first, shards, range(SHARD_COUNT - 1))


def test_the_error_is_that_of_the_first_shard(shards):
    def fail(expr, shard):
        number = shards.index(shard)
        time.sleep(0.001 * (SHARD_COUNT - number))
        if number in (2, 3, 5):
            raise DamagedError(f"shard {number}")
        return number

    expr = bare("a")
    for _ in range(5):
        shards[0].group.slow_exprs[id(expr)] = expr
        with pytest.raises(DamagedError, match="shard 2"):
            map_expr(fail, expr, shards)


def test_a_damaged_file_is_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "devices.index")
    damaged = sorted(copy.glob("shards/*.tags.arrow"))[3:5]
    for file in damaged:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    for threads in (1, 4):
        with pytest.raises(DamagedError, match=damaged[0].name):
            DeviceIndex.open(copy, threads=threads).resolve("a OR b OR c OR d OR e OR f OR age >= 0")


def test_an_interrupt_ends_a_question(shards):
    begun = threading.Event()

    def interrupt(expr, shard):
        if threading.current_thread() is threading.main_thread():
            begun.wait(5)
            raise KeyboardInterrupt
        begun.set()
        return time.sleep(0.01)

    expr = bare("a")
    shards[0].group.slow_exprs[id(expr)] = expr
    with pytest.raises(KeyboardInterrupt):
        map_expr(interrupt, expr, shards)


def test_an_interrupt_ends_the_wait_for_others(shards):
    seen = []

    def interrupt_main(expr, shard):
        seen.append(shard)
        if threading.current_thread() is threading.main_thread():
            while len(seen) < 2:
                time.sleep(0.001)
            return None
        time.sleep(0.05)
        _thread.interrupt_main()
        return time.sleep(0.05)

    expr = bare("a")
    shards[0].group.slow_exprs[id(expr)] = expr
    with pytest.raises(KeyboardInterrupt):
        map_expr(interrupt_main, expr, shards)
        time.sleep(1)  # where the interrupt comes if it came late


def test_a_question_within_a_question_needs_no_more_threads(shards):
    def count_names(expr, shard):
        return len(map_expr(lambda expr, shard: shard.name, expr, shards))

    expr = bare("a")
    for _ in range(3):
        assert map_expr(count_names, expr, shards) == [SHARD_COUNT] * SHARD_COUNT


def test_threads_are_started_for_slow_questions_only(folder, monkeypatch):
    monkeypatch.setattr(shard_threads, "MIN_SHARED_SECONDS", 1e6)
    monkeypatch.setattr(shard_threads, "_start", lambda *args: pytest.fail("a thread was started"))
    index = DeviceIndex.open(folder, threads=4)
    assert index.count("everyone") == len(index) and len(index.resolve("a")) == index.count("a")


def test_bitmaps_that_are_loaded_soon_are_loaded_by_one_thread(folder, monkeypatch):
    monkeypatch.setattr(shard_threads, "MIN_LOADING_SECONDS", 1e6)
    index = DeviceIndex.open(folder, threads=4)
    with monkeypatch.context() as patch:
        patch.setattr(shard_threads, "_share", lambda *args: pytest.fail("threads shared a question"))
        count = index.count("a AND NOT b")
    monkeypatch.setattr(shard_threads, "_share", lambda function, calls, threads: ([0] * len(calls), 0.0))
    assert index.count("a AND NOT b") < count


def test_a_question_that_has_become_fast_is_no_longer_shared(shards, monkeypatch):
    expr = bare("a")
    monkeypatch.setattr(shard_threads, "MIN_SHARED_SECONDS", 0.001)
    map_expr(lambda expr, shard: time.sleep(0.002), expr, shards)
    assert shards[0].group.slow_exprs == {id(expr): expr}
    map_expr(lambda expr, shard: None, expr, shards)
    assert shards[0].group.slow_exprs == {}


@pytest.mark.parametrize(("shared", "alone"), [(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)])
def test_a_question_goes_on_in_the_way_that_was_faster(shards, monkeypatch, shared, alone):
    def name_shard(expr, shard):
        return shard.name

    expr, group, calls = bare("a"), shards[0].group, []
    group.slow_exprs[id(expr)] = expr
    trial = Trial(expr, 2 * thread_trials.TRIES, shared, alone)
    group.thread_trials[id(expr), name_shard.__qualname__] = trial
    share = shard_threads._share

    def note_and_share(*args):
        calls.append(args)
        return share(*args)

    monkeypatch.setattr(shard_threads, "_share", note_and_share)
    assert map_expr(name_shard, expr, shards) == [shard.name for shard in shards]
    assert bool(calls) == (shared < alone)


def test_both_ways_are_tried_and_tried_again():
    trial, ways = Trial(bare("a")), []
    for _ in range(thread_trials.MAX_ASKED + 2):
        ways.append(trial.is_shared())
        trial = trial.note(1.0)
    assert ways[: 2 * thread_trials.TRIES + 1] == [True, False] * thread_trials.TRIES + [False]
    assert ways[-1]


def test_without_more_threads_one_answers(shards, monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    assert map_shards(lambda shard: shard.name, shards) == [shard.name for shard in shards]


def test_a_forked_process_starts_its_own_threads(shared):
    expected = shared.count("a AND NOT b")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(shared.count, ["a AND NOT b"] * 6) == [expected] * 6
    assert shared.count("a AND NOT b") == expected


SCRIPT = """
import atexit, sys
from audience import DeviceIndex
from audience.index.query import shard_threads, thread_trials
shard_threads.MIN_SHARED_SECONDS = 0
index = DeviceIndex.open(sys.argv[1], threads=3)
atexit.register(lambda: print(index.count("b")))
print(index.count("a"))
"""


def test_threads_do_not_keep_a_process_alive(folder, alone):
    ended = subprocess.run([sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True, timeout=60)
    assert (ended.stdout.split(), ended.stderr) == ([str(alone.count(tag)) for tag in "ab"], "")


def test_a_copy_has_as_many_threads(folder):
    for threads in (None, 3):
        index = DeviceIndex.open(folder, threads=threads)
        copy = pickle.loads(pickle.dumps(index))
        index.refresh()
        for each in (index, copy):
            assert each.snapshot.threads == each.snapshot.shards[0].group.threads == threads


@pytest.mark.parametrize("threads", [0, -1])
def test_at_least_one_thread(folder, threads):
    with pytest.raises(ValueError, match=f"threads: expected 1 or more, got {threads}"):
        DeviceIndex.open(folder, threads=threads)


@pytest.mark.parametrize(
    ("cores", "quota", "count"),
    [(8, "max 100000", 8), (8, "200000 100000", 2), (8, "50000 100000", 1), (2, "800000 100000", 2), (4, "?", 4)],
)
def test_cores_of_a_container(tmp_path, monkeypatch, cores, quota, count):
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(shard_threads, "CPU_QUOTA_FILE", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert count_cores.__wrapped__() == count
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert count_cores.__wrapped__() == count


@pytest.mark.parametrize("command", ["count", "explain"])
def test_threads_of_a_command(folder, capsys, command):
    said = []
    for threads in ([], ["--threads", "1"], ["--threads", "3"]):
        with pytest.raises(SystemExit) as ended:
            run([command, str(folder), "a AND NOT b", *threads])
        assert ended.value.code == 0
        said.append(capsys.readouterr().out)
    assert len(set(said)) == 1
    with pytest.raises(SystemExit) as ended:
        run([command, str(folder), "a", "--threads", "0"])
    assert ended.value.code == 2 and "--threads" in capsys.readouterr().err
