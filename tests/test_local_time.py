"""Proof of local time: a campaign over five zones with quiet hours; each device once, in its window, or not at all.

A run of `nox -s long` has a million devices.
"""

import threading
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from sizes import scale
from test_scheduled_runs import HOUR, Runs
from virtual_time import VirtualTime

from audience import DeviceIndex, Plan, divide_by, parse
from audience.delivery import run_waiting
from audience.delivery.sender import worker
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox

DEVICES = scale(20_000, 1_000_000)
ZONES = ["Asia/Shanghai", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "America/Los_Angeles"]
DEFAULT_ZONE = "Asia/Tokyo"
START = datetime(2026, 3, 7, 11, tzinfo=UTC)  # clocks of New York and Los Angeles are put forward in the second night
CASES = [("tpns", "token_list"), ("emas", "Push")]  # held here, and kept by the vendor


@pytest.fixture(autouse=True)
def _long_sleeps(monkeypatch):
    """Look at the clock less often: each look takes real time."""
    monkeypatch.setattr(run_waiting, "MAX_SLEEP_SECONDS", 1_200)
    monkeypatch.setattr(worker, "MAX_SLEEP_SECONDS", 1_200)


@pytest.fixture(scope="module")
def table():
    zones = [*ZONES, None]
    numbers = pl.Series("number", range(DEVICES), dtype=pl.UInt32)
    ids = pl.Series("registration_id", [f"{number:032x}" for number in range(DEVICES)])
    return pl.DataFrame([ids, (numbers % len(zones)).replace_strict(dict(enumerate(zones))).alias("tz")])


@pytest.fixture(scope="module")
def index(table, tmp_path_factory):
    return DeviceIndex.build(table, tmp_path_factory.mktemp("zones") / "devices.index", typed=["tz"])


@pytest.fixture
def now():
    return VirtualTime(START.timestamp())


@pytest.fixture
def sandbox(table, now):
    with Sandbox(Population(table.drop("tz")), rate=None, clock=now.wall) as running:
        yield running


def emit(runs):
    meant = parse("everyone")
    division = divide_by(None, timezone_of="tz", timezone_default=DEFAULT_ZONE)
    write_requests(Plan(runs.vendor, meant, (), meant, (), index=runs.index), runs.index, runs.path, division=division)
    return runs


def shown_times(runs, table):
    """Return the local time of each delivery where its device is."""
    zones = {id_: ZoneInfo(zone or DEFAULT_ZONE) for id_, zone in table.iter_rows()}
    for delivery in runs.sandbox.deliveries(runs.vendor):
        if delivery["state"] == "delivered":
            moment = datetime.fromisoformat(delivery["at"])
            for id_ in delivery["ids"]:
                yield id_, moment, moment.astimezone(zones[id_]).time()


def send_in_the_evening(runs, method):
    """Send from 21:30 on, over an hour, of which half is in quiet hours and goes on at 8:00."""
    return runs.send(method=method, local_time="21:30", quiet="22:00-08:00", spread="1h")


@pytest.mark.parametrize(("vendor", "method"), CASES)
def test_each_device_is_reached_once_in_its_window(index, table, sandbox, now, tmp_path, vendor, method):
    runs = emit(Runs(vendor, index, sandbox, now, tmp_path / "run"))
    sent = send_in_the_evening(runs, method)
    assert (sent.stop_reason, sent.waiting.batches > 0) == (None, True)
    runs.wait()
    now.now += 48 * HOUR
    assert runs.told() == {1: DEVICES}
    assert runs.status().done
    shown = [local for _, _, local in shown_times(runs, table)]
    evening, morning = (
        sum(start <= local < stop for local in shown)
        for start, stop in [(time(21, 30), time(22)), (time(8), time(8, 30))]
    )
    assert (len(shown), evening + morning) == (DEVICES, DEVICES)
    assert evening >= morning > DEVICES / 3


@pytest.mark.parametrize(("vendor", "method"), CASES)
def test_nobody_is_reached_after_a_cancellation(index, table, sandbox, now, tmp_path, vendor, method):
    runs = emit(Runs(vendor, index, sandbox, now, tmp_path / "run"))
    send_in_the_evening(runs, method)
    half, left = START + timedelta(hours=8), []

    def cancel_once(moment):
        if moment >= half.timestamp() and not left:
            canceller = threading.Thread(target=lambda: left.append(runs.cancel()))
            canceller.start()
            canceller.join()

    now.on_sleep = cancel_once
    if vendor == "tpns":
        runs.wait()
    else:
        now.now = half.timestamp()
        left.append(runs.cancel())
    now.now += 48 * HOUR
    moments = [moment for _, moment, _ in shown_times(runs, table)]
    assert left == [[]]
    assert 0 < len(moments) < DEVICES and len(moments) == sum(runs.told().values())
    assert max(moments) <= half + timedelta(minutes=1)
    assert runs.told().keys() == {1}
    assert runs.states()["not-sent"] == DEVICES - len(moments)
