"""Runs at their time, against the sandbox on one virtual clock: each device once, in its window, or nobody."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import polars as pl
import pytest
from callers import make_keys
from virtual_time import VirtualTime

from audience import DeliveryError, DeviceIndex, MessageError, Plan, get_vendor, parse, vendor_names
from audience.delivery import SafetyLimits, SendOptions, resume, run_waiting, send, status
from audience.delivery.campaign_runs import load_all_statuses
from audience.delivery.deliveries import load_deliveries
from audience.delivery.run_waiting import wait_for_runs
from audience.delivery.runs import cancel
from audience.delivery.schedule import read_schedule
from audience.delivery.sender import batch_sender
from audience.delivery.transport.retry import RetryPolicy
from audience.delivery.withdrawal import withdraw
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.vendors.delivery_spec import Credentials

DEVICES = 3_500
START = datetime(2026, 12, 1, 1, tzinfo=UTC)
MESSAGE = {"title": "Hi", "body": "there"}
HOUR = 3_600


@pytest.fixture(scope="module")
def table():
    return pl.DataFrame(
        {
            "registration_id": [f"{number:032x}" for number in range(DEVICES)],
            "platform": ["android"] * DEVICES,
        }
    )


@pytest.fixture(scope="module")
def index(table, tmp_path_factory):
    return DeviceIndex.build(table, tmp_path_factory.mktemp("scheduled") / "devices.index")


@pytest.fixture(autouse=True)
def _long_sleeps(monkeypatch):
    """Look at the clock less often: each look takes real time."""
    monkeypatch.setattr(run_waiting, "MAX_SLEEP_SECONDS", 1_200)


@pytest.fixture
def now():
    return VirtualTime(START.timestamp())


@pytest.fixture
def sandbox(table, now):
    with Sandbox(Population(table), rate=None, clock=now.wall) as running:
        yield running


class Runs:
    """Runs of one vendor at the sandbox, on the virtual clock."""

    def __init__(self, vendor, index, sandbox, now, path):
        self.vendor, self.index, self.sandbox, self.now, self.path = vendor, index, sandbox, now, path
        self.options = SendOptions(RetryPolicy(initial_delay=0.01, max_delay=0.1), clock=now.clock())
        self.credentials = Credentials(sandbox.url, make_keys(vendor))

    def emit(self, native=False):
        meant = parse("everyone")
        natives = (get_vendor(self.vendor).emit(meant),) if native else ()
        planned = Plan(self.vendor, meant, natives, None if native else meant, (), index=self.index)
        write_requests(planned, self.index, self.path)
        return self

    def send(self, message=None, method=None, **schedule):
        return send(
            self.path,
            {**MESSAGE, **(message or {})},
            self.credentials,
            SafetyLimits(max_devices=10**7, broadcast=True),
            method=method,
            options=self.options,
            schedule=read_schedule(**schedule),
        )

    def resume(self, **options):
        return resume(self.path, self.credentials, options=self.options, **options)

    def wait(self):
        def resume_all(resting):
            return load_all_statuses(self.path, self.options.clock) if resting else {self.vendor: self.resume()}

        return wait_for_runs(self.path, resume_all, self.options.clock)[self.vendor]

    def cancel(self):
        cancel(self.path, self.options.clock)
        return withdraw(self.path, self.credentials, self.options)

    def status(self):
        return status(self.path, self.options.clock)

    def told(self):
        """Return how often devices were told."""
        counts = self.sandbox.delivery_counts(self.vendor.split("_")[0])
        return {count: list(counts.values()).count(count) for count in set(counts.values())}

    def hours(self):
        """Return the hours from the start at which devices were told, or are to be told."""
        deliveries = self.sandbox.deliveries(self.vendor.split("_")[0])
        moments = [(datetime.fromisoformat(each["at"]), each) for each in deliveries if each["state"] != "cancelled"]
        return sorted({round((moment - START).total_seconds() / HOUR, 3) for moment, _ in moments})

    def states(self):
        frame = load_deliveries(self.path)
        return dict(frame["state"].value_counts().iter_rows())


@pytest.fixture
def make_runs(index, sandbox, now, tmp_path):
    def make(vendor, **options):
        return Runs(vendor, index, sandbox, now, tmp_path / vendor).emit(**options)

    return make


def list_kept():
    """Return the vendors that keep calls, and whether these have native targets: by ids, if both are kept."""
    for name in vendor_names(can="send"):
        delivery = get_vendor(name).delivery
        if any(method.schedule for method in delivery.send_methods):
            yield name, False
        elif delivery.native_method.schedule:
            yield name, True


VENDORS_THAT_KEEP = list(list_kept())


@pytest.mark.parametrize(("vendor", "native"), VENDORS_THAT_KEEP)
def test_vendor_keeps_calls_until_their_time(make_runs, now, vendor, native):
    runs = make_runs(vendor, native=native)
    found = runs.send(send_at="2026-12-01T12:00+08:00")  # in three hours
    waiting = found.waiting
    assert (found.done, found.pending, waiting.held_batches, waiting.kept_batches > 0) == (False, 0, 0, True)
    assert waiting.due_at == START.timestamp() + 3 * HOUR
    assert (runs.told(), runs.hours()) == ({}, [3])
    now.now += 3 * HOUR
    assert runs.told() == {1: DEVICES}
    assert runs.status().done


@pytest.mark.parametrize(("vendor", "native"), VENDORS_THAT_KEEP)
def test_cancelled_run_is_withdrawn_at_the_vendor(make_runs, now, vendor, native):
    runs = make_runs(vendor, native=native)
    runs.send(send_at="2026-12-01T12:00+08:00")
    now.now += 2 * HOUR
    assert runs.cancel() == []
    assert (runs.status().batch_counts["accepted"], runs.status().batch_counts["withdrawn"] > 0) == (0, True)
    now.now += 2 * HOUR
    assert runs.told() == {}
    assert runs.cancel() == []  # again


def test_vendor_that_cannot_keep_calls_is_sent_them_at_their_time(make_runs, now):
    runs = make_runs("tpns")
    found = runs.send(send_at="2026-12-01T12:00+08:00")
    assert (found.waiting.held_ids, found.waiting.opens_at) == (DEVICES, START.timestamp() + 3 * HOUR)
    assert runs.resume().waiting.held_ids == DEVICES  # too early
    assert (runs.told(), runs.hours()) == ({}, [])
    assert runs.wait().done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [3])


def test_log_has_what_waits_and_what_is_withdrawn(make_runs, caplog):
    caplog.set_level("INFO", logger="audience.activity")
    runs = make_runs("emas")
    batches = runs.send(send_at="2026-12-01T12:00+08:00").waiting.batches
    runs.cancel()
    [scheduled] = [each for each in caplog.records if each.message == "run-scheduled"]
    [withdrawn] = [each for each in caplog.records if each.message == "run-withdrawn"]
    assert (scheduled.batches, scheduled.next_at) == (batches, START.timestamp() + 3 * HOUR)
    assert (withdrawn.calls, withdrawn.failed) == (batches, 0)


def test_held_calls_of_a_vendor_that_could_keep_them(make_runs):
    runs = make_runs("emas")
    assert runs.send(send_at="2026-12-01T12:00+08:00", hold=True).waiting.held_ids == DEVICES
    assert runs.sandbox.deliveries("emas") == []
    assert runs.wait().done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [3])


def test_moments_further_ahead_than_a_vendor_takes_are_held(make_runs):
    runs = make_runs("emas")
    assert runs.send(send_at="2026-12-21T12:00+08:00").waiting.held_ids == DEVICES
    assert runs.wait().done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [20 * 24 + 3])


def test_cancel_while_waiting_reaches_nobody(make_runs, now):
    runs = make_runs("tpns")
    runs.send(send_at="2026-12-01T12:00+08:00")
    cancelled = []

    def cancel_once(moment):
        if moment > START.timestamp() + HOUR and not cancelled:
            canceller = threading.Thread(target=lambda: cancelled.append(runs.cancel()))
            canceller.start()
            canceller.join()

    now.on_sleep = cancel_once
    found = runs.wait()
    assert (found.cancelled, cancelled, runs.told(), runs.states()) == (True, [[]], {}, {"not-sent": DEVICES})
    assert now.now < START.timestamp() + 2 * HOUR


def test_clock_that_is_put_back_while_waiting(make_runs, now):
    runs = make_runs("tpns")
    runs.send(send_at="2026-12-01T12:00+08:00")
    put_back = []

    def put_back_once(moment):
        if moment > START.timestamp() + 2 * HOUR and not put_back:
            put_back.append(now)
            now.now -= HOUR

    now.on_sleep = put_back_once
    assert runs.wait().done
    assert (runs.told(), runs.hours(), len(put_back)) == ({1: DEVICES}, [3], 1)


def test_two_processes_wait_at_once(make_runs):
    runs, results = make_runs("tpns"), []
    runs.send(local_time="12:00", timezone="Asia/Shanghai", spread="1h")
    threads = [threading.Thread(target=lambda: results.append(runs.wait())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.told() == {1: DEVICES}
    assert all(each.done or each.waiting.held_batches == 0 for each in results)
    assert runs.status().done


def test_quiet_hours_interrupt_a_spread(make_runs):
    """Of four batches at 21:00, 21:30, 22:00 and 22:30, two fall into quiet hours from 22:00 to 08:00."""
    runs = make_runs("tpns")
    found = runs.send(send_at="2026-12-01T21:00", timezone="Asia/Shanghai", quiet="22:00-08:00", spread="2h")
    assert found.waiting.held_batches == 4
    assert runs.wait().done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [12, 12.5, 23, 23.5])


def test_send_stays_while_a_part_is_being_spread(make_runs):
    runs = make_runs("tpns")
    assert runs.send(spread="2h").done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [0, 0.5, 1, 1.5])


def test_late_resume_keeps_quiet_hours(make_runs, now):
    runs = make_runs("tpns")
    runs.send(send_at="2026-12-01T21:00", timezone="Asia/Shanghai", quiet="22:00-08:00")
    now.now += 14 * HOUR  # it is 23:00
    found = runs.resume()
    assert (runs.told(), found.waiting.opens_at) == ({}, START.timestamp() + 23 * HOUR)
    assert found.pending == 0
    assert runs.wait().done
    assert (runs.told(), runs.hours()) == ({1: DEVICES}, [23])


def test_vendor_whose_clock_is_ahead_refuses_the_schedule(index, table, now, tmp_path):
    """The run stops with the vendor's reason; it can be held here instead."""
    with Sandbox(Population(table), rate=None, clock=lambda: now.now + 1_200) as sandbox:
        runs = Runs("tpns", index, sandbox, now, tmp_path / "tpns").emit(native=True)
        found = runs.send(send_at="2026-12-01T09:05+08:00")
        assert (found.stop_reason.message[:8], runs.told(), found.pending) == ("10010012", {}, 1)
        assert runs.wait().stop_reason.message[:8] == "10010012"
        found = runs.resume(hold=True)
        assert (found.stop_reason, found.waiting.held_batches) == (None, 1)
        assert runs.wait().done
        assert runs.told() == {1: DEVICES}


