"""What commands print of prices, campaigns and runs: for people, or as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audience.cli.output.report import problem_json
from audience.cli.output.widgets import table
from audience.delivery.costs import Price
from audience.delivery.ledger.status import STATES, State, Status, Trouble
from audience.delivery.ledger.workers import Worker
from audience.errors import Problem
from audience.requests.campaign import Campaign, Share

if TYPE_CHECKING:  # prices are told without what sends
    from audience.delivery.dry_run import Rehearsal

SHOWN = 10  # batches in trouble that are listed for people


def price_table(found: Sequence[Price], taken: str | None) -> None:
    """Print what each way costs, and which is *taken*."""
    rows = [
        (price.way, f"{price.calls:,}", size(price.bytes), f"{price.seconds:,.1f}", _said(price, taken))
        for price in found
    ]
    table(("way", "calls", "bytes", "seconds", ""), rows, right=(1, 2, 3))


def price_json(price: Price) -> dict[str, Any]:
    """*price* for machines."""
    return {
        "way": price.way,
        "calls": price.calls,
        "openings": price.openings,
        "bytes": price.bytes,
        "seconds": price.seconds,
        "worth": price.worth,
        "refused": [problem_json(each) for each in price.refused],
    }


def campaign_table(found: Campaign) -> None:
    """Print who goes where."""
    rows = [(share.vendor, f"{share.reach:,}", f"{share.tells:,}", _how(share)) for share in found.shares]
    rows += [("nobody", "", f"{found.unreachable:,}", "left out")] if found.unreachable else []
    table(("vendor", "can reach", "tells", ""), rows, right=(1, 2))


def status_lines(found: dict[str, Status]) -> str:
    """How far the runs of a folder are."""
    return "\n".join(line for name, status in found.items() for line in _lines(name, status))


def status_json(status: Status) -> dict[str, Any]:
    """*status* for machines."""
    return {
        "vendor": status.vendor,
        "way": status.way,
        "done": status.done,
        "batches": _by_state(status.batches),
        "ids": _by_state(status.ids),
        "bad": status.bad,
        "skipped": status.skipped,
        "working": status.working,
        "workers": [{**asdict(worker), "begun": _moment(worker.begun)} for worker in status.workers],
        "cancelled": status.cancelled,
        "stopped": None if status.stopped is None else problem_json(status.stopped),
        "messages": list(status.messages),
        "troubles": [_trouble_json(trouble) for trouble in status.troubles],
    }


def troubles(found: dict[str, Status]) -> list[Problem]:
    """Why a run is not done, in the vendor's words and ours."""
    return [problem for status in found.values() for problem in _problems(status)]


def rehearsal_json(found: "Rehearsal") -> dict[str, Any]:
    """*found* for machines."""
    return {
        "vendor": found.vendor,
        "way": found.way,
        "devices": found.devices,
        "calls": found.calls,
        "bytes": found.bytes,
        "checked": found.checked,
        "problems": [problem_json(problem) for problem in found.problems],
    }


def rehearsal_line(found: "Rehearsal") -> str:
    """What would be sent."""
    checked = f"; the vendor has checked {found.checked:,}" if found.checked else ""
    what = f"{found.calls:,} calls by {found.way}, {size(found.bytes)}"
    return f"{found.vendor}: {found.devices:,} devices in {what}{checked}; nothing was sent"


def size(count: int) -> str:
    """So many bytes.

    >>> size(999), size(41_200), size(3_000_000)
    ('999 B', '41.2 kB', '3.0 MB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count} B"


def _said(price: Price, taken: str | None) -> str:
    if price.refused:
        return f"refused: {price.refused[0].message}"
    if price.way == taken:
        return "taken"
    return "" if price.worth else "not worth it for so few"


def _how(share: Share) -> str:
    if not share.tells:
        return ""
    return f"{len(share.plan.native)} native" if share.plan.native else "by ids"


def _lines(name: str, status: Status) -> Iterable[str]:
    parts = [f"{status.batches[state]:,} {state}" for state in STATES if status.batches[state]]
    told = f", {status.ids['accepted']:,} ids told" if sum(status.ids.values()) else ""
    yield f"{name}: {', '.join(parts) or 'nothing to send'}{told}"
    if status.bad:
        yield f"  ids left out: {', '.join(f'{many:,} {code}' for code, many in status.bad.items())}"
    for trouble in status.troubles[:SHOWN]:
        stays = ", and stays so" if trouble.skipped else ""
        yield f"  {_where(trouble)} {trouble.state}{stays}: {trouble.problem.code}: {trouble.problem.message}"
    if len(status.troubles) > SHOWN:
        yield f"  … and {len(status.troubles) - SHOWN:,} more"
    for worker in status.workers:
        yield f"  at work: {_who(worker)}" if worker.lives else f"  died: {_who(worker)}; audience resume takes over"


def waiting(others: Iterable[Worker]) -> list[Problem]:
    """For whom a process waits."""
    hint = "where it hangs it can be ended: what it has sent is in doubt then, and all else is told from here"
    return [Problem("waiting", f"waiting for {_who(worker)}", hint=hint) for worker in others]


def _who(worker: Worker) -> str:
    return f"process {worker.process} on {worker.host}, begun {_moment(worker.begun)}, with {worker.batches:,} batches"


def _moment(seconds: float) -> str:
    """A moment as people and machines read it.

    >>> _moment(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _where(trouble: Trouble) -> str:
    if trouble.native is not None:
        return f"native request {trouble.native + 1}"
    return f"ids {trouble.first:,} to {(trouble.stop or 0) - 1:,}"


def _trouble_json(trouble: Trouble) -> dict[str, Any]:
    place = {"native": trouble.native, "first": trouble.first, "stop": trouble.stop}
    facts = {"batch": trouble.batch, "state": _key(trouble.state), "skipped": trouble.skipped}
    return {**facts, **place, "problem": problem_json(trouble.problem)}


def _by_state(counts: Mapping[State, int]) -> dict[str, int]:
    """*counts* for machines."""
    return {_key(state): count for state, count in counts.items()}


def _key(state: State) -> str:
    """The name of *state* for machines, who like no space in it.

    >>> _key("in doubt")
    'in_doubt'
    """
    return state.replace(" ", "_")


def _problems(status: Status) -> Iterable[Problem]:
    if status.stopped is not None:
        yield status.stopped
    if status.cancelled:
        yield Problem("cancelled", f"{status.vendor}: the run is cancelled; {status.left:,} batches were not sent")
    elif status.left:
        hint = "audience resume goes on"
        yield Problem("left", f"{status.vendor}: {status.left:,} batches are left", hint=hint)
    if status.doubts:
        message = f"{status.vendor}: whether {status.doubts:,} batches told anybody is not known"
        hint = "audience resume --on-doubt skip leaves it so; retry sends them again, and may tell some twice"
        yield Problem("in-doubt", message, hint=hint)
