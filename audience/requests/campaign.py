"""Campaigns: one audience divided among several vendors.

Each device is assigned to the first vendor that can reach it, so that it gets the message once.

campaign.json    the expression, the order of the vendors, and the number of devices of each
skipped.ndjson   devices that no vendor can reach, if any
VENDOR/          a request folder for each vendor, as `emit` writes it

A native request reaches all matching devices that the vendor knows, also those assigned to another vendor. It is
used only if one vendor reaches all devices and all others get nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from datetime import datetime
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from audience._fs.atomic import atomic_folder
from audience.errors import DeliveryError, PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.schema.columns import IdColumn
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr, Limit, Top
from audience.language.binding import bind
from audience.language.id_files import id_files_json
from audience.language.parser import parse
from audience.language.printer import render
from audience.planning.catalog.catalog import Catalog
from audience.planning.planner import MAX_REQUESTS, default_timezone, plan
from audience.planning.plans import Plan
from audience.planning.policies import (
    UNDER_POLICY,
    AppliedPolicy,
    RestrictedAudience,
    choose_policies,
    restrict_audience,
)
from audience.planning.vouching import VendorHas, resolve_vendor_has
from audience.progress import Progress, ignore_progress
from audience.requests.batching import Batches, choose_among, select_deliverable_devices
from audience.requests.dividing import DividedDevices, divide_devices, select_with_variant
from audience.requests.division import DIVIDED, Division
from audience.requests.writer import (
    MANIFEST_FILE,
    OWNED_FILES,
    SKIPPED_FILE,
    EmitResult,
    keep_emission,
    list_parts,
    write_plan,
    write_skipped,
)
from audience.vendors import get_vendor, vendor_names

CAMPAIGN_FILE = "campaign.json"
NATIVE_OVERLAPS = Problem(
    "campaign", "another vendor sends to some of the devices, and a native request would reach them again"
)


@dataclass(frozen=True, slots=True)
class VendorShare:
    """Share of one vendor: the devices it can reach, and those assigned to it."""

    vendor: str
    reachable: int
    assigned: int
    plan: Plan
    batches: Batches | None


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Devices assigned to a vendor, and the number of all that it can reach."""

    vendor: str
    reachable: int
    devices: DeviceSet


@dataclass(frozen=True, slots=True)
class Campaign:
    """Audience divided among vendors; no vendor reaches the *unreachable_devices*.

    Attributes:
        expr: Audience, with segments expanded and relative times bound.
        written: Audience before its relative times were bound.
        as_of: Moment and time zone of the question.
        devices: Number of devices, without those that policies take out.
        policies: Policies that apply, with the number of devices that each takes out.
        removed: Number of devices of the audience that the policies take out together.
        without_policies: Names of the policies of the index that were overridden.
        division: How the devices are divided into parts; None if they are not.
        held_out: Devices without a variant, which get nothing and are not among *devices*.
        notes: What becomes of devices whose language or time zone is not known.
    """

    expr: Expr
    written: Expr
    as_of: AsOf
    devices: int
    unreachable_count: int
    shares: tuple[VendorShare, ...]
    unreachable_devices: DeviceSet
    policies: tuple[AppliedPolicy, ...] = ()
    removed: int = 0
    without_policies: tuple[str, ...] = ()
    division: Division | None = None
    held_out: int = 0
    notes: tuple[Problem, ...] = ()


