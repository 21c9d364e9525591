"""Each vendor from an index to the sandbox, which counts who was told: everyone that is meant, once."""

from dataclasses import replace

import polars as pl
import pytest
from callers import ID_FORMATS, make_keys

from audience import DeviceIndex, Plan, get_vendor, parse, plan, vendor_names
from audience.cli.output.delivery import format_statuses
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, load_deliveries, resume, send
from audience.json_forms.runs import status_json
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox
from audience.sandbox.sandbox import KEY, SECRET
from audience.vendors.delivery_spec import Credentials

DEVICE_COUNT, FEW_DEVICES = 2_500, 150  # few for a method with a call for each device
UNKNOWN_NUMBERS = [7, 120, 1_500, 1_501]
SANDBOX_VENDORS = [name for name in vendor_names(can="send") if get_vendor(name).sandbox]
VENDOR_METHODS = [(name, way.name) for name in SANDBOX_VENDORS for way in get_vendor(name).delivery.send_methods]
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3600}


def make_ids(vendor_name: str, numbers) -> list[str]:
    return [ID_FORMATS[vendor_name.split("_")[0]].format(number) for number in numbers]


def meant_by(name: str, way: str | None = None) -> tuple[str, int]:
    """The expression that a vendor's method is tried with, and the number of its devices, which are the first ones."""
    ways = [each for each in get_vendor(name).delivery.send_methods if way in (None, each.name)]
    return ("everyone", DEVICE_COUNT) if max(each.max_ids or 0 for each in ways) > 1 else ("few", FEW_DEVICES)


def accounts_of(number: int) -> list[str]:
    """Those of a device: one that it shares with a neighbour, and one that is shared across the table."""
    return [f"user-{number // 2}", f"用户 {number % (DEVICE_COUNT // 2)}"]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    ids = {f"{name}_token": make_ids(name, range(DEVICE_COUNT)) for name in ID_FORMATS}
    tags = [["odd" if number % 2 else "even", *(["few"] * (number < FEW_DEVICES))] for number in range(DEVICE_COUNT)]
    return pl.DataFrame({**ids, "tags": tags, "account": [accounts_of(number) for number in range(DEVICE_COUNT)]})


@pytest.fixture(scope="module")
def index(table, tmp_path_factory) -> DeviceIndex:
    roles = {name: f"{name}_token" for name in ID_FORMATS}
    return DeviceIndex.build(table, tmp_path_factory.mktemp("sandbox") / "devices.index", tokens=roles)


@pytest.fixture
def sandbox(table):
    with Sandbox(Population(table), rate=None) as running:
        yield running


def write_folder(vendor_name, index, folder, expr="everyone", by_ids=True):
    meant = parse(expr)
    if by_ids:
        planned = Plan(vendor_name, meant, (), meant, (), index=index)
    else:
        planned = plan(meant, vendor_name, index, vendor_has="all")
        assert planned.by_ids is None
    write_requests(planned, index, folder)
    return folder


def make_credentials(vendor_name, sandbox) -> Credentials:
    return Credentials(sandbox.url, make_keys(vendor_name))


QUICK_OPTIONS = SendOptions(RetryPolicy(initial_delay=0.01, max_delay=0.1, timeout=5, max_lost=1_000))


def delivery_counts(sandbox, vendor_name) -> dict[str, int]:
    return sandbox.delivery_counts(vendor_name.split("_")[0])


@pytest.mark.parametrize(("name", "way"), VENDOR_METHODS)
def test_every_method_delivers_each_id_once(index, sandbox, tmp_path, name, way):
    expr, count = meant_by(name, way)
    folder = write_folder(name, index, tmp_path / "run", expr)
    found = send(
        folder,
        MESSAGE,
        make_credentials(name, sandbox),
        SafetyLimits(max_devices=DEVICE_COUNT),
        method=way,
        options=QUICK_OPTIONS,
    )
    assert found.done
    assert delivery_counts(sandbox, name) == dict.fromkeys(make_ids(name, range(count)), 1)


@pytest.mark.parametrize("name", SANDBOX_VENDORS)
def test_native_request_reaches_its_audience(index, sandbox, tmp_path, name):
    folder = write_folder(name, index, tmp_path / "run", "even", by_ids=False)
    found = send(
        folder, MESSAGE, make_credentials(name, sandbox), SafetyLimits(max_devices=DEVICE_COUNT), options=QUICK_OPTIONS
    )
    assert found.done
    assert delivery_counts(sandbox, name) == dict.fromkeys(make_ids(name, range(0, DEVICE_COUNT, 2)), 1)


@pytest.mark.parametrize("after", ["reply", "no reply", "too fast"])
def test_accounts_are_sent_in_one_call_without_duplicates(index, sandbox, tmp_path, after):
    sandbox.set_faults(*{"reply": [], "no reply": ["drop@tpns/push/app"], "too fast": ["fast:#1@tpns/push/app"]}[after])
    asked = [f"user-{number}" for number in range(800)] + [f"用户 {number}" for number in range(700)]
    meant = {number for number in range(DEVICE_COUNT) if set(accounts_of(number)) & set(asked)}
    (tmp_path / "accounts.txt").write_text("\n".join(asked), "utf-8")
    expr = f"account(@{tmp_path / 'accounts.txt'})"
    folder = write_folder("tpns", index, tmp_path / "run", expr, by_ids=False)
    allowed, known = SafetyLimits(expected=len(meant)), make_credentials("tpns", sandbox)
    found = send(folder, MESSAGE, known, allowed, options=QUICK_OPTIONS)
    assert (index.count(expr), sum(found.batch_counts.values())) == (len(meant), 1)
    assert (found.done, found.undecided) == ((False, 1) if after == "no reply" else (True, 0))
    assert delivery_counts(sandbox, "tpns") == dict.fromkeys(make_ids("tpns", sorted(meant)), 1)


