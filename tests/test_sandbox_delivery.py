"""Each vendor from an index to the sandbox, which counts who was told: everyone that is meant, once."""

from dataclasses import replace

import polars as pl
import pytest

from audience import DeviceIndex, Plan, parse, plan, vendor, vendors
from audience.delivery import Allowed, Effort, Patience, resume, send
from audience.requests.writer import emit
from audience.sandbox import Population, Sandbox
from audience.sandbox.sandbox import KEY, SECRET
from audience.vendors.delivery_spec import Application

DEVICES = 2_500
UNKNOWN = [7, 1_500, 1_501]
SERVED = [name for name in vendors() if name.split("_")[0] in ("engagelab", "tpns", "emas")]
WAYS = [(name, way.name) for name in SERVED for way in vendor(name).delivery.ways]
IDS = {"engagelab": "{:024x}", "tpns": "{:036x}", "emas": "{:032x}"}
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3600}


def column(name: str, numbers) -> list[str]:
    return [IDS[name.split("_")[0]].format(number) for number in numbers]


def accounts(number: int) -> list[str]:
    """Those of a device: one that it shares with a neighbour, and one that is shared across the table."""
    return [f"user-{number // 2}", f"用户 {number % (DEVICES // 2)}"]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    ids = {f"{name}_token": column(name, range(DEVICES)) for name in IDS}
    tags = [["even"] if number % 2 == 0 else ["odd"] for number in range(DEVICES)]
    return pl.DataFrame({**ids, "tags": tags, "account": [accounts(number) for number in range(DEVICES)]})


@pytest.fixture(scope="module")
def index(table, tmp_path_factory) -> DeviceIndex:
    roles = {name: f"{name}_token" for name in IDS}
    return DeviceIndex.build(table, tmp_path_factory.mktemp("sandbox") / "devices.index", tokens=roles)


@pytest.fixture
def sandbox(table):
    with Sandbox(Population(table), rate=None) as running:
        yield running


def folder_of(name, index, folder, expr="everyone", by_ids=True):
    meant = parse(expr)
    emit(Plan(name, meant, (), meant, (), index=index) if by_ids else plan(meant, name, index), index, folder)
    return folder


def application(name, sandbox) -> Application:
    delivery = vendor(name).delivery
    keys = {key: SECRET if key in delivery.secret else KEY for key in delivery.keys}
    keys |= {key: values[0] for key, values in delivery.choices.items()}
    return Application(sandbox.url, {**keys, **({"app_key": "23267207"} if "emas" in name else {})})


QUICK = Effort(Patience(first=0.01, most=0.1, timeout=5, doubts=1_000))


def told(sandbox, name) -> dict[str, int]:
    return sandbox.told(name.split("_")[0])


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_all_ids_are_told_once_by_every_way(index, sandbox, tmp_path, name, way):
    folder = folder_of(name, index, tmp_path / "run")
    found = send(folder, MESSAGE, application(name, sandbox), Allowed(expect=DEVICES), way=way, effort=QUICK)
    assert found.done
    assert told(sandbox, name) == dict.fromkeys(column(name, range(DEVICES)), 1)


@pytest.mark.parametrize("name", SERVED)
def test_a_native_request_tells_whom_it_means(index, sandbox, tmp_path, name):
    folder = folder_of(name, index, tmp_path / "run", "even", by_ids=False)
    found = send(folder, MESSAGE, application(name, sandbox), Allowed(expect=DEVICES), effort=QUICK)
    assert found.done
    assert told(sandbox, name) == dict.fromkeys(column(name, range(0, DEVICES, 2)), 1)