def plan_campaign(
    expr: Expr | str,
    vendors: Sequence[str],
    index: DeviceIndex,
    catalog: Catalog | None = None,
    *,
    max_requests: int = MAX_REQUESTS,
    strict: bool = False,
    vendor_has: VendorHas = None,
    as_of: datetime | str | None = None,
    timezone: str | None = None,
    allow_gaps: bool = False,
    caps: Iterable[Expr | str] = (),
    without_policies: Iterable[str] = (),
    division: Division | None = None,
) -> Campaign:
    """Divide the devices that match *expr* among *vendors*, each to the first that can reach it.

    Args:
        expr: The audience.
        vendors: Names of vendors, the preferred first.
        index: The index of the devices.
        catalog: The catalog for native requests.
        max_requests: Upper limit of native requests, as in `plan`.
        strict: Reject native requests with assumptions, as in `plan`.
        vendor_has: Types of tags that the vendors have, or "all", as in `plan`.
        as_of: Moment of the question, as in `plan`.
        timezone: Name of the time zone whose days are meant, as in `plan`.
        allow_gaps: Whether days of events may be missing, as in `plan`.
        caps: What a device must fit besides the policies of the index, as in `plan`.
        without_policies: Names of policies of the index that do not apply.
        division: How the devices are divided into parts, as `divide_by` returns it.

    Raises:
        PlanError: A vendor is listed twice, the index has no ids of it, or the devices cannot be divided.
    """
    written = index.expand_segments(parse(expr) if isinstance(expr, str) else expr)
    asked = read_as_of(as_of, timezone, default_timezone(index), allow_gaps)
    expr = bind(written, asked.moment, asked.zone)
    _validate_vendors(vendors, index)
    resolve_vendor_has(vendor_has, expr, [*index.snapshot.roles, *(() if catalog is None else catalog.attributes)])
    choice = choose_policies(index, caps, without_policies)
    restricted = restrict_audience(expr, choice, index, asked)
    found = _find_devices(restricted.expr, vendors, partial(index.resolve, **asked.to_arguments()))
    devices = found if division is None else select_with_variant(found, division)
    assignments, unassigned = _assign_devices(devices, vendors)
    has_one_vendor = any(len(assignment.devices) == len(devices) for assignment in assignments)
    plan_for = None
    if has_one_vendor and not choice.policies and division is None:
        plan_for = partial(
            plan,
            expr,
            index=index,
            catalog=catalog,
            max_requests=max_requests,
            strict=strict,
            vendor_has=vendor_has,
            without_policies=choice.overridden,
            **asked.to_arguments(),
        )
    shares = [_plan_share(expr, assignment, index, plan_for) for assignment in assignments]
    if choice.policies:
        shares = [_restrict_share(share, restricted) for share in shares]
    divided = None if division is None else divide_devices(devices - unassigned, division)
    if divided is not None:
        shares = [_divide_share(share, divided) for share in shares]
    unbound = None if written is expr else written
    return Campaign(
        expr=expr,
        written=written,
        as_of=asked,
        devices=len(devices),
        unreachable_count=len(unassigned),
        shares=tuple(_note_question(share, asked, unbound, choice.overridden) for share in shares),
        unreachable_devices=unassigned,
        policies=restricted.policies,
        removed=restricted.removed,
        without_policies=choice.overridden,
        division=division,
        held_out=len(found) - len(devices),
        notes=() if divided is None else divided.notes,
    )


def write_campaign(
    campaign: Campaign,
    folder: Path,
    *,
    schedule: Mapping[str, Any] | None = None,
    replace: bool = False,
    progress: Progress = ignore_progress,
) -> dict[str, EmitResult]:
    """Write a request folder for each vendor with assigned devices into the new *folder*.

    *schedule* is when they are sent, unless the send says it, as a JSON object of the manifests.

    Raises:
        OutputError: The folder cannot be written or exists. With *replace*, a campaign that was not sent is replaced.
            Nothing is left in a new folder after an error.
    """
    results = {}
    owned_patterns = _owned_patterns() if (folder / CAMPAIGN_FILE).is_file() else frozenset[str]()
    with atomic_folder(folder, owned_patterns=owned_patterns, replace=replace) as draft:
        for share in campaign.shares:
            if share.assigned:
                vendor_folder = draft / share.vendor
                vendor_folder.mkdir()
                keep_emission(folder / share.vendor, vendor_folder)
                results[share.vendor] = write_plan(
                    share.plan,
                    share.batches,
                    share.assigned,
                    vendor_folder,
                    progress,
                    division=campaign.division,
                    schedule=schedule,
                )
        if campaign.unreachable_count:
            write_skipped(draft / SKIPPED_FILE, _iter_unreachable(campaign))
        (draft / CAMPAIGN_FILE).write_bytes(orjson.dumps(campaign_to_json(campaign), option=orjson.OPT_INDENT_2))
    return results