def test_a_broadcast_that_was_taken_is_never_called_rejected(table, index, tmp_path):
    """TPNS takes the same push to all once an hour: a repeat says that the call whose reply was lost has arrived."""
    folder = write_folder("tpns", index, tmp_path / "run", "everyone", by_ids=False)
    allowed = SafetyLimits(max_devices=DEVICE_COUNT, broadcast=True)
    with Sandbox(Population(table), faults=["drop:#1@tpns/push/app"]) as sandbox:
        known = make_credentials("tpns", sandbox)
        assert send(folder, MESSAGE, known, allowed, options=QUICK_OPTIONS).undecided == 1
        found = resume(folder, known, on_doubt="retry", options=QUICK_OPTIONS)
        assert (found.done, found.undecided) == (False, 1)
        assert delivery_counts(sandbox, "tpns") == dict.fromkeys(make_ids("tpns", range(DEVICE_COUNT)), 1)


@pytest.mark.parametrize("name", SANDBOX_VENDORS)
def test_unknown_ids_do_not_affect_others(table, index, tmp_path, name):
    known = table.filter(~pl.int_range(pl.len()).is_in(UNKNOWN_NUMBERS))
    expr, count = meant_by(name)
    folder = write_folder(name, index, tmp_path / "run", expr)
    with Sandbox(Population(known), rate=None) as sandbox:
        found = send(
            folder,
            MESSAGE,
            make_credentials(name, sandbox),
            SafetyLimits(max_devices=DEVICE_COUNT),
            options=QUICK_OPTIONS,
        )
        assert found.done
        assert delivery_counts(sandbox, name) == dict.fromkeys(
            make_ids(name, [n for n in range(count) if n not in UNKNOWN_NUMBERS]), 1
        )
    reports = get_vendor(name).delivery.reports_unknown_ids
    assert status_json(found)["reports_unknown_ids"] == reports
    assert ("does not report" in format_statuses({name: found})) != reports


@pytest.mark.parametrize(("name", "way"), VENDOR_METHODS)
def test_faults_cause_no_duplicates_and_missing_is_in_doubt(index, sandbox, tmp_path, name, way):
    """Replies are dropped, connections closed, calls are too fast, and servers in error before and after."""
    sandbox.set_faults("drop:/5", "close:/7", "fast:/3", "error=503:/11", "error-after=502:/13")
    expr, count = meant_by(name, way)
    folder = write_folder(name, index, tmp_path / "run", expr)
    known = make_credentials(name, sandbox)
    found = send(folder, MESSAGE, known, SafetyLimits(max_devices=DEVICE_COUNT), method=way, options=QUICK_OPTIONS)
    for _ in range(10):
        if found.pending == 0:
            break
        found = resume(folder, known, options=QUICK_OPTIONS)
    assert found.pending == 0
    counts = delivery_counts(sandbox, name)
    assert set(counts.values()) <= {1}
    doubtful = {row["id"] for row in load_deliveries(folder).iter_rows(named=True) if row["state"] == "in-doubt"}
    assert set(counts) | doubtful == set(make_ids(name, range(count)))
    if (
        get_vendor(name).delivery.send_methods
        and next(w for w in get_vendor(name).delivery.send_methods if w.name == way).dedup_window
    ):
        assert not doubtful


@pytest.mark.parametrize("name", SANDBOX_VENDORS)
def test_wrong_secret_stops_run(table, index, tmp_path, name):
    folder = write_folder(name, index, tmp_path / "run", meant_by(name)[0])
    with Sandbox(Population(table), rate=None, key=KEY, secret=SECRET) as sandbox:
        known = make_credentials(name, sandbox)
        wrong = {
            key: "wrong" if key in get_vendor(name).delivery.secret_keys else value for key, value in known.keys.items()
        }
        found = send(
            folder, MESSAGE, replace(known, keys=wrong), SafetyLimits(max_devices=DEVICE_COUNT), options=QUICK_OPTIONS
        )
        assert (found.done, found.batch_counts["accepted"], delivery_counts(sandbox, name)) == (False, 0, {})
        assert found.stop_reason is not None
        assert resume(folder, known, options=QUICK_OPTIONS).done
        assert set(delivery_counts(sandbox, name).values()) == {1}


@pytest.mark.parametrize("name", SANDBOX_VENDORS)
def test_documented_rate_limits_are_kept(table, index, tmp_path, name):
    folder = write_folder(name, index, tmp_path / "run", meant_by(name)[0])
    with Sandbox(Population(table)) as sandbox:
        found = send(
            folder,
            MESSAGE,
            make_credentials(name, sandbox),
            SafetyLimits(max_devices=DEVICE_COUNT),
            options=QUICK_OPTIONS,
        )
        assert found.done
        assert set(delivery_counts(sandbox, name).values()) == {1}
