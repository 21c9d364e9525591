"""Vendors of another package: they are found by entry points and pass the shared tests."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from fact_files import read_facts

import audience
from audience import PlanError
from audience.testing.registration import register_vendors
from audience.vendors.wrapping import find_own_function

PACKAGE = Path(__file__).parent / "third_party" / "pigeon"
PIGEON_FACTS = [fact for file in sorted((PACKAGE / "vendors").glob("*.txt")) for fact in read_facts(file)]


def install_package(package: Path, target: Path, entry_points: str | None = None) -> str:
    """Write the metadata that pip would install, and return the search path of it and *package*."""
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    info = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(
        "\n".join(lines) if entry_points is None else f"[audience.vendors]\n{entry_points}\n"
    )
    return os.pathsep.join([str(target), str(package)])


@pytest.fixture
def path(tmp_path) -> str:
    return install_package(PACKAGE, tmp_path)


def run_python(path: str, *words: str) -> subprocess.CompletedProcess:
    """Run Python with *path*, in the checkout."""
    environment = {**os.environ, "PYTHONPATH": path, "HYPOTHESIS_PROFILE": "dev"}
    environment.pop("PYTEST_ADDOPTS", None)  # its coverage is not that of the whole suite
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=PACKAGE.parents[2], timeout=300
    )


def test_third_party_vendor_is_found_and_translated(path):
    names = {vendor["name"] for vendor in json.loads(run_python(path, "audience", "vendors", "--json").stdout)}
    assert names == {*audience.vendor_names(), "pigeon", "dovecote"}
    vendors = json.loads(run_python(path, "audience", "translate", "--to", "all", "a AND NOT b", "--json").stdout)[
        "vendors"
    ]
    assert vendors["pigeon"]["native"] == [{"flights": [["a", "!b"]]}]
    assert "dovecote" not in vendors


def test_read_only_third_party_vendor_is_only_a_source(path):
    words = ["translate", "--from", "dovecote", "--to", "pigeon", '{"flights": [["a", "!b"]]}']
    assert run_python(path, "audience", *words).stdout == '{"flights":[["a","!b"]]}\n'
    result = run_python(path, "audience", "translate", "--to", "dovecote", "a")
    assert (result.returncode, result.stdout) == (2, "")
    assert "dovecote is read-only: it was closed in 2019" in result.stderr
    assert "read only: it was closed in 2019" in run_python(path, "audience", "vendors").stdout


def test_third_party_vendor_passes_shared_tests(path):
    body = run_python(
        path, "pytest", "tests/test_vendors.py", "-k", "pigeon or dovecote", "-p", "no:cacheprovider", "-rN"
    )
    assert body.returncode == 0, body.stdout
    passed = int(body.stdout.rpartition(" passed")[0].rpartition("\n")[2])
    assert passed > len(PIGEON_FACTS)
    assert "skipped" not in body.stdout


def test_third_party_vendor_is_registered_inside_a_block(monkeypatch):
    monkeypatch.syspath_prepend(PACKAGE)
    vendor = import_module("pigeon_post").VENDOR
    with pytest.raises(ZeroDivisionError), register_vendors(vendor):
        assert find_own_function(audience.get_vendor("pigeon").emit) is vendor.emit
        assert audience.plan("a AND NOT b", "pigeon").native == ({"flights": [["a", "!b"]]},)
        1 / 0  # noqa: B018
    assert "pigeon" not in audience.vendor_names()


BROKEN_ENTRY_POINTS = {
    "missing package": ("pigeon = nowhere:VENDOR", "ModuleNotFoundError"),
    "not a vendor": ("pigeon = pigeon_post:PAGE", "is not an audience.Vendor"),
    "module exits": ("pigeon = pigeon_that_exits:VENDOR", "SystemExit: 3"),
    "no name": ("pigeon = pigeon_that_fails:NAMELESS", "None is not a valid name of a vendor"),
    "duplicate name": ("pigeon = pigeon_post:VENDOR\nother = pigeon_post:VENDOR", "'pigeon' is taken"),
}


FAILING_VENDORS = """
from dataclasses import replace
from pigeon_post import VENDOR

def fail(given):
    raise KeyError(given)

def fail_later(given):
    yield fail(given)

NAMELESS = replace(VENDOR, name=None)
EMIT, READ = replace(VENDOR, emit=fail), replace(VENDOR, parse=lambda payload: None)
ASKED = replace(VENDOR, assumptions=fail_later)
"""


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """Bring along the vendors that entry points name."""
    (tmp_path / "pigeon_that_exits.py").write_text("raise SystemExit(3)")
    (tmp_path / "pigeon_that_fails.py").write_text(FAILING_VENDORS)

    def install_vendors(entry_points: str) -> None:
        for folder in install_package(PACKAGE, tmp_path, entry_points).split(os.pathsep):
            monkeypatch.syspath_prepend(folder)
        audience.vendors._load_installed_vendors.cache_clear()

    yield install_vendors
    monkeypatch.undo()
    sys.modules.pop("pigeon_that_fails", None)
    audience.vendors._load_installed_vendors.cache_clear()


@pytest.mark.parametrize(("points", "reason"), BROKEN_ENTRY_POINTS.values(), ids=BROKEN_ENTRY_POINTS.keys())
def test_broken_package_is_named(points, reason, brought):
    brought(points)
    with pytest.raises(PlanError, match="audience-pigeon") as caught:
        audience.vendor_names()
    assert (caught.value.code, reason in str(caught.value)) == ("broken-vendor", True)


@pytest.mark.parametrize("which", ["EMIT", "READ", "ASKED"])
def test_package_with_failing_functions_is_named(which, brought):
    brought(f"pigeon = pigeon_that_fails:{which}")
    with pytest.raises(PlanError, match="audience-pigeon") as caught:
        audience.plan("a", "pigeon")
    assert caught.value.code == "broken-vendor"
