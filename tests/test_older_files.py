"""Files of other versions, as an index, requests, a campaign or a ledger: refused in words, and nothing is written."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from audience import AudienceError, DeviceIndex
from audience.delivery import resume, send, status
from audience.delivery.ledger.connection import LEDGER_FILE, SCHEMA_VERSION
from audience.index.storage.checked_json import serialize_checked
from audience.index.storage.manifest import FORMAT_VERSION
from audience.requests.campaign import run_folders
from audience.requests.reader import open_requests
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_ids,
    make_send_options,
    register_fake_vendors,
    write_run_folder,
)

OTHER_VERSIONS = [*range(SCHEMA_VERSION), SCHEMA_VERSION + 1]
OTHER_FORMATS = [*range(FORMAT_VERSION), FORMAT_VERSION + 1, None]


@pytest.fixture
def run_folder(tmp_path, monkeypatch) -> Path:
    """A run that has stopped after its first call."""
    monkeypatch.setenv("AUDIENCE_FAKE_KEY", "k")
    monkeypatch.setenv("AUDIENCE_FAKE_SECRET", "s")
    unregister = register_fake_vendors()
    folder = write_run_folder(tmp_path / "run", make_ids(35))
    service = FakeService(fault=lambda call: "stopped" if call > 1 else None)
    send(folder, MESSAGE, CREDENTIALS, UNLIMITED, options=make_send_options(service, concurrency=1))
    yield folder
    unregister()


def list_files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and "lock" not in file.name}


@pytest.mark.parametrize("version", OTHER_VERSIONS)
def test_ledger_of_another_version(run_folder, version, audience):
    with closing(sqlite3.connect(run_folder / LEDGER_FILE)) as ledger:
        ledger.execute(f"PRAGMA user_version = {version}")
    before = list_files(run_folder)
    for words in (["status"], ["resume"], ["run", "wait"], ["cancel"], ["delivered"]):
        code, out, err = audience(*words, str(run_folder))
        assert (code, out) == (2, ""), words
        assert f"expected a ledger of version {SCHEMA_VERSION}, found version {version}" in err
        assert "use the version of audience that created it" in err
    assert list_files(run_folder) == before


@pytest.mark.parametrize("version", OTHER_FORMATS)
def test_index_of_another_format(version, audience, tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"token": make_ids(5)}), tmp_path / "devices.index")
    for file in (index.folder / "manifest.json", *(index.folder / "history").iterdir()):
        body = {**json.loads(file.read_bytes())["index"], "format": version}
        file.write_bytes(serialize_checked("index", body))
    before = list_files(tmp_path)
    for words in (
        ["count"],
        ["emit"],
        ["index", "info"],
        ["index", "remove"],
        ["index", "restore"],
        ["index", "history"],
    ):
        arguments = {"count": ["everyone"], "emit": ["everyone", "--vendor", "tpns", "-o", str(tmp_path / "out")]}
        more = arguments.get(words[-1], {"remove": ["--ids", "r1"], "restore": ["1"]}.get(words[-1], []))
        code, out, err = audience(*words, str(index.folder), *more)
        assert (code, out) == (2, ""), words
    code, _, err = audience("count", str(index.folder), "everyone")
    assert (code, err.split(":")[0], "build the index again" in err) == (2, "other-format", True)
    assert list_files(tmp_path) == before


def iter_names(value, path=()):
    """Yield the path of each field of a JSON object."""
    if isinstance(value, dict):
        for name, field in value.items():
            yield (*path, name)
            yield from iter_names(field, (*path, name))
    elif isinstance(value, list) and value:
        yield from iter_names(value[0], (*path, 0))


def without(value, path):
    if len(path) > 1:
        part = without(value[path[0]], path[1:])
        return {**value, path[0]: part} if isinstance(value, dict) else [part, *value[1:]]
    return {name: field for name, field in value.items() if name != path[0]}


def is_worded(action) -> bool:
    """Return whether *action* works, or is refused with a problem; anything else is raised."""
    try:
        action()
    except AudienceError as error:
        assert all(problem.message for problem in error.problems)
    return True


def test_manifest_without_any_field_of_today(run_folder):
    """An older version had fewer fields, whichever: it is read, or refused in words."""
    file = run_folder / "manifest.json"
    whole = json.loads(file.read_bytes())
    service = FakeService()
    for path in iter_names(whole):
        file.write_text(json.dumps(without(whole, path)))
        assert is_worded(lambda: open_requests(run_folder)), path
        assert is_worded(lambda: status(run_folder)), path
        assert is_worded(lambda: resume(run_folder, CREDENTIALS, options=make_send_options(service))), path
    assert service.call_count == 0  # the plan is another one


def test_campaign_without_any_field_of_today(tmp_path, audience):
    table = pl.DataFrame({"engagelab_token": make_ids(9), "tpns_token": [None] * 4 + make_ids(5)})
    DeviceIndex.build(table, tmp_path / "x.index", tokens={"engagelab": "engagelab_token", "tpns": "tpns_token"})
    folder = tmp_path / "out"
    words = [str(tmp_path / "x.index"), "everyone", "--vendors", "tpns,engagelab", "-o", str(folder)]
    assert audience("campaign", *words)[0] == 0
    file = folder / "campaign.json"
    whole = json.loads(file.read_bytes())
    for path in iter_names(whole):
        file.write_text(json.dumps(without(whole, path)))
        assert is_worded(lambda: run_folders(folder)), path
        code, _, err = audience("status", str(folder))
        assert (code, "Traceback" in err) == (2, False), path
