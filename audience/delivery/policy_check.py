"""Second check of policies: when a run is created and when it is resumed, ids that no longer fit are left out.

Who opted out or was suppressed after the requests were emitted gets nothing. The policies are those that the index has
now, and the caps of the requests and of the send. A device that is no longer in the index fits none of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from audience.delivery.ledger.left_out import NOT_IN_INDEX, POLICY_PREFIX
from audience.delivery.ledger.transitions import LeftOutId
from audience.delivery.policy_options import PolicyOptions
from audience.delivery.run_names import view_without_run
from audience.errors import DamagedError, DeliveryError, InvalidIndexError, PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.index.query.vendor_id_columns import find_id_column
from audience.index.records.forgotten import has_policies
from audience.index.records.policy import Policy, unknown_policy_problem
from audience.index.storage import id_search
from audience.index.storage.packed_words import bitmap_to_mask
from audience.index.storage.published import open_storage
from audience.language.as_of import read_as_of
from audience.planning.policies import PolicyChoice, bind_policy, choose_policies
from audience.requests.reader import EmittedPolicies, RequestFolder

IDS_PER_CHECK = 1 << 19


@dataclass(frozen=True, slots=True)
class PolicyCheck:
    """Policies of a run, and the devices that fit each of them now."""

    fitting: tuple[tuple[Policy, DeviceSet], ...]
    vendor: str

    def find_unfit(self, ids: Sequence[str]) -> dict[str, str]:
        """Return those of *ids* that do not fit, each with the code of the first policy that it does not fit."""
        snapshot = self.fitting[0][1].snapshot
        column = find_id_column(snapshot.id_columns, self.vendor)
        wanted = pl.Series("id", ids, dtype=pl.String).unique()
        codes, known = dict[str, str](), set[str]()
        for number, shard in enumerate(snapshot.shards):
            matches = id_search.find_in_column(shard, column, wanted)
            known.update(matches["id"])
            for policy, devices in self.fitting:
                fits = bitmap_to_mask(devices.bitmaps[number], shard.row_count)[matches["row"].to_numpy()]
                for identifier in matches["id"].filter(pl.Series(~fits)):
                    codes.setdefault(identifier, f"{POLICY_PREFIX}{policy.name}")
        return codes | dict.fromkeys((identifier for identifier in wanted if identifier not in known), NOT_IN_INDEX)


def start_check(requests: RequestFolder, options: PolicyOptions, *, has_native: bool) -> PolicyCheck | None:
    """Return the check of the ids of *requests*, or None if no policy applies.

    Args:
        requests: Requests with the path of their index.
        options: Caps and overrides of the send.
        has_native: Whether native requests may still be sent.

    Raises:
        DeliveryError: A policy applies, and the index cannot be read or native requests would escape it.
        PlanError: There is no policy of a name that is overridden.
        ExpressionError: The index cannot answer a policy.
    """
    emitted = requests.policies
    path = options.index or (None if emitted.index is None else Path(emitted.index))
    caps = (*emitted.caps, *options.caps)
    open_names = [name for name in emitted.names if name not in options.without]
    index = _open_index(path, requests.folder, [*open_names, *caps], emitted.names)
    if index is None:
        return None
    index = view_without_run(index, requests.folder)
    choice = _choose_policies(index, emitted, caps, options.without)
    if not choice.policies:
        return None
    if has_native:
        message = f"{requests.folder}: native requests would also reach devices that policies take out"
        raise DeliveryError(Problem("native-under-policy", message, hint="emit again; the plan sends ids then"))
    asked = read_as_of(None, emitted.timezone, index.snapshot.timezone, allow_gaps=emitted.allow_gaps)
    fitting = (
        (policy, index.resolve(bind_policy(policy, index, asked), **asked.to_arguments())) for policy in choice.policies
    )
    return PolicyCheck(tuple(fitting), requests.vendor.name)


def _open_index(
    path: Path | None, folder: Path, restrictions: Sequence[str], names: Sequence[str]
) -> DeviceIndex | None:
    """Open the index at *path*; return None if there is none and no policy is known to apply.

    Raises:
        DeliveryError: There is no index, and *restrictions* apply.
    """
    if not restrictions and (path is None or not has_policies(open_storage(path))):
        return None
    reason = "the manifest has no path of an index"
    try:
        if path is not None:
            return DeviceIndex.open(path)
    except DamagedError:
        raise
    except InvalidIndexError as error:
        reason = error.problems[0].message
    overrides = "".join(f" --without-policy {name}" for name in names)
    hint = "name the index with --index PATH" + (f", or override its policies by name:{overrides}" if names else "")
    raise DeliveryError(Problem("no-policy-index", f"{folder}: policies cannot be checked again: {reason}", hint=hint))


def _choose_policies(
    index: DeviceIndex, emitted: EmittedPolicies, caps: Sequence[str], without: Sequence[str]
) -> PolicyChoice:
    standing = index.policies
    for name in without:
        if name not in standing and name not in emitted.names:
            raise PlanError(unknown_policy_problem(name, list(standing)))
    overridden = [name for name in (*emitted.without, *without) if name in standing]
    return choose_policies(index, caps, overridden)


def find_left_out(
    requests: RequestFolder, ranges: Iterable[tuple[int, int]], check: PolicyCheck | None
) -> tuple[LeftOutId, ...]:
    """Return the ids at the positions of *ranges* that *check* leaves out."""
    if check is None:
        return ()
    left_out: list[LeftOutId] = []
    for positions, ids in _iter_ids(requests, ranges):
        codes = check.find_unfit(ids)
        left_out += [
            LeftOutId(int(position), identifier, codes[identifier])
            for position, identifier in zip(positions, ids, strict=True)
            if identifier in codes
        ]
    return tuple(left_out)


def _iter_ids(
    requests: RequestFolder, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
    """Yield the positions and the ids of *ranges*, many at once."""
    positions, ids = list[int](), list[str]()
    for first, stop in ranges:
        for start in range(first, stop, IDS_PER_CHECK):
            end = min(start + IDS_PER_CHECK, stop)
            positions += range(start, end)
            ids += requests.ids_between(start, end)
            if len(ids) >= IDS_PER_CHECK:
                yield positions, ids
                positions, ids = [], []
    if ids:
        yield positions, ids
