"""Recipes for schedulers: their files are valid, and the commands in them do what the page says.

Neither Airflow nor Dagster nor dbt is installed for this: what is theirs is compiled, not run.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from test_readme import ROOT, code_blocks

from audience import DeviceIndex
from audience.cli.project_file.reading import parse_project_file

BLOCKS = code_blocks(ROOT / "docs" / "recipes.md")
PYTHON = {text.partition("\n")[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "python"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of a project, in which `audience` is this one."""
    pl.DataFrame({"token": ["a", "b"], "tags": [["vip"], []]}).write_parquet(tmp_path / "devices.parquet")
    write_project(tmp_path, 'index = "devices.index"\n[devices]\ntable = "devices.parquet"\n')
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "audience"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m audience "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def write_project(folder, text):
    (folder / "audience.toml").write_text(text)
    (folder / "audience.toml").chmod(0o644)


def test_every_recipe_compiles():
    assert set(PYTHON) == {"dags/audience.py", "definitions.py"}
    for name, text in PYTHON.items():
        compile(text, name, "exec")


def test_command_of_the_airflow_recipe(folder):
    calls = [node for node in ast.walk(ast.parse(PYTHON["dags/audience.py"])) if isinstance(node, ast.Call)]
    options = {keyword.arg: keyword.value for call in calls for keyword in call.keywords}
    command = ast.literal_eval(options["bash_command"])
    codes = [subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True).returncode]
    write_project(folder, "indx = 3")
    codes.append(subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True).returncode)
    assert codes == [0, 2]
    assert DeviceIndex.open(folder / "devices.index").count("vip") == 1


def test_function_of_the_dagster_recipe(folder):
    tree = ast.parse(PYTHON["definitions.py"])
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "refresh"]
    names = {"json": json, "subprocess": subprocess}
    exec(compile(ast.Module([function], []), "definitions.py", "exec"), names)
    assert [step["devices"] for step in names["refresh"](str(folder))] == [2]
    write_project(folder, "indx = 3")
    with pytest.raises(RuntimeError, match="unknown-key"):
        names["refresh"](str(folder))


def test_project_file_of_the_dbt_recipe():
    [text] = [text for kind, text in BLOCKS if kind == "toml"]
    file = parse_project_file(Path("audience.toml"), text)
    assert file.devices and file.update and file.devices.tables == ["postgresql://reader@db.internal/crm"]
