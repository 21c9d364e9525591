"""Requests to names that no index has: `audience emit --without-index`, and what the sandbox delivers then."""

import json
from datetime import datetime, timedelta, timezone

import polars as pl
import pytest

from audience import DeliveryError, DeviceIndex, OutputError, PlanError, plan
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, send
from audience.requests.named_targets import count_names, plan_named, write_named_requests
from audience.requests.writer import write_requests
from audience.sandbox import KEY, SECRET, Population, Sandbox
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import Credentials

BEIJING = timezone(timedelta(hours=8))
MANY = 2_500
IDS = [f"r{number}" for number in range(MANY)]
QUICK = SendOptions(RetryPolicy(initial_delay=0.01, max_delay=0.1, timeout=5, max_lost=1_000))
MESSAGE = {"title": "Hi", "body": "there", "time_to_live": 3_600}
UPDATE = {"ios": {"event": "update", "content-state": {"minutes": 4}}}


@pytest.fixture(scope="module")
def population():
    return Population(
        pl.DataFrame(
            {
                "registration_id": IDS,
                "account": [[f"x{number // 2}"] for number in range(MANY)],
                "alias": [f"u{number}" for number in range(MANY)],
                "live_activity_id": [f"order-{number // 3}" for number in range(MANY)],
                "platform": ["ios" if number % 2 else "android" for number in range(MANY)],
            }
        )
    )


@pytest.fixture(scope="module")
def index(population, tmp_path_factory):
    return DeviceIndex.build(
        population.table, tmp_path_factory.mktemp("named") / "devices.index", tokens={"tpns": "registration_id"}
    )


@pytest.fixture
def sandbox(population):
    with Sandbox(population, rate=None) as running:
        yield running


def send_named(text, vendor, message, sandbox, folder, expected):
    """Emit without an index and send; return the status."""
    write_named_requests(plan_named(text, vendor), folder)
    delivery = get_vendor(vendor).delivery
    keys = {key: SECRET if key in delivery.secret_keys else KEY for key in delivery.required_keys}
    keys |= {key: values[0] for key, values in delivery.optional_keys.items() if key == "signature"}
    keys |= {"app_key": "23267207"} if vendor == "emas" else {}
    return send(folder, message, Credentials(sandbox.url, keys), SafetyLimits(expected=expected), options=QUICK)


@pytest.mark.parametrize(
    ("vendor", "text", "message", "names", "told"),
    [
        ("engagelab", "registration_id(r1, r2)", MESSAGE, 2, ["r1", "r2"]),
        ("engagelab", "alias(u1, u4)", MESSAGE, 2, ["r1", "r4"]),
        (
            "engagelab",
            "live_activity_id(order-0, order-1)",
            {"platforms": ["ios"], "vendor": {"engagelab": {"body": {"live_activity": UPDATE}}}},
            2,
            ["r1", "r3", "r5"],
        ),
        ("tpns", "registration_id(r1)", MESSAGE, 1, ["r1"]),
        ("tpns", "account(x0, x1)", MESSAGE, 2, ["r0", "r1", "r2", "r3"]),
        ("tpns", "account(x0) AND reference(tpns, newest_device, account)", MESSAGE, 1, ["r1"]),
        ("emas", "registration_id(r1, r2)", MESSAGE, 2, ["r1", "r2"]),
        ("emas", "alias(u1)", MESSAGE, 1, ["r1"]),
        ("emas", "account(x0)", MESSAGE, 1, ["r0", "r1"]),
    ],
)
def test_names_are_sent_natively_and_counted_by_name(vendor, text, message, names, told, sandbox, tmp_path):
    assert send_named(text, vendor, message, sandbox, tmp_path / "run", names).done
    assert sandbox.delivery_counts(vendor) == dict.fromkeys(told, 1)


@pytest.mark.parametrize(("vendor", "requests"), [("engagelab", 3), ("tpns", 3), ("emas", 3)])
def test_many_ids_are_divided_into_disjoint_requests(vendor, requests, sandbox, tmp_path):
    text = f"registration_id({', '.join(IDS)})"
    assert len(plan_named(text, vendor).native) == requests
    status = send_named(text, vendor, MESSAGE, sandbox, tmp_path / "run", MANY)
    assert (status.done, sandbox.delivery_counts(vendor)) == (True, dict.fromkeys(IDS, 1))


def test_many_accounts_are_divided_where_a_device_has_one(sandbox, tmp_path):
    accounts = dict.fromkeys(f"x{number // 2}" for number in range(MANY))
    planned = plan_named(f"account({', '.join(accounts)})", "emas")
    assert (len(planned.native), [each.code for each in planned.assumptions]) == (
        2,
        ["counted-by-name", "no-policies", "single-id", "account"],
    )
    status = send_named(f"account({', '.join(accounts)})", "emas", MESSAGE, sandbox, tmp_path / "run", len(accounts))
    assert (status.done, sandbox.delivery_counts("emas")) == (True, dict.fromkeys(IDS, 1))


