"""One audience, several vendors: a device that several know is told once, by the first that can reach it.

campaign.json    the expression, who reaches how many, and in which order
left_out.ndjson  devices that none of them can reach, where there are any
VENDOR/          a folder of requests for each vendor, as `emit` writes it

A native request reaches whom the vendor knows, also those that another one tells: it is written only where one
vendor reaches all devices, and all others get nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from audience._fs.atomic import new_folder
from audience.errors import DeliveryError, PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import Crowd, id_column
from audience.language.ast import Expr
from audience.language.parser import parse
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import MOST_REQUESTS, Plan, plan
from audience.progress import Progress, silent
from audience.requests.batching import Batches, select_deliverable
from audience.requests.writer import FILES, LEFT_OUT, MANIFEST, Emitted, write, write_left_out
from audience.vendors import vendor as vendor_record
from audience.vendors import vendors as vendor_names

CAMPAIGN = "campaign.json"
BY_IDS = Problem("campaign", "another vendor tells some of the devices, and a native request would tell them too")


@dataclass(frozen=True, slots=True)
class Share:
    """What a vendor does in a campaign: of the devices meant it can *reach* some, and *tells* those nobody has yet."""

    vendor: str
    reach: int
    tells: int
    plan: Plan
    batches: Batches | None


@dataclass(frozen=True, slots=True)
class Campaign:
    """Who tells whom: *devices* are meant, *unreachable* are told by nobody."""

    expr: Expr
    devices: int
    unreachable: int
    shares: tuple[Share, ...]
    left: Crowd


def campaign(
    expr: Expr | str,
    vendors: Sequence[str],
    index: DeviceIndex,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MOST_REQUESTS,
    strict: bool = False,
) -> Campaign:
    """Divide the devices that *expr* means among *vendors*, each to the first that can reach it.

    Native requests are *max_requests* at the most, and *strict* ones take nothing for granted, as those of `plan`.

    Raises PlanError for a vendor that stands twice, or whose ids the index does not have.
    """
    meant = index.expanded(parse(expr) if isinstance(expr, str) else expr)
    _check(vendors, index)
    crowd = left = index.resolve(meant)
    told: list[tuple[str, int, Crowd]] = []
    for name in vendors:
        reached = select_deliverable(crowd, vendor_record(name))
        mine = reached.without(reached.without(left))  # those of them that are left
        told.append((name, len(reached), mine))
        left = left.without(mine)
    alone = any(len(mine) == len(crowd) for _, _, mine in told)
    planned = partial(plan, meant, index=index, catalog=catalog, max_requests=max_requests, strict=strict)
    shares = tuple(
        Share(name, reach, len(mine), *_told(meant, name, mine, index, planned if alone else None))
        for name, reach, mine in told
    )
    return Campaign(meant, len(crowd), len(left), shares, left)


def emit_campaign(
    found: Campaign,
    folder: Path,
    *,
    replace: bool = False,
    progress: Progress = silent,
) -> dict[str, Emitted]:
    """Write a folder of requests for each vendor that tells anybody into the new *folder*.

    Raises OutputError where *folder* cannot be written to, or exists, unless it may be replaced and is a campaign of
    which nothing was sent; then nothing is left there.
    """
    written = {}
    marks = _marks() if (folder / CAMPAIGN).is_file() else frozenset[str]()
    with new_folder(folder, marks=marks, replace=replace) as draft:
        for share in found.shares:
            if share.tells:
                (draft / share.vendor).mkdir()
                written[share.vendor] = write(share.plan, share.batches, share.tells, draft / share.vendor, progress)
        if found.unreachable:
            write_left_out(draft / LEFT_OUT, _unreachable(found))
        (draft / CAMPAIGN).write_bytes(orjson.dumps(campaign_json(found), option=orjson.OPT_INDENT_2))
    return written


def campaign_json(found: Campaign) -> dict[str, Any]:
    """*found* for machines."""
    shares = [
        {
            "vendor": share.vendor,
            "reach": share.reach,
            "tells": share.tells,
            "native": len(share.plan.native),
            "batches": 0 if share.batches is None else len(share.batches),
        }
        for share in found.shares
    ]
    return {
        "expression": render(found.expr),
        "devices": found.devices,
        "unreachable": found.unreachable,
        "vendors": shares,
    }


def campaign_vendors(folder: Path) -> list[str]:
    """The vendors that tell anybody in the campaign of *folder*; DeliveryError where it is not what was written."""
    try:
        said = orjson.loads((folder / CAMPAIGN).read_bytes())
        names = [str(each["vendor"]) for each in said["vendors"] if each["tells"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeliveryError(Problem("damaged-plan", f"{folder}: {CAMPAIGN} is not what was written")) from error
    for name in names:
        if not (folder / name / MANIFEST).is_file():
            raise DeliveryError(Problem("damaged-plan", f"{folder}: what {name} tells is not there"))
    return names


def _marks() -> frozenset[str]:
    """What a campaign consists of."""
    runs = (f"{vendor}/{name}" for vendor in vendor_names() for name in FILES)
    return frozenset({CAMPAIGN, LEFT_OUT, *runs})


def _told(
    meant: Expr, name: str, mine: Crowd, index: DeviceIndex, planned: Callable[[str], Plan] | None
) -> tuple[Plan, Batches | None]:
    """How a vendor tells *mine*: as it is *planned* only where nobody else tells anybody."""
    if not mine:
        return Plan(name, meant, (), None, (), index=index), None
    to = vendor_record(name)
    if planned is not None:
        found = planned(name)
        if found.by_ids is None:
            return found, None
        if not found.native:
            return found, Batches(to, mine, mine.without(mine))
    reasons = () if planned is not None else (BY_IDS,)
    return Plan(name, meant, (), meant, reasons, index=index), Batches(to, mine, mine.without(mine))


def _check(vendors: Sequence[str], index: DeviceIndex) -> None:
    """Refuse vendors that stand twice, or of which two would take the same ids for theirs."""
    columns: dict[str, str] = {}
    for name in vendors:
        column = id_column(index.snapshot.ids, name)
        if column in columns:
            what = column.partition(":")[2]
            message = f"{columns[column]} and {name} would both take {what} for their ids"
            hint = "leave one out, or build the index with --token VENDOR=COLUMN for each"
            raise PlanError(Problem("same-ids", message, hint=hint))
        columns[column] = name


def _unreachable(found: Campaign) -> Iterator[pl.DataFrame]:
    """The devices that no vendor can be told."""
    names = ", ".join(share.vendor for share in found.shares)
    last = vendor_record(found.shares[-1].vendor)
    for frame in Batches(last, found.left.without(found.left), found.left).left_out():
        reason, message = pl.lit("unreachable"), pl.lit(f"none of {names} can be told it")
        yield frame.with_columns(reason=reason, message=message)