@pytest.mark.parametrize("after", ["reply", "no reply", "too fast"])
def test_accounts_of_any_number_are_told_in_one_call_so_that_no_device_hears_twice(index, sandbox, tmp_path, after):
    sandbox.fail(*{"reply": [], "no reply": ["drop@tpns/push/app"], "too fast": ["fast:#1@tpns/push/app"]}[after])
    asked = [f"user-{number}" for number in range(800)] + [f"用户 {number}" for number in range(700)]
    meant = {number for number in range(DEVICES) if set(accounts(number)) & set(asked)}
    (tmp_path / "accounts.txt").write_text("\n".join(asked), "utf-8")
    expr = f"account(@{tmp_path / 'accounts.txt'})"
    folder = folder_of("tpns", index, tmp_path / "run", expr, by_ids=False)
    allowed, known = Allowed(expect=len(meant)), application("tpns", sandbox)
    found = send(folder, MESSAGE, known, allowed, effort=QUICK)
    assert (index.count(expr), sum(found.batches.values())) == (len(meant), 1)
    assert (found.done, found.doubts) == ((False, 1) if after == "no reply" else (True, 0))
    assert told(sandbox, "tpns") == dict.fromkeys(column("tpns", sorted(meant)), 1)


@pytest.mark.parametrize("name", SERVED)
def test_ids_that_the_vendor_does_not_know_cost_no_others(table, index, tmp_path, name):
    known = table.filter(~pl.int_range(pl.len()).is_in(UNKNOWN))
    folder = folder_of(name, index, tmp_path / "run")
    with Sandbox(Population(known), rate=None) as sandbox:
        found = send(folder, MESSAGE, application(name, sandbox), Allowed(expect=DEVICES), effort=QUICK)
        assert found.done
        assert told(sandbox, name) == dict.fromkeys(
            column(name, [n for n in range(DEVICES) if n not in (7, 1_500, 1_501)]), 1
        )


@pytest.mark.parametrize(("name", "way"), WAYS)
def test_faults_tell_nobody_twice_and_what_is_not_told_is_in_doubt(index, sandbox, tmp_path, name, way):
    """Replies are dropped, connections closed, calls are too fast, and servers in error before and after."""
    sandbox.fail("drop:/5", "close:/7", "fast:/3", "error=503:/11", "error-after=502:/13")
    folder = folder_of(name, index, tmp_path / "run")
    known = application(name, sandbox)
    found = send(folder, MESSAGE, known, Allowed(expect=DEVICES), way=way, effort=QUICK)
    for _ in range(10):
        if found.left == 0:
            break
        found = resume(folder, known, effort=QUICK)
    assert found.left == 0
    counts = told(sandbox, name)
    assert set(counts.values()) <= {1}
    doubtful = {n for each in found.troubles if each.state == "in doubt" for n in range(each.first, each.stop)}
    assert set(counts) | set(column(name, doubtful)) == set(column(name, range(DEVICES)))
    if vendor(name).delivery.ways and next(w for w in vendor(name).delivery.ways if w.name == way).repeats:
        assert not doubtful


@pytest.mark.parametrize("name", SERVED)
def test_a_wrong_secret_stops_the_run_at_once(table, index, tmp_path, name):
    folder = folder_of(name, index, tmp_path / "run")
    with Sandbox(Population(table), rate=None, key=KEY, secret=SECRET) as sandbox:
        known = application(name, sandbox)
        wrong = {key: "wrong" if key in vendor(name).delivery.secret else value for key, value in known.keys.items()}
        found = send(folder, MESSAGE, replace(known, keys=wrong), Allowed(expect=DEVICES), effort=QUICK)
        assert (found.done, found.batches["accepted"], told(sandbox, name)) == (False, 0, {})
        assert found.stopped is not None
        assert resume(folder, known, effort=QUICK).done
        assert set(told(sandbox, name).values()) == {1}


@pytest.mark.parametrize("name", SERVED)
def test_documented_rates_are_kept(table, index, tmp_path, name):
    folder = folder_of(name, index, tmp_path / "run")
    with Sandbox(Population(table)) as sandbox:
        found = send(folder, MESSAGE, application(name, sandbox), Allowed(expect=DEVICES), effort=QUICK)
        assert found.done
        assert set(told(sandbox, name).values()) == {1}
