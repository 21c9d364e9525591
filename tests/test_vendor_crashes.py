"""Crashes and faults of every vendor that is sent to, against its sandbox: nobody is told twice, nobody is lost.

A batch has three ids here, whatever the vendor allows, so that small runs have many batches. A vendor is in these tests
as soon as its record has a delivery and a sandbox.
"""

import shutil
import signal
import time
from contextlib import contextmanager
from multiprocessing import get_context

import httpx
import polars as pl
import pytest
import sending_processes
from sizes import IS_FULL_SIZE, scale, steps_of_death
from test_delivery_crashes import CrashPoint
from test_sandbox_delivery import VENDOR_METHODS, make_credentials, make_ids

from audience import DeviceIndex, Plan, get_vendor, parse
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, resume, send
from audience.delivery.transport.rate_limit import RateLimiter
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.testing.registration import register_vendors

MESSAGE = {"title": "Hi", "body": "there"}
BATCH_SIZE = 3
FAULT_BATCHES = scale(100, 1_000)
KILLS = scale(2, 10)
FIRST_METHODS = list({name: (name, way) for name, way in reversed(VENDOR_METHODS)}.values())
CRASHING = VENDOR_METHODS if IS_FULL_SIZE else FIRST_METHODS
UNLIMITED = SafetyLimits(max_devices=10**9)
QUICK_RETRY = RetryPolicy(initial_delay=0.001, max_delay=0.05, timeout=10, max_lost=10**6)
FORK_CONTEXT = get_context("forkserver")
FORK_CONTEXT.set_forkserver_preload(["sending_processes", "pytest"])


def batch_size(name, way):
    """How many ids a batch has: one, if the vendor takes no more in a call."""
    return min(BATCH_SIZE, *(each.max_ids or 1 for each in get_vendor(name).delivery.send_methods if each.name == way))


@contextmanager
def small_batches(name, way):
    """Register the vendor *name* with batches of three ids, and no method but *way*."""
    with register_vendors(sending_processes.shrink_batches(get_vendor(name), way, BATCH_SIZE)):
        yield


@pytest.fixture
def no_pace(monkeypatch):
    lift_pace(monkeypatch)


def lift_pace(monkeypatch):
    """Make calls as fast as they come: the sandbox has no rate limits here."""

    async def go(limiter, rate_limits):
        return None

    monkeypatch.setattr(RateLimiter, "wait", go)
    monkeypatch.setattr(RateLimiter, "wait_to_leave", go)


@contextmanager
def emitted(name, count, folder):
    """Yield the folder of requests to *count* devices, and a sandbox that knows them."""
    table = pl.DataFrame({"token": make_ids(name, range(count)), "tags": [["a"]] * count})
    index = DeviceIndex.build(table, folder / "devices.index", tokens={name.split("_")[0]: "token"})
    everyone = parse("everyone")
    write_requests(Plan(name, everyone, (), everyone, (), index=index), index, folder / "requests")
    renamed = table.rename({"token": f"{name.split('_')[0]}_token"})
    with Sandbox(Population(renamed), rate=None) as sandbox:
        yield folder / "requests", sandbox


class SandboxTransport(httpx.AsyncBaseTransport):
    """Transport to a sandbox that counts its calls as steps of a sender that may die."""

    def __init__(self, crash_point):
        self.crash_point, self.transport = crash_point, httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        with self.crash_point.count_step():
            return await self.transport.handle_async_request(request)

    async def aclose(self):
        await self.transport.aclose()


def drops_repeats(name, way):
    return next(each for each in get_vendor(name).delivery.send_methods if each.name == way).dedup_window is not None


def find_doubtful_ids(name, status):
    return {
        id_
        for batch in status.failed_batches
        if batch.state == "in_doubt"
        for id_ in make_ids(name, range(batch.first, batch.stop))
    }