def test_moment_that_passes_between_check_and_call_is_sent_at_once(make_runs, now, monkeypatch):
    """A call that was meant for the vendor to keep is made at its time instead, and only once."""
    runs = make_runs("emas")
    build, jumped = batch_sender._build_request, []

    def build_slowly(*arguments):
        if not jumped:
            jumped.append(now)
            now.now += 3 * HOUR - 30
        return build(*arguments)

    monkeypatch.setattr(batch_sender, "_build_request", build_slowly)
    found = runs.send(send_at="2026-12-01T12:00+08:00")
    assert (found.batch_counts["accepted"], runs.told()) == (0, {})
    now.now += 30
    assert runs.resume().done
    assert runs.told() == {1: DEVICES}


def test_schedule_of_the_vendors_own_fields_is_known(make_runs, now):
    runs = make_runs("tpns", native=True)
    found = runs.send({"vendor": {"tpns": {"send_time": "2026-12-01 12:00:00"}}})
    assert (found.done, found.waiting.kept_batches) == (False, 1)
    assert found.waiting.due_at == START.timestamp() + 3 * HOUR
    assert runs.cancel() == []
    now.now += 4 * HOUR
    assert runs.told() == {}


LOOP = {
    "startDate": "2026-12-01",
    "endDate": "2026-12-07",
    "loopType": 1,
    "loopDayIndexs": [0],
    "dayTimes": ["12:00:00"],
}


