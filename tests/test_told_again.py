"""The message for `vip AND NOT told`, from a table to the sandbox: who was told already is not told again."""

import json

import polars as pl
import pytest
from callers import make_keys

from audience import DeviceIndex, load_catalog, plan, vendor_names
from audience.delivery import SafetyLimits, SendOptions, send
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.vendors.delivery_spec import Credentials

VENDORS = vendor_names(can="send")
NATIVE_VENDORS = [name for name in VENDORS if plan("vip AND NOT told", name).by_ids is None]
DEVICE_COUNT, TOLD_COUNT = 3_000, 700
IDS = [f"{number:032x}" for number in range(DEVICE_COUNT)]
VIPS, TOLD = IDS[::2], IDS[:TOLD_COUNT]
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3600}


def make_table(told: list[str]) -> pl.DataFrame:
    told_ids = set(told)
    tags = [["vip"] * (at % 2 == 0) + ["told"] * (id_ in told_ids) for at, id_ in enumerate(IDS)]
    return pl.DataFrame({"registration_id": IDS, "tags": tags}, schema_overrides={"tags": pl.List(pl.String)})


@pytest.fixture
def index(audience, tmp_path) -> DeviceIndex:
    """An index of devices that was tagged `told` by a file of ids, as after a first message."""
    make_table(told=[]).write_parquet(tmp_path / "devices.parquet")
    (tmp_path / "told.txt").write_text("\n".join(TOLD))
    folder = str(tmp_path / "devices.index")
    assert audience("index", "build", str(tmp_path / "devices.parquet"), "-o", folder)[0] == 0
    assert audience("index", "tag", folder, "--add", "told", "--ids", str(tmp_path / "told.txt"))[0] == 0
    return DeviceIndex.open(folder)


def deliver(planned, index, sandbox, folder) -> dict[str, int]:
    """Send the message by *planned*; return how often each device got it."""
    write_requests(planned, index, folder)
    keys = make_keys(planned.vendor)
    assert send(
        folder, MESSAGE, Credentials(sandbox.url, keys), SafetyLimits(max_devices=DEVICE_COUNT), options=SendOptions()
    ).done
    return sandbox.delivery_counts(planned.vendor.split("_")[0])


MEANT = dict.fromkeys([id_ for id_ in VIPS if id_ not in set(TOLD)], 1)


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_without_the_tag_is_sent_ids(index, tmp_path, name):
    with Sandbox(Population(make_table(told=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT told", name, index)
        assert planned.native == ()
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


@pytest.mark.parametrize("name", NATIVE_VENDORS)
def test_declared_tags_are_sent_natively(index, tmp_path, name):
    (tmp_path / "catalog.toml").write_text(f'[tag]\nat = {{ {name} = ["vip", "told"] }}')
    with Sandbox(Population(make_table(told=TOLD)), rate=None) as sandbox:
        planned = plan("vip AND NOT told", name, index, load_catalog(tmp_path / "catalog.toml"))
        assert (len(planned.native), planned.by_ids) == (1, None)
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


def test_tag_that_only_the_index_has_stays_by_ids(index, tmp_path):
    """The vendor has `vip`; of `told` nothing is declared."""
    (tmp_path / "catalog.toml").write_text('[tag]\nat = { tpns = ["vip"] }')
    with Sandbox(Population(make_table(told=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT told", "tpns", index, load_catalog(tmp_path / "catalog.toml"))
        assert [reason.code for reason in planned.reasons] == ["not-at-vendor"]
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


def test_false_word_of_the_user_stands_in_the_manifest(index, tmp_path):
    """Vouched for what is not true, those who were told are told again; the folder says who said so."""
    with Sandbox(Population(make_table(told=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT told", "tpns", index, vendor_has=["tag"])
        assert deliver(planned, index, sandbox, tmp_path / "run") == dict.fromkeys(VIPS, 1)
    assert [each["code"] for each in json.loads((tmp_path / "run" / "manifest.json").read_text())["assumptions"]] == [
        "vendor-has"
    ]
