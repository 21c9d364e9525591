"""Crashes of a sync: wherever a process dies, the next one makes the tags right, and sets none that nobody wanted."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sizes import scale
from tag_vendor import FORMS, TagService, make_spec, make_sync_options
from test_sync_calls import RETRY_LONG, Syncing, changed, having_any, make_tags, quick_disk  # noqa: F401 a fixture

from audience.delivery import sqlite_file
from audience.delivery.syncing.late_calls import LATE_MARGIN_SECONDS
from audience.delivery.syncing.ledger import create_sync_ledger
from audience.tag_sync.storage import save_state

LATEST = RETRY_LONG.timeout + LATE_MARGIN_SECONDS - 1  # seconds that a call may be late
LATE_FAULTS = ["lost", "late", "half", "again", None, None, None]


class Died(BaseException):
    """Death of the process; whatever runs after it has no effect."""


class Mortal(TagService):
    """Service whose caller dies at a step: before or after a commit, a file, or a call."""

    def __init__(self, chance: random.Random, faults: bool):
        super().__init__()
        self.chance, self.faults = chance, faults
        self.steps = 0
        self.dies_at: int | None = None
        self.arrivals: list[tuple[float, dict]] = []
        self.fault = lambda number: chance.choice(LATE_FAULTS) if faults else None

    @property
    def is_dead(self) -> bool:
        return self.dies_at is not None and self.steps >= self.dies_at

    def step(self) -> None:
        """Take a step, or die."""
        self.steps += 1
        if self.is_dead:
            raise Died

    async def handle(self, request):
        self.deliver_late()
        self.step()
        response = await super().handle(request)
        self.step()
        return response

    def _change(self, body, fault, request):
        if self.is_dead:  # sent before the death of its process
            fault = "late"
        try:
            return super()._change(body, fault, request)
        finally:
            self.arrivals += [(self.time.now + LATEST, body) for body in self.late]
            self.late = []

    def deliver_late(self) -> None:
        """Let calls arrive that were late: some now, and all that are due."""
        waiting = []
        for due, body in self.arrivals:
            if self.time.now >= due or self.chance.random() < 0.2:
                self.apply(body)
            else:
                waiting.append((due, body))
        self.arrivals = waiting

    def arrive(self) -> None:
        pass

    def deliver_all(self) -> None:
        """Let everything arrive that was late."""
        self.deliver_late()
        for _, body in self.arrivals:
            self.apply(body)
        self.arrivals = []


@contextmanager
def mortal(service: Mortal, monkeypatch) -> Iterator[None]:
    """Let the process die at commits and at files, too."""
    commit = sqlite_file.SqliteFile._commit

    def dying_commit(self):
        service.step()
        commit(self)
        service.step()

    def dying(write):
        def write_or_die(*arguments, **options):
            service.step()
            written = write(*arguments, **options)
            service.step()
            return written

        return write_or_die

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file.SqliteFile, "_commit", dying_commit)
        patch.setattr("audience.delivery.syncing.sync.save_state", dying(save_state))
        patch.setattr("audience.delivery.syncing.sync.create_sync_ledger", dying(create_sync_ledger))
        yield


def die(syncing: Syncing, service: Mortal, wanted, step: int, monkeypatch) -> bool:
    """Sync, and die at *step*. Return whether it came to that."""
    service.steps, service.dies_at = 0, step
    try:
        with mortal(service, monkeypatch):
            syncing.sync(wanted, make_sync_options(service, retry=RETRY_LONG))
    except BaseException as error:
        if not service.is_dead:
            raise
        assert isinstance(error, (Died, BaseExceptionGroup, Exception))
    died, service.dies_at = service.is_dead, None
    return died


@pytest.mark.parametrize("is_same", [True, False])
def test_the_next_sync_goes_on_after_a_death_at_any_step(tmp_path, monkeypatch, is_same):
    chance = random.Random(7)
    service = Mortal(chance, faults=False)
    syncing = Syncing(tmp_path, service, make_spec(FORMS["tag"]))
    options = make_sync_options(service, retry=RETRY_LONG)
    step, before = 1, {}
    while True:
        wanted = make_tags(chance, 8)
        then = wanted if is_same else make_tags(chance, 8)
        service.allowed = lambda each, tag, sets=(before, wanted, then): any(tag in tags.get(each, ()) for tags in sets)
        died = die(syncing, service, wanted, step, monkeypatch)
        assert syncing.sync(then, options).is_complete
        service.deliver_all()
        assert service.list_tags() == having_any(then), step
        assert service.forbidden == [], step
        if not died:
            break
        step, before = step + 1, then
    assert step > 20


@pytest.mark.parametrize("seed", range(scale(12, 300)))
def test_many_deaths_under_faults_end_with_equal_tags(tmp_path, monkeypatch, seed):
    chance = random.Random(seed)
    service = Mortal(chance, faults=True)
    syncing = Syncing(tmp_path, service, make_spec(FORMS[chance.choice([*FORMS])]))
    options = make_sync_options(service, retry=RETRY_LONG)
    before, wanted = {}, make_tags(chance, 12)
    for _ in range(3):
        begun = [before]
        for _ in range(chance.randint(1, 5)):
            begun.append(wanted)
            service.allowed = lambda each, tag, sets=tuple(begun): any(tag in tags.get(each, ()) for tags in sets)
            die(syncing, service, wanted, chance.randint(1, 80), monkeypatch)
            wanted = wanted if chance.random() < 0.5 else changed(wanted, chance)
            if chance.random() < 0.3:
                service.time.now += chance.choice([1, LATEST, 5_000])
            if chance.random() < 0.2:
                service.time.restart(f"boot {chance.random()}")
        begun.append(wanted)
        service.allowed = lambda each, tag, sets=tuple(begun): any(tag in tags.get(each, ()) for tags in sets)
        assert syncing.sync(wanted, options).is_complete
        service.deliver_all()
        assert service.list_tags() == having_any(wanted)
        assert service.forbidden == []
        before, wanted = wanted, changed(wanted, chance)


def test_a_lost_ledger_puts_all_changes_in_doubt(tmp_path):
    service = TagService(fault=lambda number: "stopped" if number > 3 else None)
    syncing = Syncing(tmp_path, service)
    wanted = make_tags(random.Random(3), 30)
    syncing.sync(wanted, make_sync_options(service, concurrency=1))
    [ledger] = (tmp_path / "i.index" / "syncs").glob("*/ledger.sqlite")
    for content in (None, b"not a ledger" * 100):
        ledger.unlink() if content is None else ledger.write_bytes(content)
        assert syncing.sync(wanted, make_sync_options(service, concurrency=1)).state == "stopped"
    service.fault = lambda number: None
    assert syncing.sync(wanted).is_complete and service.list_tags() == having_any(wanted)
