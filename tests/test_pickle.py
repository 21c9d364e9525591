"""Sets of devices behave as Python's sets do; indexes, sets and plans survive pickling, and forks say what fails."""

import multiprocessing
import os
import pickle
import shutil
import signal
from multiprocessing import forkserver
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import AudienceError, DeviceIndex, ExpressionError, InvalidIndexError, PlanError, parse, plan

TOKENS = [f"t{number}" for number in range(100)]


def build_index(folder, **options) -> DeviceIndex:
    table = pl.DataFrame(
        {
            "token": TOKENS,
            "tpns_token": [None, *(f"x{number}" for number in range(1, 100))],
            "tags": [[name for name, step in (("a", 2), ("b", 3)) if number % step == 0] for number in range(100)],
            "age": list(range(100)),
        }
    )
    return DeviceIndex.build(table, folder / "devices.index", tokens="token", **options)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> DeviceIndex:
    return build_index(tmp_path_factory.mktemp("sets"))


EXPRS = st.sampled_from(["a", "b", "NOT a", "age < 30", "everyone", "nobody", "a AND b"])


@given(EXPRS, EXPRS)
def test_sets_of_devices_are_sets(index, lhs, rhs):
    first, second = index.resolve(lhs), index.resolve(rhs)
    names, other_names = set(first), set(second)
    assert len(first) == len(names) == len(list(first)) and bool(first) == bool(names)
    for operator in ("__and__", "__or__", "__sub__", "__xor__"):
        assert set(getattr(first, operator)(second)) == getattr(names, operator)(other_names)
    assert set(~first) == set(TOKENS) - names
    for operator in ("__eq__", "__ne__", "__le__", "__lt__", "__ge__", "__gt__"):
        assert eval_operator(first, operator, second) == getattr(names, operator)(other_names), operator
    assert {token for token in TOKENS if token in first} == names
    assert (hash(first) == hash(second)) or first != second


def eval_operator(first, operator: str, second) -> bool:
    match operator:
        case "__ge__":
            return first >= second
        case "__gt__":
            return first > second
    return getattr(first, operator)(second)


def test_sets_find_a_device_by_the_id_of_any_vendor(index):
    devices = index.resolve("age = 7")
    assert ("t7" in devices, "x7" in devices, "x8" in devices, "nobody" in devices, "" in devices) == (
        *(True, True, False, False, False),
    )
    with pytest.raises(TypeError, match="identifier: expected a string, got 7"):
        assert 7 in devices


def test_sets_of_two_snapshots_are_not_combined(tmp_path):
    index = build_index(tmp_path)
    before = index.resolve("a")
    index.tag(["t1"], add="told")
    after = index.resolve("a")
    for combine in (lambda: before | after, lambda: before ^ after, lambda: before <= after, lambda: before < after):
        with pytest.raises(PlanError, match="other-snapshot"):
            combine()
    assert before != after
    with pytest.raises(TypeError):
        before & {"t1"}


def test_pickled_values_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    index = build_index(tmp_path)
    index = DeviceIndex.open("devices.index")
    devices, planned = index.resolve("a"), plan("a AND NOT alias(u1) AND age < 5 OR b", "tpns", None)
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(planned)) == planned
    with monkeypatch.context() as there:
        there.chdir(tmp_path)
        pickled = pickle.dumps((index, devices, plan("a", "tpns", index)))
    copied_index, copied, copied_plan = pickle.loads(pickled)
    assert len(copied_index) == 100 and copied_index.count("a") == len(copied) == 50
    assert copied.ids().equals(devices.ids())
    assert list(copied_plan.requests()) == list(plan("a", "tpns", copied_index).requests())
    assert copied_index.snapshot.cache.max_bytes == index.snapshot.cache.max_bytes


def test_sets_that_were_pickled_combine_with_those_of_the_index(index):
    copied = pickle.loads(pickle.dumps(index.resolve("a")))
    assert copied == index.resolve("a") and len(copied & index.resolve("b")) == index.count("a AND b")


def test_pickled_snapshot_is_opened_again_after_a_change(tmp_path):
    index = build_index(tmp_path)
    pickled = pickle.dumps((index, index.resolve("a")))
    index.remove(["t0"])
    older, devices = pickle.loads(pickled)
    assert (len(index), len(older), len(devices)) == (99, 100, 50)
    index.vacuum()
    with pytest.raises(InvalidIndexError, match=r"no-snapshot: snapshot 1 of .* keeps it no longer"):
        pickle.loads(pickled)


def test_pickled_snapshot_of_a_replaced_or_deleted_index_is_an_error(tmp_path):
    index = build_index(tmp_path)
    pickled = pickle.dumps(index.resolve("a"))
    replaced = DeviceIndex.build(pl.DataFrame({"token": ["t1"]}), index.folder, replace=True)
    with pytest.raises(InvalidIndexError, match=r"no-snapshot: .* was built again"):
        pickle.loads(pickled)
    shutil.rmtree(replaced.folder)
    with pytest.raises(InvalidIndexError, match="no-index"):
        pickle.loads(pickled)


def test_errors_are_pickled_with_their_problems():
    with pytest.raises(ExpressionError) as caught:
        parse("a AND")
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (type(copied), copied.problems, str(copied)) == (ExpressionError, caught.value.problems, str(caught.value))


def count_ids(devices) -> list[str]:
    return sorted(devices.ids())


def count_in_index(index) -> int:
    return index.count("a AND age < 50 AND registration_id(t0, t2, t51)")


def count_bitmaps(index) -> int:
    return index.count("a AND NOT b")


@pytest.fixture
def own_fork_server():
    """Let the next process of the method `forkserver` come from a new server, which has imported nothing."""
    server: Any = forkserver._forkserver  # of which the standard library has no public form
    preloaded = server._preload_modules
    server._stop()
    server.set_forkserver_preload([])
    yield
    server._stop()
    server.set_forkserver_preload(preloaded)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_other_processes_use_what_was_pickled(index, method, own_fork_server):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(count_in_index, (index,)) == 2
        assert pool.apply(count_ids, (index.resolve("a AND b"),)) == sorted(index.resolve("a AND b"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (count_bitmaps, "33"),
        (count_in_index, "2"),
        (lambda index: count_ids(index.resolve("a")), "after-fork"),
    ],
    ids=["bitmaps", "ids", "list of ids"],
)
def test_forked_process_answers_or_says_why_not(index, ask, expected):
    """Polars has started its threads in this process: what needs them would wait forever in a fork."""
    pl.DataFrame({"x": range(100_000)}).lazy().group_by("x").len().collect()
    read, write = os.pipe()
    process = os.fork()
    if not process:
        signal.alarm(20)
        try:
            answer = str(ask(index))
        except AudienceError as error:
            answer = error.code
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        assert answers.read() == expected
    os.waitpid(process, 0)


def test_notebooks_show_escaped_tables(index, tmp_path):
    devices = index.resolve("a")
    assert "<td>50 of 100</td>" in devices._repr_html_() and repr(devices) == "<DeviceSet: 50 devices>"
    assert "<caption>DeviceIndex</caption>" in index._repr_html_() and "tag, age" in index._repr_html_()
    html = plan('"<b>" AND alias(u1)', "tpns", index)._repr_html_()
    assert "<b>" not in html and "&lt;b&gt;" in html and "<th>by ids</th>" in html
