"""Law of whole sends: any message, division and schedule at any vendor; each device gets its text once, in its window.

The oracle knows nothing of the product but its documents: levels of texts, and what clocks show minute by minute.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples
from test_ab_tests import walk_strings
from test_sandbox_delivery import SANDBOX_VENDORS, make_credentials, make_ids
from virtual_time import VirtualTime

from audience import DeliveryError, DeviceIndex, Plan, divide_by, parse
from audience.delivery import SafetyLimits, SendOptions, load_deliveries, resume, run_waiting, send
from audience.delivery.campaign_runs import load_all_statuses
from audience.delivery.run_waiting import wait_for_runs
from audience.delivery.runs import cancel
from audience.delivery.schedule import read_schedule
from audience.delivery.transport.retry import RetryPolicy
from audience.delivery.withdrawal import withdraw
from audience.messages import parse_message
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox

DEVICES = 120
DEFAULT_ZONE = "Asia/Shanghai"
LANGUAGES = {
    "zh_CN": "zh-Hans",
    "zh-TW": "zh-Hant",
    "en-AU": "en",
    "en": "en",
    "ja": None,
    "klingon!": None,
    None: None,
}
ZONES = {
    **{zone: zone for zone in ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Pago_Pago", "UTC")},
    **{"GMT+8": "Asia/Shanghai", "+0545": "Asia/Kathmandu", "Mars/Base": DEFAULT_ZONE, None: DEFAULT_ZONE},
}
STARTS = [  # clocks are changed in the next days at some of them
    datetime(2026, 12, 1, 1, tzinfo=UTC),
    datetime(2026, 3, 28, 23, 17, tzinfo=UTC),
    datetime(2026, 10, 24, 20, 30, 30, tzinfo=UTC),
    datetime(2026, 4, 4, 10, tzinfo=UTC),
]
SPREADS = {"30m": 1_800, "2h": 7_200, "26h": 93_600}
SLACK = 300  # seconds for calls that are repeated
WHOLE_DAY = 86_400

ODD_TEXTS = ["", ' "q"', "&a=b", " 时间", '{"a":1}']
text = st.builds(lambda number, more: f"text {number}{more}", st.integers(0, 10**9), st.sampled_from(ODD_TEXTS))
texts = st.fixed_dictionaries({}, optional={"title": text, "body": text})
localized = st.dictionaries(st.sampled_from(["zh-Hans", "zh-Hant", "en"]), texts, min_size=1, max_size=3)
variant = st.one_of(texts, st.builds(lambda own, others: own | {"localized": others}, texts, localized))
messages = st.fixed_dictionaries(
    {"title": st.just("title of all"), "body": st.just("body of all")}, optional={"localized": localized}
)
splits = st.none() | st.tuples(variant, variant)
schedules = st.fixed_dictionaries(
    {},
    optional={
        "quiet": st.sampled_from(["22:00-08:00", "12:30-13:45", "01:30-03:30", "23:59-00:01"]),
        "spread": st.sampled_from([*SPREADS]),
        "hold": st.just(True),
    },
)
minutes_ahead = st.none() | st.integers(1, 4_000)


@dataclass(frozen=True)
class Case:
    """A send: to whom, with what, when, and when it is cancelled."""

    vendor: str
    start: datetime
    message: dict
    schedule: dict
    local_ahead: int | None
    cancel_after: int | None
    shuffle: int

    @property
    def table(self) -> pl.DataFrame:
        ids = make_ids(self.vendor, range(DEVICES))
        languages = [[*LANGUAGES][(number * 7 + self.shuffle) % len(LANGUAGES)] for number in range(DEVICES)]
        zones = [[*ZONES][(number * 5 + self.shuffle) % len(ZONES)] for number in range(DEVICES)]
        columns = {"registration_id": ids, "lang": languages, "tz": zones, "platform": ["android"] * DEVICES}
        return pl.DataFrame(columns, schema_overrides={"lang": pl.String, "tz": pl.String})

    @property
    def asked(self) -> str | None:
        """Return the local time at which devices are to be reached."""
        if self.local_ahead is None:
            return None
        local = self.start.replace(tzinfo=None, second=0) + timedelta(hours=15, minutes=self.local_ahead)
        return local.isoformat(timespec="minutes")


cases = st.builds(
    lambda split, message, **fields: Case(
        message=message
        if split is None
        else message | {"split": "split(a:45%, b:45%, s)", "variants": dict(zip("ab", split, strict=True))},
        **fields,
    ),
    split=splits,
    message=messages,
    vendor=st.sampled_from(SANDBOX_VENDORS),
    start=st.sampled_from(STARTS),
    schedule=schedules,
    local_ahead=minutes_ahead,
    cancel_after=st.none() | st.integers(0, 2 * WHOLE_DAY),
    shuffle=st.integers(0, 1_000),
)


# The oracle. ----------------------------------------------------------------------------------------------------------


def list_languages(message: dict) -> set[str]:
    levels = [message, *message.get("variants", {}).values()]
    return {language for level in levels for language in level.get("localized", {})}


def expect_texts(message: dict, variant_name: str | None, language: str | None) -> set[str]:
    own = message.get("variants", {}).get(variant_name, {})
    found = {name: message[name] for name in ("title", "body")}
    for level in (own, message.get("localized", {}).get(language, {}), own.get("localized", {}).get(language, {})):
        found |= {name: level[name] for name in ("title", "body") if name in level}
    return {*found.values()}


def list_all_texts(message: dict) -> set[str]:
    names = [None, *message.get("variants", {})]
    return {
        text
        for name in names
        for each in [None, *list_languages(message)]
        for text in expect_texts(message, name, each)
    }


def is_quiet(moment: float, zone: str, quiet: str | None) -> bool:
    if quiet is None:
        return False
    shown = datetime.fromtimestamp(moment, ZoneInfo(zone))
    minute, (first, stop) = (
        shown.hour * 60 + shown.minute,
        (int(each[:2]) * 60 + int(each[3:]) for each in quiet.split("-")),
    )
    return first <= minute < stop if first < stop else minute >= first or minute < stop


def find_window(case: Case, zone: str) -> tuple[float, float]:
    """Return the first moment at which a device of *zone* may be reached, and the last."""
    moment, quiet = case.start.timestamp(), case.schedule.get("quiet")
    if case.asked is not None:
        moment -= moment % 60
        while datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None) < datetime.fromisoformat(case.asked):
            moment += 60
    while is_quiet(moment, zone, quiet):
        moment += 60 - moment % 60
    last, remaining = moment, SPREADS.get(case.schedule.get("spread"), 0)
    while remaining > 0:
        remaining -= 0 if is_quiet(last, zone, quiet) else 60
        last += 60
    return moment, last + SLACK


# The product. ---------------------------------------------------------------------------------------------------------


class Sending:
    """A send of a case against the sandbox, in virtual time."""

    def __init__(self, case: Case, folder: Path, sandbox: Sandbox, now: VirtualTime):
        self.case, self.sandbox, self.now, self.run_folder = case, sandbox, now, folder / "run"
        self.credentials = make_credentials(case.vendor, sandbox)
        self.options = SendOptions(RetryPolicy(initial_delay=0.01, max_delay=0.1), clock=now.clock())
        self.index = DeviceIndex.build(case.table, folder / "devices.index")
        self.cancelled_at: float | None = None
        message = parse_message(case.message)
        languages = {"language_of": "lang"} if list_languages(case.message) else {}
        division = divide_by(message, **languages, timezone_of="tz", timezone_default=DEFAULT_ZONE)
        meant = parse("everyone")
        planned = Plan(case.vendor, meant, (), meant, (), index=self.index)
        write_requests(planned, self.index, self.run_folder, division=division)

    def play(self) -> None:
        schedule = read_schedule(**self.case.schedule, send_at=self.case.asked)
        limits = SafetyLimits(max_devices=DEVICES)
        send(self.run_folder, self.case.message, self.credentials, limits, options=self.options, schedule=schedule)
        if self.case.cancel_after is not None:
            self.now.on_sleep = self._cancel_at_its_time
        try:
            wait_for_runs(self.run_folder, self._resume, self.options.clock)
        except DeliveryError:
            assert self.cancelled_at is not None
        if self.case.cancel_after is not None:
            self._cancel_at_its_time(float("inf"))
            assert withdraw(self.run_folder, self.credentials, self.options) == []
        self.now.on_sleep = lambda moment: None
        self.now.now += 8 * WHOLE_DAY  # in which the vendor delivers what it keeps

    def _resume(self, resting):
        if resting:
            return load_all_statuses(self.run_folder, self.options.clock)
        return {self.case.vendor: resume(self.run_folder, self.credentials, options=self.options)}

    def _cancel_at_its_time(self, moment: float) -> None:
        if self.cancelled_at is None and moment >= self.case.start.timestamp() + self.case.cancel_after:
            self.cancelled_at = self.now.now
            cancel(self.run_folder, self.options.clock)

    def read_deliveries(self) -> dict[str, list[tuple[float, set[str]]]]:
        """Return when each device was reached, with which texts of the message."""
        told: dict[str, list[tuple[float, set[str]]]] = {}
        known = list_all_texts(self.case.message)
        for delivery in self.sandbox.deliveries(self.case.vendor.split("_")[0]):
            if delivery["state"] == "delivered":
                found = {*walk_strings(delivery["content"])} & known
                for identifier in delivery["ids"]:
                    told.setdefault(identifier, []).append((datetime.fromisoformat(delivery["at"]).timestamp(), found))
        return told

    def find_variants(self) -> dict[str, str]:
        return {
            identifier: name
            for name in self.case.message.get("variants", {})
            for identifier in self.index.resolve(f"{self.case.message['split']} = {name}").ids()
        }


@pytest.fixture(autouse=True)
def _long_sleeps(monkeypatch):
    """Look at the clock less often: each look takes real time."""
    monkeypatch.setattr(run_waiting, "MAX_SLEEP_SECONDS", 3_600)


@settings(max_examples=scale_examples(6))
@given(case=cases)
def test_each_device_gets_its_text_once_in_its_window(case, tmp_path_factory):
    now = VirtualTime(case.start.timestamp())
    with Sandbox(Population(case.table), rate=None, clock=now.wall) as sandbox:
        sending = Sending(case, tmp_path_factory.mktemp("law"), sandbox, now)
        sending.play()
        check_deliveries(case, sending)


def check_deliveries(case: Case, sending: Sending) -> None:
    told, variants, listed = sending.read_deliveries(), sending.find_variants(), list_languages(case.message)
    assert all(len(each) == 1 for each in told.values())
    meant = {*variants} if "split" in case.message else {*case.table["registration_id"]}
    assert {*told} <= meant if sending.cancelled_at is not None else {*told} == meant
    for row in case.table.filter(pl.col("registration_id").is_in([*told])).iter_rows(named=True):
        [(moment, found)] = told[row["registration_id"]]
        language = LANGUAGES[row["lang"]] if LANGUAGES[row["lang"]] in listed else None
        assert found == expect_texts(case.message, variants.get(row["registration_id"]), language), row
        zone = ZONES[row["tz"]]
        first, last = find_window(case, zone)
        assert first - 1 <= moment <= last, (row, moment - first, last - moment)
        assert not is_quiet(moment, zone, case.schedule.get("quiet")), row
        assert sending.cancelled_at is None or moment <= sending.cancelled_at + 60, row
    states = dict(load_deliveries(sending.run_folder).select("id", "state").iter_rows())
    assert all(state != "delivered" or identifier in told for identifier, state in states.items())
