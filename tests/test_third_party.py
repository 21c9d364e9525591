"""Vendors of another package are found by their entry points, and held to the same body of tests."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fact_files import facts

import audience
from audience import PlanError

PACKAGE = Path(__file__).parent / "third_party" / "pigeon"
FACTS = [fact for file in sorted((PACKAGE / "vendors").glob("*.txt")) for fact in facts(file)]


def install(package: Path, into: Path, points: str | None = None) -> str:
    """What pip leaves of *package*, for those who look for entry points; the search path that has both."""
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    info = into / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text("\n".join(lines) if points is None else f"[audience.vendors]\n{points}\n")
    return os.pathsep.join([str(into), str(package)])


@pytest.fixture
def path(tmp_path) -> str:
    return install(PACKAGE, tmp_path)


def ran(path: str, *words: str) -> subprocess.CompletedProcess:
    """Python with *path*, run from the checkout."""
    environment = {**os.environ, "PYTHONPATH": path, "HYPOTHESIS_PROFILE": "dev"}
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=PACKAGE.parents[2], timeout=300
    )


def test_it_is_found_and_said(path):
    named = {each["name"] for each in json.loads(ran(path, "audience", "vendors", "--json").stdout)}
    assert named == {*audience.vendors(), "pigeon", "dovecote"}
    said = json.loads(ran(path, "audience", "translate", "--to", "all", "a AND NOT b", "--json").stdout)["vendors"]
    assert said["pigeon"]["native"] == [{"flights": [["a", "!b"]]}]
    assert "dovecote" not in said


def test_one_that_is_read_only_is_translated_from_and_refused_as_a_target(path):
    words = ["translate", "--from", "dovecote", "--to", "pigeon", '{"flights": [["a", "!b"]]}']
    assert ran(path, "audience", *words).stdout == '{"flights":[["a","!b"]]}\n'
    refused = ran(path, "audience", "translate", "--to", "dovecote", "a")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nothing is sent to dovecote: it was closed in 2019" in refused.stderr
    assert "read only: it was closed in 2019" in ran(path, "audience", "vendors").stdout


def test_it_passes_the_body_of_tests_of_every_vendor(path):
    body = ran(path, "pytest", "tests/test_vendors.py", "-k", "pigeon or dovecote", "-p", "no:cacheprovider", "-rN")
    assert body.returncode == 0, body.stdout
    passed = int(body.stdout.rpartition(" passed")[0].rpartition("\n")[2])
    assert passed > len(FACTS)
    assert "skipped" not in body.stdout


BROKEN = {
    "a package that is not there": ("pigeon = nowhere:VENDOR", "ModuleNotFoundError"),
    "something else than a vendor": ("pigeon = pigeon_post:PAGE", "is no audience.Vendor"),
    "what ends Python": ("pigeon = pigeon_that_exits:VENDOR", "SystemExit: 3"),
    "no name": ("pigeon = pigeon_that_fails:NAMELESS", "None is no name of a vendor"),
    "two of one name": ("pigeon = pigeon_post:VENDOR\nother = pigeon_post:VENDOR", "'pigeon' is taken"),
}


FAILING = """
from dataclasses import replace
from pigeon_post import VENDOR

def fail(given):
    raise KeyError(given)

def fail_later(given):
    yield fail(given)

NAMELESS = replace(VENDOR, name=None)
EMIT, READ = replace(VENDOR, emit=fail), replace(VENDOR, parse=lambda payload: None)
ASKED = replace(VENDOR, conditions=fail_later)
"""


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Bring along the vendors that entry points name."""
    (tmp_path / "pigeon_that_exits.py").write_text("raise SystemExit(3)")
    (tmp_path / "pigeon_that_fails.py").write_text(FAILING)

    def bring(points: str) -> None:
        for folder in install(PACKAGE, tmp_path, points).split(os.pathsep):
            monkeypatch.syspath_prepend(folder)
        audience.vendors.__globals__["_records"].cache_clear()

    yield bring
    monkeypatch.undo()
    sys.modules.pop("pigeon_that_fails", None)
    audience.vendors.__globals__["_records"].cache_clear()


@pytest.mark.parametrize(("points", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_package_that_is_broken_is_named(points, told, brought):
    brought(points)
    with pytest.raises(PlanError, match="audience-pigeon") as caught:
        audience.vendors()
    assert (caught.value.code, told in str(caught.value)) == ("broken-vendor", True)


@pytest.mark.parametrize("which", ["EMIT", "READ", "ASKED"])
def test_a_package_whose_functions_fail_is_named(which, brought):
    brought(f"pigeon = pigeon_that_fails:{which}")
    with pytest.raises(PlanError, match="audience-pigeon") as caught:
        audience.plan("a", "pigeon")
    assert caught.value.code == "broken-vendor"
