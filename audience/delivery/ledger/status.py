"""How far a run is, read from its ledger: batches and ids by their states, and what the vendor said."""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from audience.delivery.ledger.connection import Ledger, Run
from audience.delivery.ledger.workers import Worker, at_work
from audience.errors import Problem

State: TypeAlias = Literal["todo", "sent", "accepted", "refused", "in doubt"]
STATES: tuple[State, ...] = ("todo", "sent", "accepted", "refused", "in doubt")
MOST = 1_000  # that are listed; all of them stand in the ledger

# A batch whose parts are sent anew counts no more: its parts do.
LEAVES = "FROM batch AS b WHERE NOT EXISTS (SELECT 1 FROM batch AS part WHERE part.parent = b.number)"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A batch that was refused or is in doubt: a *native* request, or ids of the plan, and the vendor's words."""

    batch: int
    native: int | None
    first: int | None
    stop: int | None
    state: State
    skipped: bool
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a run is.

    *batches* and *ids* are counts by state; *bad* is how many ids the vendor did not know, by its code, and of those
    none is counted in *ids*. *skipped* of the batches in doubt are settled to stay so; *workers* are at it, or died and
    left what they had. *messages* are the vendor's ids of what it took, and *troubles* are what was refused or is in
    doubt, a thousand at most.
    """

    vendor: str
    way: str
    batches: dict[State, int]
    ids: dict[State, int]
    bad: dict[str, int]
    skipped: int
    workers: tuple[Worker, ...]
    cancelled: bool
    stopped: Problem | None
    messages: tuple[str, ...]
    troubles: tuple[Trouble, ...] = field(repr=False)

    @property
    def done(self) -> bool:
        """Whether all is settled: nothing left to send, no reply outstanding, no doubt that nobody has decided."""
        return not self.stopped and not self.cancelled and self.left == 0 and self.doubts == 0

    @property
    def working(self) -> int:
        """How many processes are at work."""
        return sum(worker.lives for worker in self.workers)

    @property
    def left(self) -> int:
        """Batches that will be sent, or have no reply yet."""
        return self.batches["todo"] + self.batches["sent"]

    @property
    def doubts(self) -> int:
        """Batches in doubt that nobody has decided on."""
        return self.batches["in doubt"] - self.skipped


def tally(ledger: Ledger) -> Status:
    """How far the run of *ledger* is."""
    run = ledger.run()
    batches, ids = _counts(ledger)
    [(skipped,)] = ledger.rows("SELECT count(*) FROM batch WHERE skipped IS NOT NULL")
    named = "SELECT DISTINCT message FROM batch WHERE message IS NOT NULL ORDER BY number LIMIT ?"
    return Status(
        vendor=run.vendor,
        way=run.way,
        batches=batches,
        ids=ids,
        bad=dict(ledger.rows("SELECT code, count(*) FROM bad GROUP BY code ORDER BY code")),
        skipped=skipped,
        workers=at_work(ledger),
        cancelled=run.cancelled is not None,
        stopped=_stopped(run),
        messages=tuple(name for (name,) in ledger.rows(named, MOST)),
        troubles=tuple(_troubles(ledger)),
    )


def nothing(vendor: str) -> Status:
    """The status of a run that tells nobody."""
    none: dict[State, int] = dict.fromkeys(STATES, 0)
    return Status(
        vendor=vendor,
        way="none",
        batches=none,
        ids=none,
        bad={},
        skipped=0,
        workers=(),
        cancelled=False,
        stopped=None,
        messages=(),
        troubles=(),
    )


def settled(ledger: Ledger) -> tuple[int, int]:
    """How many ids and native requests are settled, of how many: for a progress bar, while others write."""
    total = "SELECT natives + ids FROM run"
    left = "SELECT coalesce(sum(coalesce(stop - first, 1)), 0) FROM batch WHERE state IN ('todo', 'sent')"
    [(whole, going)] = ledger.rows(f"SELECT ({total}), ({left})")
    return whole - going, whole


def _counts(ledger: Ledger) -> tuple[dict[State, int], dict[State, int]]:
    """How many batches, and how many ids that are not bad, there are in each state."""
    batches, ids = dict.fromkeys(STATES, 0), dict.fromkeys(STATES, 0)
    bad = [position for (position,) in ledger.rows("SELECT position FROM bad ORDER BY position")]
    for state, first, stop in ledger.rows(f"SELECT state, coalesce(first, 0), coalesce(stop, 0) {LEAVES}"):
        batches[state] += 1
        ids[state] += stop - first - (bisect_left(bad, stop) - bisect_left(bad, first))
    return batches, ids


def _troubles(ledger: Ledger) -> list[Trouble]:
    columns = "b.number, b.native, b.first, b.stop, b.state, b.skipped IS NOT NULL, b.problem"
    rows = ledger.rows(f"SELECT {columns} {LEAVES} AND state IN ('refused', 'in doubt') ORDER BY number LIMIT {MOST}")
    return [
        Trouble(number, native, first, stop, state, bool(skipped), problem(said))
        for number, native, first, stop, state, skipped, said in rows
    ]


def _stopped(run: Run) -> Problem | None:
    return None if run.stopped is None else problem(run.stopped)


def problem(said: str | None) -> Problem:
    """A problem as it stands in a ledger."""
    found: dict[str, Any] = orjson.loads(said) if said else {"code": "unknown", "message": "nothing was said"}
    return Problem(found["code"], found["message"], hint=found.get("hint"))