def test_loop_is_withdrawn_as_far_as_it_can(make_runs, now):
    runs = make_runs("tpns", native=True)
    found = runs.send({"vendor": {"tpns": {"loop_param": LOOP}}})
    assert len(found.message_ids) == 7
    now.now += 52 * HOUR  # two days have been
    assert runs.told() == {3: DEVICES}
    [problem] = runs.cancel()
    assert problem.code == "not-withdrawn"
    now.now += 200 * HOUR
    assert runs.told() == {3: DEVICES}


def test_delay_that_has_begun_is_not_withdrawn_whole(make_runs):
    def withdraw_rest(request):
        return httpx.Response(200, json={"success": True} if request.method == "DELETE" else {"id": "m1"})

    runs = make_runs("onesignal", native=True)
    runs.options = SendOptions(transport=httpx.MockTransport(withdraw_rest))  # without a beginning it begins now
    runs.send({"vendor": {"onesignal": {"delayed_option": "timezone"}}})
    [problem] = runs.cancel()
    assert (problem.code, runs.status().batch_counts["withdrawn"]) == ("not-withdrawn", 0)


def test_call_that_was_due_while_its_withdrawal_was_asked_for_is_not_withdrawn(make_runs, now):
    def withdraw_slowly(request):
        if request.method == "POST":
            return httpx.Response(201, json={"ok": True, "schedule_ids": ["s1"]})
        now.now += 30
        return httpx.Response(204)

    runs = make_runs("airship", native=True)
    runs.options = replace(runs.options, transport=httpx.MockTransport(withdraw_slowly))
    runs.send(send_at="2026-12-01T12:00+08:00")
    now.now += 3 * HOUR - 20
    [problem] = runs.cancel()
    assert (problem.code, runs.status().batch_counts["withdrawn"]) == ("not-withdrawn", 0)


def test_schedules_that_contradict_each_other_are_refused(make_runs):
    runs = make_runs("tpns", native=True)
    with pytest.raises(MessageError, match="scheduled-twice"):
        runs.send({"vendor": {"tpns": {"send_time": "2026-12-01 12:00:00"}}}, send_at="2026-12-01T13:00+08:00")
    with pytest.raises(DeliveryError, match="past"):
        runs.send(send_at="2026-12-01T08:59+08:00")
    assert not (runs.path / "ledger.sqlite").exists()


def test_send_at_of_the_message_is_that_of_the_run(make_runs):
    runs = make_runs("tpns")
    found = runs.send({"send_at": "2026-12-01T12:00"}, timezone="Asia/Shanghai")
    assert found.waiting.opens_at == START.timestamp() + 3 * HOUR
    assert runs.states() == {"scheduled": DEVICES}
