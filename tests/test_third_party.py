"""Vendors of another package are found by their entry points, and held to the same body of tests."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from lines import facts

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
    "two of one name": ("pigeon = pigeon_post:VENDOR\nother = pigeon_post:VENDOR", "'pigeon' is taken"),
}


@pytest.mark.parametrize(("points", "told"), BROKEN.values(), ids=BROKEN.keys())
def test_a_package_that_is_broken_is_named(points, told, tmp_path, monkeypatch):
    for folder in install(PACKAGE, tmp_path, points).split(os.pathsep):
        monkeypatch.syspath_prepend(folder)
    audience.vendors.__globals__["_records"].cache_clear()
    try:
        with pytest.raises(PlanError, match="audience-pigeon") as caught:
            audience.vendors()
        assert (caught.value.code, told in str(caught.value)) == ("broken-vendor", True)
    finally:
        monkeypatch.undo()
        audience.vendors.__globals__["_records"].cache_clear()
