"""Requests that are narrowed to platforms, from an index to the sandbox, which counts who was told."""

import time

import polars as pl
import pytest
from virtual_time import VirtualTime

from audience import DeliveryError, DeviceIndex, get_vendor, plan
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, send
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.sandbox.sandbox import KEY, SECRET
from audience.vendors.delivery_spec import Credentials

DEVICE_COUNT = 60
PLATFORMS = ("iOS", "ANDROID", "HMOS")
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3600, "platforms": ["android", "ios", "harmonyos"]}
RETRY = RetryPolicy(initial_delay=0.01, max_delay=0.1, timeout=5, max_lost=1_000)


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    numbers = range(DEVICE_COUNT)
    ids = {f"{name}_token": [f"{number:032x}" for number in numbers] for name in ("engagelab", "emas")}
    tags = [["even"] if number % 2 == 0 else ["odd"] for number in numbers]
    return pl.DataFrame({**ids, "tags": tags, "platform": [PLATFORMS[number % 3] for number in numbers]})


@pytest.fixture(scope="module")
def index(table, tmp_path_factory) -> DeviceIndex:
    folder = tmp_path_factory.mktemp("platforms") / "devices.index"
    return DeviceIndex.build(table, folder, tokens={name: f"{name}_token" for name in ("engagelab", "emas")})


@pytest.fixture
def sandbox(table):
    with Sandbox(Population(table), rate=None) as running:
        yield running


def send_natively(vendor, text, message, index, sandbox, folder):
    """Send *message* to the devices of *text* without any id."""
    planned = plan(text, vendor, index, vendor_has="all")
    assert (planned.by_ids, bool(planned.native)) == (None, True)
    write_requests(planned, index, folder)
    delivery = get_vendor(vendor).delivery
    keys = {key: SECRET if key in delivery.secret_keys else KEY for key in delivery.required_keys}
    keys |= {key: values[0] for key, values in delivery.optional_keys.items()}
    keys |= {"app_key": "23267207"} if "emas" in vendor else {}
    limits = SafetyLimits(max_devices=DEVICE_COUNT, broadcast=True)
    options = SendOptions(RETRY, clock=VirtualTime(time.time()).clock())  # a vendor may want a minute between two calls
    return send(folder, message, Credentials(sandbox.url, keys), limits, options=options)


def count_told(sandbox, vendor) -> dict[int, int]:
    return {int(id_, 16): count for id_, count in sandbox.delivery_counts(vendor.split("_")[0]).items()}


@pytest.mark.parametrize("vendor", ["engagelab", "emas", "emas_v2"])
@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("even AND platform:ios", lambda number: number % 2 == 0 and number % 3 == 0),
        ("platform:android", lambda number: number % 3 == 1),
        ("platform:ios OR platform:harmonyos", lambda number: number % 3 != 1),
        (
            "(even AND platform:ios) OR (odd AND platform:hmos)",
            lambda number: (number % 3, number % 2) in {(0, 0), (2, 1)},
        ),
    ],
)
def test_native_requests_reach_the_devices_of_their_platform_once(index, sandbox, tmp_path, vendor, text, is_meant):
    assert send_natively(vendor, text, MESSAGE, index, sandbox, tmp_path / "run").done
    assert count_told(sandbox, vendor) == dict.fromkeys(filter(is_meant, range(DEVICE_COUNT)), 1)


@pytest.mark.parametrize("vendor", ["engagelab", "emas"])
def test_not_of_platform_is_all_others(index, sandbox, tmp_path, vendor):
    assert send_natively(vendor, "even OR NOT platform:ios", MESSAGE, index, sandbox, tmp_path / "run").done
    meant = [number for number in range(DEVICE_COUNT) if number % 2 == 0 or number % 3]
    assert count_told(sandbox, vendor) == dict.fromkeys(meant, 1)


@pytest.mark.parametrize(
    ("vendor", "text"), [("engagelab", "even AND (platform:ios OR platform:hmos)"), ("emas", "even")]
)
def test_platforms_of_message_and_audience_intersect(index, sandbox, tmp_path, vendor, text):
    message = {**MESSAGE, "platforms": ["iOS"]}
    assert send_natively(vendor, text, message, index, sandbox, tmp_path / "run").done
    assert count_told(sandbox, vendor) == dict.fromkeys(range(0, DEVICE_COUNT, 6), 1)


@pytest.mark.parametrize("vendor", ["engagelab", "emas", "emas_v2"])
@pytest.mark.parametrize("text", ["even AND platform:android", "platform:ios OR (even AND platform:android)"])
def test_message_for_other_platforms_is_not_sent(index, sandbox, tmp_path, vendor, text):
    with pytest.raises(DeliveryError) as caught:
        send_natively(vendor, text, {**MESSAGE, "platforms": ["ios"]}, index, sandbox, tmp_path / "run")
    assert caught.value.code == "other-platform"
    assert count_told(sandbox, vendor) == {}


@pytest.mark.parametrize("text", ["platform:harmonyos", "even AND (platform:ios OR platform:harmonyos)"])
def test_message_without_platforms_is_not_for_harmonyos_at_engagelab(index, sandbox, tmp_path, text):
    message = {key: value for key, value in MESSAGE.items() if key != "platforms"}
    with pytest.raises(DeliveryError, match="for android, ios only"):
        send_natively("engagelab", text, message, index, sandbox, tmp_path / "run")
    assert count_told(sandbox, "engagelab") == {}


def test_devices_that_a_message_without_platforms_leaves_out_are_counted(index, audience, tmp_path):
    """EngageLab documents Android and iOS, so that devices on HarmonyOS get nothing."""
    write_requests(plan("everyone AND NOT odd", "engagelab", index), index, tmp_path / "run")
    (tmp_path / "message.json").write_text('{"title": "Hi", "body": "there"}')
    keys = {"AUDIENCE_ENGAGELAB_APP_KEY": "k", "AUDIENCE_ENGAGELAB_MASTER_SECRET": "long enough"}
    words = ["send", str(tmp_path / "run"), "--message", str(tmp_path / "message.json"), "--expect", "30", "--dry-run"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        _, _, errors = audience(*words)
    assert "the message is for android, ios: 10 of 30 devices get nothing, 10 on harmonyos" in errors


@pytest.mark.parametrize("vendor", ["engagelab", "emas"])
def test_all_of_a_platform_is_a_broadcast(index, tmp_path, vendor):
    planned = plan("platform:ios", vendor, index, vendor_has="all")
    write_requests(planned, index, tmp_path / "run")
    keys = {"app_key": "1", "master_secret": "x", "access_key_id": "x", "access_key_secret": "x", "signature": ""}
    with pytest.raises(DeliveryError, match="broadcast"):
        send(tmp_path / "run", MESSAGE, Credentials("http://127.0.0.1:9", keys), SafetyLimits(max_devices=DEVICE_COUNT))
