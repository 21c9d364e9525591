"""Hypothesis profiles, and indexes and commands that several tests share."""

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsers import browser, page, page_problems, shared_page
from hypothesis import settings
from served import keyed_service, service

from audience import DeviceIndex
from audience._fs.state_folder import find_state_folder
from audience.algebra import cover
from audience.cli.app import run
from audience.tag_sync import last_index
from audience.testing.devices import generate_devices

__all__ = ["browser", "keyed_service", "page", "page_problems", "service", "shared_page"]

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("long", max_examples=500, deadline=None)
settings.register_profile("deep", max_examples=3_000, deadline=None)
settings.register_profile("ci", max_examples=20, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

os.environ.pop("COLUMNS", None)  # workers of xdist have one; a test that depends on the width sets it

CENSUS_FILE = Path(__file__).parents[2] / "shared" / "data" / "census-income.parquet"


def settrace_when_free(function: Any, settrace: Any = sys.settrace) -> None:
    """Install a trace function, as coverage does in each thread, as soon as no other thread is installing one.

    Python 3.11 refuses the second of two at once, which is likely where an audit hook runs between (`test_crashes.py`).
    """
    while True:
        try:
            return settrace(function)
        except RuntimeError:
            time.sleep(0.001)


if sys.version_info < (3, 12):
    sys.settrace = settrace_when_free


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect no garbage until all tests are known, and never look through those: each time takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path):
    """Look for doctests only in those modules of tests that have some: each is executed once more for that."""
    found = yield
    if file_path.suffix != ".py" or ">>> " in file_path.read_text("utf-8"):
        return found
    return [each for each in found if type(each) is pytest.Module]


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory):
    """Let runs share their pace in a folder of the tests, processes that they start included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _own_notes():
    """Let the syncs of a test know nothing of those of others, whose sandbox may have had the same port."""
    for note in find_state_folder(last_index.FOLDER_NAME).glob("*.json"):
        note.unlink(missing_ok=True)


@pytest.fixture(scope="session", autouse=True)
def _search_budget(pytestconfig):
    """Let searches for covers take longer under coverage, which makes them several times slower."""
    factor = 20 if pytestconfig.getoption("cov_source", None) else 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cover, "MAX_SEARCH_SECONDS", factor * cover.MAX_SEARCH_SECONDS)
        yield


@pytest.fixture(scope="session")
def table() -> pl.DataFrame:
    """Five thousand generated devices."""
    return generate_devices(5_000)


@pytest.fixture(scope="session")
def index(table, tmp_path_factory) -> DeviceIndex:
    """The index of `table`."""
    return DeviceIndex.build(table, tmp_path_factory.mktemp("index") / "devices.index")


@pytest.fixture(scope="session")
def census() -> Path:
    """A table of real people."""
    if not CENSUS_FILE.is_file():
        pytest.skip(f"the census table is not part of the project: {CENSUS_FILE}")
    return CENSUS_FILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a table and its index."""
    folder = tmp_path_factory.mktemp("cli")
    generate_devices(5_000).write_parquet(folder / "devices.parquet")
    DeviceIndex.build(folder / "devices.parquet", folder / "devices.index")
    return folder


@pytest.fixture
def audience(folder, capsys, monkeypatch):
    """Run a command in the folder; its exit code, standard output and standard error."""
    monkeypatch.chdir(folder)

    def command(*words: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return command
