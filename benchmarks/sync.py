"""How long does it take to set 20 tags of a million devices each at a vendor, then 50,000 changes, in how many calls?

The sandbox answers on loopback in a process of its own; each sync is a process, too, and its memory is the most that it
had (VmHWM). Without rates, as here, the calls are made as fast as both take them; the seconds at the vendor's rate are
those that a plan of the sync says. After each sync the sandbox's tags are compared with the index's, device by device.
A vendor whose tags are bound to aliases takes a call for each, and is only measured if it is named.

    python -m benchmarks.sync [--devices N] [--changes N] [--vendor NAME] [--json FILE]
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import polars as pl
from callers import ID_FORMATS, make_keys

from audience import DeviceIndex, get_vendor
from audience.delivery.syncing.index_sync import sync_tags
from audience.delivery.syncing.plan import SyncPlan
from audience.delivery.transport.rate_limit import RateLimiter
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.vendors.delivery_spec import Credentials
from benchmarks.delivery import TIMEOUT_SECONDS, peak_megabytes, run_sandbox
from benchmarks.report import describe_environment, make_parser, save_json

VALUE_COUNT = 12  # of an attribute: with a million devices, each has fewer than EngageLab's 100,000 devices of a tag
ATTRIBUTES = [f"a{number:02}" for number in range(20)]
VALUES = [f"v{number:02}" for number in range(VALUE_COUNT)]
SEED = 19
VENDORS = [name for name in ID_FORMATS if get_vendor(name).tags is not None]
ALIASED = {name for name in VENDORS if (spec := get_vendor(name).tags) and spec.key_types[0] == "alias"}


@dataclass(frozen=True, slots=True)
class SyncMeasurement:
    """One sync to a *vendor*: tags set and removed, calls, seconds here and at the vendor's rate, most megabytes."""

    vendor: str
    what: str
    pairs: int
    calls: int
    min_calls: int
    seconds: float
    planning_seconds: float
    seconds_at_rate: float
    peak_megabytes: float


def make_devices(device_count: int, vendors: Sequence[str]) -> pl.DataFrame:
    """Devices that *vendors* know, with a value of each attribute, picked independently of the others."""
    chance = np.random.default_rng(SEED)
    ids = {f"{name}_token": [ID_FORMATS[name].format(n) for n in range(device_count)] for name in vendors}
    if not ALIASED.isdisjoint(vendors):
        ids |= {"alias": [f"user-{n}" for n in range(device_count)]}
    return pl.DataFrame({**ids, **{name: pick_values(chance, device_count) for name in ATTRIBUTES}})


def pick_values(chance: np.random.Generator, count: int) -> pl.Series:
    return pl.Series(VALUES).gather(chance.integers(0, VALUE_COUNT, count).astype(np.uint32))


def make_changes(devices: pl.DataFrame, change_count: int, vendor: str) -> pl.DataFrame:
    """Rows of that many devices, each with a new value of one attribute, picked by chance."""
    chance = np.random.default_rng([SEED, VENDORS.index(vendor)])
    rows = chance.choice(devices.height, change_count, replace=False)
    changed = devices[np.sort(rows)]
    column = chance.integers(0, len(ATTRIBUTES), change_count)
    step = pl.Series(chance.integers(1, VALUE_COUNT, change_count))
    number = {name: pl.col(name).str.slice(1).cast(pl.Int64) for name in ATTRIBUTES}
    new = [
        pl.when(pl.Series(column == at))
        .then("v" + ((number[name] + step) % VALUE_COUNT).cast(pl.String).str.zfill(2))
        .otherwise(pl.col(name))
        .alias(name)
        for at, name in enumerate(ATTRIBUTES)
    ]
    return changed.with_columns(new)


def name_tag(vendor: str, attribute: str, value: str) -> str:
    """The name of a value at *vendor*: at some, a key and its text."""
    spec = get_vendor(vendor).tags
    return f"{attribute}{'_' if spec is None or spec.find_key is None else ':'}{value}"


def make_catalog(vendor: str) -> Catalog:
    """The names of the attributes at *vendor*."""
    names = {name: name_tag(vendor, name, "{value}") for name in ATTRIBUTES}
    lines = [f'[{name}]\nnames.{vendor} = "{pattern}"\nexclusive = true' for name, pattern in names.items()]
    return validate_catalog(parse_catalog("\n".join(lines)))


def make_credentials(vendor: str, url: str) -> Credentials:
    """Credentials that the sandbox takes."""
    return Credentials(url, make_keys(vendor))