def require_told_once(name, way, status, sandbox, count):
    """Hold that nobody is told twice or lost, and that only calls which the vendor would not drop are in doubt."""
    told, doubtful = sandbox.delivery_counts(name.split("_")[0]), find_doubtful_ids(name, status)
    assert set(told.values()) <= {1}
    assert set(told) | doubtful == set(make_ids(name, range(count)))
    assert status.pending == 0
    if drops_repeats(name, way):
        assert doubtful == set()
        assert status.done


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "way"), CRASHING)
def test_death_at_any_step_neither_tells_twice_nor_loses(no_pace, monkeypatch, tmp_path, name, way, after):
    crash_point, count = CrashPoint(monkeypatch), 3 * batch_size(name, way)
    with small_batches(name, way), emitted(name, count, tmp_path) as (requests, sandbox):
        application = make_credentials(name, sandbox)

        def options():
            return SendOptions(QUICK_RETRY, concurrency=2, transport=SandboxTransport(crash_point))

        for step in steps_of_death(after):
            sandbox.reset()
            folder = shutil.copytree(requests, tmp_path / str(step))
            arguments = (folder, MESSAGE, application, UNLIMITED)
            died = crash_point.is_cut(
                step, after, lambda arguments=arguments: send(*arguments, method=way, options=options())
            )
            if (folder / "ledger.sqlite").exists():
                status = resume(folder, application, options=options())
            else:
                assert sandbox.delivery_counts(name.split("_")[0]) == {}
                status = send(*arguments, method=way, options=options())
            require_told_once(name, way, status, sandbox, count)
            if not died:
                break
    assert step > 10


@pytest.mark.parametrize(("name", "way"), VENDOR_METHODS)
def test_many_batches_under_random_faults(no_pace, tmp_path, name, way):
    count = FAULT_BATCHES * batch_size(name, way)
    with small_batches(name, way), emitted(name, count, tmp_path) as (folder, sandbox):
        sandbox.set_faults("drop:0.03", "close:0.03", "fast:0.05", "error=503:0.03", "error-after=502:0.03")
        application, options = make_credentials(name, sandbox), SendOptions(QUICK_RETRY, concurrency=8)
        status = send(folder, MESSAGE, application, UNLIMITED, method=way, options=options)
        for _ in range(30):
            if not status.pending:
                break
            status = resume(folder, application, options=options)
        require_told_once(name, way, status, sandbox, count)


@pytest.mark.parametrize(("name", "way"), CRASHING)
def test_sender_killed_many_times(tmp_path, name, way):
    count = 60 * KILLS * batch_size(name, way)
    with small_batches(name, way), emitted(name, count, tmp_path) as (folder, sandbox):
        application = make_credentials(name, sandbox)
        for number in range(KILLS + 1):
            here, there = FORK_CONTEXT.Pipe(duplex=False)
            command = "send" if number == 0 else "resume"
            task = (there, folder, name, way, BATCH_SIZE, application, command)
            process = FORK_CONTEXT.Process(target=sending_processes.send_to_sandbox, args=task)
            before = len(sandbox.delivery_counts(name.split("_")[0]))
            process.start()
            there.close()
            if number == KILLS:
                here.recv()
                process.join()
                break
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and process.is_alive():
                told = len(sandbox.delivery_counts(name.split("_")[0]))
                if told >= before + (5 + 3 * number) * batch_size(name, way):
                    break
                time.sleep(0.002)
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
        status = resume(folder, application, options=SendOptions(QUICK_RETRY))
        require_told_once(name, way, status, sandbox, count)


def test_shrunken_vendor_has_one_method_with_small_batches():
    shrunken = sending_processes.shrink_batches(get_vendor("tpns"), "token_list", BATCH_SIZE)
    assert [(each.name, each.max_ids) for each in shrunken.delivery.send_methods] == [("token_list", BATCH_SIZE)]
    assert shrunken.max_ids == BATCH_SIZE
