"""A message for `vip AND NOT contacted`, from a table to the sandbox: contacted devices get no second one."""

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
NATIVE_VENDORS = [name for name in VENDORS if plan("vip AND NOT contacted", name).by_ids is None]
DEVICE_COUNT, CONTACTED_COUNT = 3_000, 700
IDS = [f"{number:032x}" for number in range(DEVICE_COUNT)]
VIPS, CONTACTED = IDS[::2], IDS[:CONTACTED_COUNT]
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3600}


def make_table(contacted: list[str]) -> pl.DataFrame:
    contacted_ids = set(contacted)
    tags = [["vip"] * (at % 2 == 0) + ["contacted"] * (id_ in contacted_ids) for at, id_ in enumerate(IDS)]
    return pl.DataFrame({"registration_id": IDS, "tags": tags}, schema_overrides={"tags": pl.List(pl.String)})


@pytest.fixture
def index(audience, tmp_path) -> DeviceIndex:
    """An index of devices that was tagged `contacted` by a file of ids, as after a first message."""
    make_table(contacted=[]).write_parquet(tmp_path / "devices.parquet")
    (tmp_path / "contacted.txt").write_text("\n".join(CONTACTED))
    folder = str(tmp_path / "devices.index")
    assert audience("index", "build", str(tmp_path / "devices.parquet"), "-o", folder)[0] == 0
    assert audience("index", "tag", folder, "--add", "contacted", "--ids", str(tmp_path / "contacted.txt"))[0] == 0
    return DeviceIndex.open(folder)


def deliver(planned, index, sandbox, folder) -> dict[str, int]:
    """Send the message by *planned*; return how often each device got it."""
    write_requests(planned, index, folder)
    keys = make_keys(planned.vendor)
    assert send(
        folder, MESSAGE, Credentials(sandbox.url, keys), SafetyLimits(max_devices=DEVICE_COUNT), options=SendOptions()
    ).done
    return sandbox.delivery_counts(planned.vendor.split("_")[0])


MEANT = dict.fromkeys([id_ for id_ in VIPS if id_ not in set(CONTACTED)], 1)


@pytest.mark.parametrize("name", VENDORS)
def test_vendor_without_the_tag_is_sent_ids(index, tmp_path, name):
    with Sandbox(Population(make_table(contacted=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT contacted", name, index)
        assert planned.native == ()
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


@pytest.mark.parametrize("name", NATIVE_VENDORS)
def test_declared_tags_are_sent_natively(index, tmp_path, name):
    (tmp_path / "catalog.toml").write_text(f'[tag]\nat = {{ {name} = ["vip", "contacted"] }}')
    with Sandbox(Population(make_table(contacted=CONTACTED)), rate=None) as sandbox:
        planned = plan("vip AND NOT contacted", name, index, load_catalog(tmp_path / "catalog.toml"))
        assert (len(planned.native), planned.by_ids) == (1, None)
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


def test_tag_that_only_the_index_has_stays_by_ids(index, tmp_path):
    """The vendor has `vip`; of `contacted` nothing is declared."""
    (tmp_path / "catalog.toml").write_text('[tag]\nat = { tpns = ["vip"] }')
    with Sandbox(Population(make_table(contacted=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT contacted", "tpns", index, load_catalog(tmp_path / "catalog.toml"))
        assert [reason.code for reason in planned.reasons] == ["not-at-vendor"]
        assert deliver(planned, index, sandbox, tmp_path / "run") == MEANT


def test_false_vouching_is_listed_in_the_manifest(index, tmp_path):
    """If the user vouches for tags that the vendor lacks, contacted devices are messaged again; the folder shows it."""
    with Sandbox(Population(make_table(contacted=[])), rate=None) as sandbox:
        planned = plan("vip AND NOT contacted", "tpns", index, vendor_has=["tag"])
        assert deliver(planned, index, sandbox, tmp_path / "run") == dict.fromkeys(VIPS, 1)
    assert [each["code"] for each in json.loads((tmp_path / "run" / "manifest.json").read_text())["assumptions"]] == [
        "vendor-has"
    ]
