"""Accounts of EMAS, of which a device has one: a list that is longer than a call takes becomes several calls."""

import polars as pl
import pytest
from callers import CALLERS
from vendor_calls import make_router, send_call

import audience

DEVICES = pl.DataFrame(
    {
        "registration_id": [f"r{number}" for number in range(5_000)],
        "account": [f"a{number // 2}" for number in range(5_000)],
        "alias": [f"u{number}" for number in range(5_000)],
    }
)


def write_list(kind: str, count: int) -> str:
    prefix = {"account": "a", "alias": "u"}[kind]
    return f"{kind}({', '.join(f'{prefix}{number}' for number in range(count))})"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return audience.DeviceIndex.build(DEVICES, tmp_path_factory.mktemp("accounts") / "index")


@pytest.mark.parametrize("vendor", ["emas", "emas_v2"])
@pytest.mark.parametrize(("count", "calls"), [(1, 1), (1_000, 1), (1_001, 2), (2_400, 3)])
def test_accounts_are_sent_as_such(vendor, index, count, calls):
    """The vendor knows devices of an account that the index lacks, and each of them is reached once."""
    planned = audience.plan(write_list("account", count), vendor, index)
    assert (len(planned.native), planned.by_ids) == (calls, None)
    assert ("single-id" in [problem.code for problem in planned.assumptions]) == (calls > 1)
    router = make_router(
        pl.concat([DEVICES, pl.DataFrame({"registration_id": ["x"], "account": ["a0"], "alias": ["v"]})])
    )
    for payload in planned.native:
        router.states["emas"].rate_limiter.call_times.clear()
        assert send_call(router, "emas", CALLERS[vendor].send(payload)).code == ""
    reached = router.states["emas"].delivery_log.counts_by_id()
    assert (len(reached), set(reached.values())) == (2 * count + 1, {1})


def test_accounts_on_a_platform_are_split_too():
    planned = audience.plan(f"{write_list('account', 1_500)} AND platform:ios", "emas")
    assert [payload["DeviceType"] for payload in planned.native] == ["iOS", "iOS"]


def test_accounts_go_by_ids_where_index_has_devices_with_two(tmp_path):
    table = DEVICES.with_columns(account=pl.concat_list("account", pl.col("account").reverse()))
    index = audience.DeviceIndex.build(table, tmp_path / "index")
    planned = audience.plan(write_list("account", 2_400), "emas", index)
    assert (planned.native, [problem.code for problem in planned.reasons]) == ((), ["ids-contradicted"])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (write_list("alias", 1_001), {}),  # a device has up to 128 aliases, so that two calls could reach it twice
        (write_list("account", 2_400), {"max_requests": 2}),
        (write_list("account", 2_400), {"strict": True}),
        (f"{write_list('account', 1_001)} AND vip", {}),
    ],
)
def test_list_that_cannot_be_split_goes_by_ids(index, text, options):
    planned = audience.plan(text, "emas", index, **options)
    assert (planned.native, planned.by_ids is None) == ((), False)
