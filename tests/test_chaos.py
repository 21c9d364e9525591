"""Chaos: whatever becomes of workers, clocks, locks and logs, nobody is reached twice or lost, and nothing hangs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chaos import run_chaos
from sizes import scale

from audience.delivery import send
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_idempotent_method,
    make_ids,
    make_send_options,
    run_server,
    write_run_folder,
)
from audience.vendors.delivery_spec import Credentials

RUNS, IDS, SIGNALS_EACH = scale(2, 100), scale(30_000, 60_000), scale(3, 7)
MIN_SIGNALS = scale(4, 500)


@pytest.fixture(autouse=True)
def tests_in_path(monkeypatch):
    """Let workers in processes of their own find the modules of the tests."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))


@pytest.mark.timeout(scale(600, 7_200))
def test_nobody_is_reached_twice_or_lost_in_chaos(tmp_path):
    result = run_chaos(tmp_path, RUNS, IDS, SIGNALS_EACH, seed=18)
    sys.stdout.write(f"{result}\n")
    assert result.problems == []
    assert (result.twice, result.lost, result.hung) == (0, 0, 0), str(result)
    assert sum(result.signals.values()) >= MIN_SIGNALS, str(result)


RESUME = """
import json, sys
from audience.delivery import SendOptions, resume
from audience.testing.fake_vendor import (
    CREDENTIALS, QUICK_RETRY, make_delivery, make_idempotent_method, register_fake_vendors
)
from audience.vendors.delivery_spec import Credentials
register_fake_vendors(make_delivery(make_idempotent_method()))
status = resume(sys.argv[1], Credentials(sys.argv[2], CREDENTIALS.keys), options=SendOptions(QUICK_RETRY))
print(json.dumps([status.batch_counts["in_doubt"], status.batch_counts["accepted"]]))
"""
NAMESPACE = ["unshare", "--time", "--boottime", "1000", "--monotonic", "1000"]


def can_skew_clocks():
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("prefix", "repeats"), [([], True), (NAMESPACE, False)], ids=["same clocks", "1,000 s later"])
def test_call_in_doubt_is_not_repeated_after_the_window_by_the_boot_clock(tmp_path, prefix, repeats):
    """The wall clock shows no time between both processes, as that of a virtual machine that was suspended."""
    if prefix and not can_skew_clocks():
        pytest.skip("time namespaces need root and unshare")
    unregister = fake_vendor.register_fake_vendors(make_delivery(make_idempotent_method()))
    service = FakeService({1: "in-doubt", 2: "stopped"}.get, drops_repeats=True)
    folder = write_run_folder(tmp_path / "run", make_ids(10))
    with run_server(service) as url:
        credentials = Credentials(url, CREDENTIALS.keys)
        result = send(folder, MESSAGE, credentials, UNLIMITED, options=make_send_options(None))
        assert result.batch_counts["in_doubt"] == 1
        calls = service.call_count
        command = [*prefix, sys.executable, "-c", RESUME, str(folder), url]
        in_doubt, accepted = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    unregister()
    assert (service.call_count > calls, in_doubt, accepted) == (repeats, not repeats, repeats)
