"""One number of devices at every place that asks for or shows the size of a send: those that get the message.

Devices without an id at the vendor are in the audience. They are skipped, and do not count.
"""

import json
import re
from pathlib import Path

import polars as pl
import pytest
from service import open_client

from audience import DeliveryError, DeviceIndex
from audience.requests.reader import open_requests, read_manifest_summary
from audience.requests.redaction import redact_requests
from audience.server.keys import add_key

VENDORS = {  # credentials of each
    "huawei": {"app_id": "1", "client_id": "2", "client_secret": "3"},
    "onesignal": {"app_id": "00000000-0000-0000-0000-000000000001", "api_key": "k"},
    "tpns": {"access_id": "1500000001", "secret_key": "k"},
}
AUDIENCE, MESSAGED = 26, 15


def make_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


@pytest.fixture
def index_path(tmp_path, monkeypatch) -> Path:
    """Build an index of 26 devices that are vip, of which 11 have no token of any vendor."""
    tokens = [make_id(number) if number < MESSAGED else None for number in range(AUDIENCE)]
    columns = {f"{vendor}_token": tokens for vendor in VENDORS}
    table = pl.DataFrame(
        {"fcm_token": [f"u{number}" for number in range(AUDIENCE)], "tags": [["vip"]] * AUDIENCE} | columns
    )
    for vendor, keys in VENDORS.items():
        for name, value in keys.items():
            monkeypatch.setenv(f"AUDIENCE_{vendor.upper()}_{name.upper()}", value)
    (tmp_path / "m.json").write_text('{"title": "Hi", "body": "there"}')
    DeviceIndex.build(table, tmp_path / "dev.index", tokens={vendor: f"{vendor}_token" for vendor in (*VENDORS, "fcm")})
    return tmp_path / "dev.index"


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_command_counts_the_devices_that_get_the_message(vendor, index_path, audience, monkeypatch):
    monkeypatch.chdir(index_path.parent)
    code, out, err = audience("emit", str(index_path), "vip", "--vendor", vendor, "--by-ids", "-o", "hw1")
    assert (code, "26 devices" in out, "15 ids; 11 devices skipped" in out) == (0, True, True), (out, err)
    send = ["send", "hw1", "--message", "m.json", "--dry-run"]
    code, out, err = audience(*send, "--expect", "15")
    assert (code, re.findall(r"([\d,]+) device", out)) == (0, ["15"]), (out, err)
    assert json.loads(audience(*send, "--max-devices", "15", "--json")[1])[0]["devices"] == MESSAGED
    assert "this would message 15 devices, but --expect says 26" in audience(*send, "--expect", "26")[2]
    assert "this would message 15 devices, but --max-devices allows 14" in audience(*send, "--max-devices", "14")[2]
    assert "pass --expect 15" in audience(*send)[2]
    assert f"{MESSAGED} devices in" in audience("preview", "hw1", "--message", "m.json")[1]


def test_the_service_asks_for_the_devices_that_get_the_message(index_path, tmp_path):
    (tmp_path / "runs").mkdir()
    token = add_key(tmp_path / "keys", "boss", ["count", "ids", "write", "send"])
    with open_client(
        index_path, runs=tmp_path / "runs", keys=tmp_path / "keys", vendor_hosts={None: "http://127.0.0.1:9"}
    ) as client:
        headers = {"Authorization": f"Bearer {token}"}
        body = {"name": "hw1", "expr": "vip", "vendor": "huawei", "message": {"title": "Hi", "body": "there"}}
        dry_run = client.post("/v1/indexes/dev/runs", json=body, headers=headers).json()["dry_run"]
        assert (dry_run["devices"], [each["devices"] for each in dry_run["unreachable"]]) == (MESSAGED, [11])
        shown = client.get("/v1/runs/hw1", headers=headers).json()
        assert (shown["devices"], shown["runs"]["huawei"]["devices"]) == (MESSAGED, MESSAGED)
        refused = client.post("/v1/runs/hw1/send", json={"devices": AUDIENCE}, headers=headers).json()
        assert [(each["code"], each["hint"]) for each in refused["problems"]] == [
            ("other-size", "hw1 has 15 devices; nothing was sent")
        ]


def test_forgetting_a_skipped_device_keeps_the_number(index_path, audience, monkeypatch):
    monkeypatch.chdir(index_path.parent)
    audience("emit", str(index_path), "vip", "--vendor", "huawei", "--by-ids", "-o", "hw1")
    code, out, err = audience("forget", "u25", "--index", str(index_path), "--runs", "hw1")
    assert code == 0, (out, err)
    requests = open_requests(Path("hw1"))
    assert (requests.device_count, requests.skipped_count, requests.messaged_count) == (25, 10, MESSAGED)
    assert read_manifest_summary(Path("hw1"))[1] == MESSAGED


@pytest.mark.parametrize(
    ("expr", "words", "audience_count", "messaged"),
    [
        ("vip", ["--by-ids"], AUDIENCE, MESSAGED),
        ("vip limit 12 seed s", [], 12, 12),  # devices with a token take the places of others
        ("vip", [], AUDIENCE, MESSAGED),  # natively
    ],
)
def test_the_manifest_says_how_many_get_the_message(
    index_path, audience, monkeypatch, expr, words, audience_count, messaged
):
    """An older manifest, which does not say it, is read in the same way; of forgotten ids none is messaged."""
    monkeypatch.chdir(index_path.parent)
    code, _, err = audience("emit", str(index_path), expr, "--vendor", "tpns", *words, "-o", "hw1")
    assert code == 0, err
    manifest = json.loads(Path("hw1/manifest.json").read_text())
    assert (manifest["devices"], manifest["messaged_count"]) == (audience_count, messaged)
    requests = open_requests(Path("hw1"))
    if requests.id_count:
        ids = requests.ids_between(0, 2)
        shrunk = redact_requests(Path("hw1"), ids, keeps_positions=False)
        assert json.loads(shrunk.manifest)["messaged_count"] == messaged - 2
    del manifest["messaged_count"]
    Path("hw1/manifest.json").write_text(json.dumps(manifest))
    assert open_requests(Path("hw1")).messaged_count == messaged
    Path("hw1/manifest.json").write_text(json.dumps({**manifest, "messaged_count": requests.id_count - 1}))
    with pytest.raises(DeliveryError, match="ids, messages"):
        open_requests(Path("hw1"))