def test_aliases_of_which_a_device_may_have_two_are_not_divided():
    with pytest.raises(PlanError) as caught:
        plan_named(f"alias({', '.join(IDS)})", "emas")
    assert [problem.code for problem in caught.value.problems] == ["not-native", "too-many"]


def test_other_number_than_expected_is_refused(sandbox, tmp_path):
    with pytest.raises(DeliveryError):
        send_named("registration_id(r1, r2, r1)", "engagelab", MESSAGE, sandbox, tmp_path / "run", 1)
    assert sandbox.delivery_counts("engagelab") == {}
    assert count_names(plan_named("registration_id(r1, r2, r1)", "engagelab")) == 2


@pytest.mark.parametrize(
    ("vendor", "text", "code"),
    [
        ("engagelab", "male", "needs-index"),
        ("engagelab", "everyone", "needs-index"),
        ("engagelab", "NOT registration_id(r1)", "needs-index"),
        ("engagelab", "@vip", "needs-index"),
        ("engagelab", "did(purchase)", "needs-index"),
        ("engagelab", "registration_id(r1) AND platform:ios", "needs-index"),
        ("engagelab", "registration_id(r1) OR alias(u1)", "needs-index"),
        ("engagelab", "registration_id(r1) AND alias(u1)", "needs-index"),
        ("engagelab", "registration_id(r1) AND sample(10%, x)", "needs-index"),
        ("tpns", "reference(tpns, package_token_push, 5)", "needs-index"),
        ("engagelab", "nobody", "nobody"),
        ("engagelab", "account(x1)", "not-native"),
        ("tpns", "alias(u1)", "not-native"),
        ("tpns", "live_activity_id(order-1)", "not-native"),
        ("tpns", f"registration_id({'x' * 37})", "not-native"),
        ("airship", "registration_id(r1) AND reference(tpns, newest_device, account)", "not-native"),
    ],
)
def test_expression_that_needs_an_index_is_refused_with_the_reason(vendor, text, code):
    with pytest.raises(PlanError) as caught:
        plan_named(text, vendor)
    assert caught.value.code == code
    assert all(problem.message for problem in caught.value.problems)


def test_command_says_how_names_are_counted(audience, tmp_path):
    folder = tmp_path / "run"
    words = ["emit", "--without-index", "account(a1, a2)", "--vendor", "tpns", "-o", str(folder)]
    code, shown, _ = audience(*words, "--json")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (code, json.loads(shown)) == (0, manifest)
    assert [assumption["code"] for assumption in manifest["assumptions"]] == [
        "counted-by-name",
        "no-policies",
        "account",
    ]
    assert (manifest["devices"], manifest["native"], manifest["index"]) == (2, 1, None)


@pytest.mark.parametrize(
    "words",
    [
        ["devices.index", "--without-index", "account(a1)"],
        ["--without-index", "account(a1)", "--by-ids"],
        ["--without-index", "account(a1)", "--cap", "vip"],
        ["--without-index", "account(a1)", "--language-of", "language"],
        ["account(a1)"],
        [],
    ],
)
def test_command_refuses_arguments_that_do_not_go_together(words, audience, tmp_path):
    code, _, errors = audience("emit", *words, "--vendor", "tpns", "-o", str(tmp_path / "run"))
    assert (code, "usage: " in errors, list(tmp_path.iterdir())) == (2, True, [])


def test_requests_that_an_index_has_records_of_are_not_replaced(tmp_path):
    folder = tmp_path / "run"
    planned = plan_named("account(a1)", "tpns")
    write_named_requests(planned, folder)
    write_named_requests(planned, folder, replace=True)
    (folder / "emission.json").write_text("{}")
    with pytest.raises(OutputError, match="records"):
        write_named_requests(planned, folder, replace=True)


def test_loop_has_an_id_for_each_push(sandbox, index, tmp_path):
    """The ids of a call that made several messages are listed one by one."""
    first = datetime.now(BEIJING).date() + timedelta(days=1)
    loop = {"startDate": f"{first}", "endDate": f"{first + timedelta(days=6)}", "loopType": 1, "loopDayIndexs": [0]}
    message = {**MESSAGE, "vendor": {"tpns": {"loop_param": {**loop, "dayTimes": ["09:00:00"]}}}}
    write_requests(plan("everyone", "tpns", index, vendor_has="all"), index, tmp_path / "run")
    keys = {"access_id": KEY, "secret_key": SECRET}
    limits = SafetyLimits(expected=len(index), broadcast=True)
    status = send(tmp_path / "run", message, Credentials(sandbox.url, keys), limits, options=QUICK)
    assert len(status.message_ids) == len(set(status.message_ids)) == 7