def campaign_to_json(campaign: Campaign) -> dict[str, Any]:
    """Return *campaign* as JSON data."""
    shares = [
        {
            "vendor": share.vendor,
            "reachable": share.reachable,
            "assigned": share.assigned,
            "native": len(share.plan.native),
            "batches": 0 if share.batches is None else len(share.batches),
            "parts": list_parts(share.batches),
        }
        for share in campaign.shares
    ]
    return {
        "expression": render(campaign.written),
        "bound": render(campaign.expr),
        "as_of": campaign.as_of.local_time.isoformat(timespec="seconds"),
        "timezone": campaign.as_of.zone.key,
        "id_files": id_files_json(campaign.expr),
        "policies": [policy.to_json() for policy in campaign.policies],
        "without_policies": list(campaign.without_policies),
        "removed": campaign.removed,
        "division": None if campaign.division is None else campaign.division.to_json(),
        "held_out": campaign.held_out,
        "devices": campaign.devices,
        "unreachable": campaign.unreachable_count,
        "vendors": shares,
    }


def run_folders(folder: Path) -> list[Path]:
    """Return the run folders of the campaign in *folder*, in its order; or *folder* itself."""
    if not (folder / CAMPAIGN_FILE).is_file():
        return [folder]
    return [folder / name for name in read_campaign_vendors(folder)]