async def go(limiter: object, rate_limits: object) -> None:
    """Make a call at once."""


def sync_in_process(connection: Connection, folder: Path, vendor: str, url: str) -> None:
    """Sync in a process of its own, without the vendor's rate, and report what it took."""
    RateLimiter.wait = RateLimiter.wait_to_leave = go
    begun = time.perf_counter()
    planned: list[tuple[float, SyncPlan]] = []
    status = sync_tags(
        DeviceIndex.open(folder),
        get_vendor(vendor),
        make_catalog(vendor),
        make_credentials(vendor, url),
        on_plan=lambda plan: planned.append((time.perf_counter(), plan)),
    )
    seconds = time.perf_counter() - begun
    assert status.is_complete, status
    [(planned_at, plan)] = planned
    connection.send((status.pairs, status.calls.get("done", 0), plan, seconds, planned_at - begun, peak_megabytes()))


def measure_sync(folder: Path, vendor: str, url: str, what: str) -> SyncMeasurement:
    """One sync. AssertionError where the sandbox's tags are not the index's afterwards."""
    here, there = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=sync_in_process, args=[there, folder, vendor, url])
    process.start()
    there.close()
    pairs, calls, plan, seconds, planning_seconds, memory = here.recv()
    process.join()
    require_equal(DeviceIndex.open(folder), vendor, url)
    return SyncMeasurement(vendor, what, pairs, calls, plan.min_calls, seconds, planning_seconds, plan.seconds, memory)


def require_equal(index: DeviceIndex, vendor: str, url: str) -> None:
    """Compare the sandbox's tags with the index's, device by device. AssertionError where they differ."""

    def ask(**query: str) -> dict[str, int] | list[str]:
        answer = httpx.get(f"{url}/_sandbox/tags", params={"vendor": vendor, **query}, timeout=TIMEOUT_SECONDS)
        found: dict[str, int] | list[str] = answer.raise_for_status().json()
        return found

    wanted = {name_tag(vendor, name, value): f"{name}:{value}" for name in ATTRIBUTES for value in VALUES}
    assert set(ask()) == {name for name, text in wanted.items() if index.count(text)}
    for name, text in wanted.items():
        ids = index.resolve(text).ids(vendor).sort()
        assert ids.equals(pl.Series(ask(tag=name), dtype=pl.String).sort(), check_names=False), (vendor, name)


def measure_vendors(device_count: int, change_count: int, only_vendor: str | None) -> Iterator[SyncMeasurement]:
    """The first sync to each vendor, and that after the changes."""
    with TemporaryDirectory() as name:
        place = Path(name)
        vendors = [only_vendor] if only_vendor else [each for each in VENDORS if each not in ALIASED]
        devices = make_devices(device_count, vendors)
        devices.drop(ATTRIBUTES).write_parquet(place / "devices.parquet")
        tokens = {vendor: f"{vendor}_token" for vendor in vendors}
        alias = "alias" if "alias" in devices.columns else None
        index = DeviceIndex.build(devices, place / "x.index", tokens=tokens, alias=alias)
        with run_sandbox(place / "devices.parquet", "off", place) as url:
            for vendor in vendors:
                yield measure_sync(place / "x.index", vendor, url, "first")
                index.update(make_changes(devices, change_count, vendor))
                yield measure_sync(place / "x.index", vendor, url, "changes")


def main() -> None:
    """Print one line a sync as it is measured."""
    parser = make_parser(__doc__, "json")
    parser.add_argument("--devices", type=lambda text: int(float(text)), default=1_000_000)
    parser.add_argument("--changes", type=lambda text: int(float(text)), default=50_000)
    parser.add_argument("--vendor")
    said = parser.parse_args()
    columns = "sync pairs calls least × seconds planning at-rate MB".split()
    print(f"| {' | '.join(columns)} |\n| --- |{' --: |' * (len(columns) - 1)}")
    found = []
    for each in measure_vendors(said.devices, said.changes, said.vendor):
        found.append(each)
        ratio = each.calls / max(1, each.min_calls)
        counts = f"{each.pairs:,} | {each.calls:,} | {each.min_calls:,} | {ratio:.3f}"
        seconds = f"{each.seconds:.1f} | {each.planning_seconds:.1f} | {each.seconds_at_rate:,.0f}"
        print(f"| {each.vendor}, {each.what} | {counts} | {seconds} | {each.peak_megabytes:.0f} |", flush=True)
    save_json({**describe_environment(), "answers": [asdict(each) for each in found]}, said.json)


if __name__ == "__main__":
    main()