def read_campaign_vendors(folder: Path) -> list[str]:
    """Return the vendors with assigned devices in the campaign of *folder*.

    Raises:
        DeliveryError: The folder does not hold the campaign that was written.
    """
    try:
        data = orjson.loads((folder / CAMPAIGN_FILE).read_bytes())
        vendors = [str(share["vendor"]) for share in data["vendors"] if share["assigned"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder}: {CAMPAIGN_FILE} was not written by this version of `audience campaign`"
        raise DeliveryError(Problem("damaged-plan", message)) from error
    for vendor in vendors:
        if not (folder / vendor / MANIFEST_FILE).is_file():
            hint = "put the folder back, or run `audience campaign` again into another one"
            message = f"{folder / vendor}: the requests for {vendor} are missing"
            raise DeliveryError(Problem("damaged-plan", message, hint=hint))
    return vendors


def _find_devices(expr: Expr, vendors: Sequence[str], resolve: Callable[[Expr], DeviceSet]) -> DeviceSet:
    """Return the devices of *expr*; a limit chooses among those that one of *vendors* can reach.

    Devices that the limit would choose if a vendor could reach them are returned too, so that they are listed as
    unreachable.
    """
    devices = resolve(expr)
    if not isinstance(expr, Limit | Top):
        return devices
    candidates = resolve(expr.term)
    reachable = [select_deliverable_devices(candidates, get_vendor(vendor)) for vendor in vendors]
    reached_by_any = reduce(or_, reachable, candidates - candidates)
    return choose_among(expr, reached_by_any) | (devices - reached_by_any)


def _owned_patterns() -> frozenset[str]:
    """Return the files of a campaign folder."""
    request_files = (f"{vendor}/{name}" for vendor in vendor_names() for name in OWNED_FILES)
    return frozenset({CAMPAIGN_FILE, SKIPPED_FILE, *request_files})


def _assign_devices(devices: DeviceSet, vendors: Sequence[str]) -> tuple[list[_Assignment], DeviceSet]:
    """Return which of *devices* each of *vendors* gets, and the devices that none of them can reach."""
    assignments, unassigned = [], devices
    for vendor in vendors:
        reachable = select_deliverable_devices(devices, get_vendor(vendor))
        assignments.append(_Assignment(vendor, len(reachable), reachable & unassigned))
        unassigned = unassigned - assignments[-1].devices
    return assignments, unassigned


def _plan_share(
    expr: Expr, assignment: _Assignment, index: DeviceIndex, plan_for: Callable[[str], Plan] | None
) -> VendorShare:
    """Plan the devices of *assignment*; *plan_for* is given if no other vendor sends to any."""
    planned, batches = _plan_devices(expr, assignment.vendor, assignment.devices, index, plan_for)
    return VendorShare(assignment.vendor, assignment.reachable, len(assignment.devices), planned, batches)


def _plan_devices(
    expr: Expr, vendor: str, devices: DeviceSet, index: DeviceIndex, plan_for: Callable[[str], Plan] | None
) -> tuple[Plan, Batches | None]:
    """Return the plan for the *devices* of *vendor*, and the batches of those that are sent to by id."""
    if not devices:
        return Plan(vendor, expr, (), None, (), index=index), None
    batches = Batches(get_vendor(vendor), devices, skipped_devices=devices - devices)
    if plan_for is None:
        return Plan(vendor, expr, (), expr, (NATIVE_OVERLAPS,), index=index), batches
    planned = plan_for(vendor)
    if planned.by_ids is None:
        return planned, None
    if planned.native:  # its native requests and its ids would overlap
        planned = Plan(vendor, expr, (), expr, (), index=index)
    return planned, batches


def _restrict_share(share: VendorShare, restricted: RestrictedAudience) -> VendorShare:
    """Return the share of a campaign under policies: by ids, of the devices that fit."""
    planned = replace_fields(share.plan, policies=restricted.policies, removed=restricted.removed)
    if share.assigned:
        planned = replace_fields(planned, by_ids=restricted.expr, reasons=(UNDER_POLICY,))
    return replace_fields(share, plan=planned)


def _divide_share(share: VendorShare, divided: DividedDevices) -> VendorShare:
    """Return the share of a campaign that is divided into parts: by ids, in those parts."""
    if share.batches is None:
        return share
    batches = replace_fields(share.batches, divided=divided.among(share.batches.deliverable))
    reasons = (*(reason for reason in share.plan.reasons if reason != NATIVE_OVERLAPS), DIVIDED)
    return replace_fields(share, batches=batches, plan=replace_fields(share.plan, reasons=reasons))


def _note_question(share: VendorShare, asked: AsOf, written: Expr | None, overridden: tuple[str, ...]) -> VendorShare:
    """Return *share*, whose plan notes the moment, the audience before it was bound, and the overridden policies."""
    planned = replace_fields(share.plan, as_of=asked, written=written, without_policies=overridden)
    return replace_fields(share, plan=planned)


def _validate_vendors(vendors: Sequence[str], index: DeviceIndex) -> None:
    """Raise PlanError if two vendors would take their ids from the same column."""
    vendor_of_column: dict[IdColumn, str] = {}
    for vendor in vendors:
        column = find_id_column(index.snapshot.id_columns, vendor)
        if column in vendor_of_column:
            message = f"{vendor_of_column[column]} and {vendor} would both use the ids of {column.name}"
            hint = "leave one out, or build the index with --token VENDOR=COLUMN for each"
            raise PlanError(Problem("same-ids", message, hint=hint))
        vendor_of_column[column] = vendor


def _iter_unreachable(campaign: Campaign) -> Iterator[pl.DataFrame]:
    """Yield the devices that no vendor can reach."""
    names = ", ".join(share.vendor for share in campaign.shares)
    devices = campaign.unreachable_devices
    batches = Batches(get_vendor(campaign.shares[-1].vendor), devices - devices, skipped_devices=devices)
    for frame in batches.iter_skipped():
        yield frame.with_columns(reason=pl.lit("unreachable"), message=pl.lit(f"none of {names} can reach it"))
