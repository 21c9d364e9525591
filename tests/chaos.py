"""Chaos for runs: workers that are killed, frozen and given wrong clocks, against a vendor that keeps books of its own.

Each run is sent by several workers one after another or side by side. Between them signals fall, locks and logs are
removed, the machine is suspended or started again, and wall clocks are set. The vendor counts each delivery, and drops
repeats of a call for a quarter of an hour of true time, if it does at all. Afterwards the books are compared with the
ledger: whoever is accepted was reached once, whoever is in doubt at most once, and nobody else is left.
"""

import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from urllib.request import urlopen

import chaos_worker
from chaos_worker import BATCH_IDS, Clocks, Task

from audience.testing.fake_vendor import make_ids, write_run_folder

DEDUP_SECONDS = 900.0
REPLY_FAULTS = {"lost": 0.01, "failed": 0.01, "busy": 0.02, "slow": 0.02}
MAX_ROUNDS = 40
HANG_SECONDS = 240.0
FORK_CONTEXT = get_context("forkserver")
FORK_CONTEXT.set_forkserver_preload(["chaos_worker"])


class Books:
    """Books of the vendor: how often each id of a run was reached, and which calls it knows, in true time."""

    def __init__(self, ids: int, *, drops_repeats: bool, chance: random.Random):
        self.counts = [0] * ids
        self.drops_repeats = drops_repeats
        self.calls = self.connections = 0
        self.elapsed = 0.0  # seconds that have passed besides those that really have
        self._chance = chance
        self._first_seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def handle(self, token: str, ids: list[str]) -> str | None:
        """Deliver a call and return None, or the fault of its reply."""
        with self._lock:
            self.calls += 1
            fault = self._draw_fault()
            if fault in ("busy", "failed"):
                return fault
            now = time.monotonic() + self.elapsed
            first = self._first_seen.setdefault(token, now)
            if first == now or not self.drops_repeats or now - first > DEDUP_SECONDS:
                for identifier in ids:
                    self.counts[int(identifier[1:])] += 1
            return fault

    @contextmanager
    def count_connection(self) -> Iterator[None]:
        """Count an open connection."""
        with self._lock:
            self.connections += 1
        try:
            yield
        finally:
            with self._lock:
                self.connections -= 1

    def _draw_fault(self) -> str | None:
        remaining = self._chance.random()
        for name, probability in REPLY_FAULTS.items():
            if remaining < probability:
                return name
            remaining -= probability
        return None


@contextmanager
def serve(books: Books) -> Iterator[str]:
    """Serve the vendor on loopback and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()
            self.close_connection = True

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if not content.endswith(b"}"):  # the client was killed while it wrote
                return
            call = json.loads(content)
            time.sleep(0.003)
            fault = books.handle(call["token"], call["to"])
            if fault == "lost":
                self.close_connection = True
                return
            time.sleep(0.15 if fault == "slow" else 0)
            status, body = {"failed": (503, {"error": "in-doubt"}), "busy": (429, {"error": "again"})}.get(
                fault or "", (200, {"accepted": f"m{books.calls}"})
            )
            reply = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def handle(self) -> None:
            with books.count_connection(), suppress(OSError):
                super().handle()

        def log_message(self, *words: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass(slots=True)
class ChaosResult:
    """What became of some runs; *problems* are sentences."""

    runs: int = 0
    ids: int = 0
    calls: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    lost: int = 0
    in_doubt: int = 0
    hung: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        signals = ", ".join(f"{count:,} {name}" for name, count in sorted(self.signals.items()))
        faults = ", ".join(f"{count:,} × {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.runs:,} runs of {self.ids // max(1, self.runs):,} ids, {self.calls:,} calls, "
            f"{sum(self.signals.values()):,} signals ({signals}); {faults}; reached twice: {self.twice:,}, "
            f"lost: {self.lost:,}, in doubt: {self.in_doubt:,}, hung: {self.hung:,}"
        )


class ChaosRun:
    """One run under chaos."""

    def __init__(self, folder: Path, ids: int, signals: int, chance: random.Random, result: ChaosResult):
        self._chance, self._result, self._signals_left = chance, result, signals
        self._books = Books(ids, drops_repeats=chance.random() < 0.5, chance=random.Random(chance.random()))
        self._folder = write_run_folder(folder, make_ids(ids))
        self._boot_id, self._boot_start, self._has_ledger = "first", 0.0, False
        self._url = ""

    def play(self) -> None:
        """Play the run to its end, and compare the books with the ledger."""
        with serve(self._books) as self._url:
            for _ in range(MAX_ROUNDS):
                if self._signals_left <= 0 or self._books.calls > len(self._books.counts) // BATCH_IDS - 40:
                    break
                self._disturb()
            self._finish()
        self._compare()

    def _settle(self) -> None:
        """Wait until the vendor has handled what workers that have ended had sent it, before time passes."""
        with urlopen(self._url) as reply:  # behind every connection that waits to be accepted
            reply.read()
        while self._books.connections:
            time.sleep(0.01)

    def _disturb(self) -> None:
        disturbances = [self._kill, self._kill, self._interrupt, self._freeze, self._remove_log, self._two_workers]
        self._chance.choice(disturbances)()
        self._settle()
        self._chance.choice([lambda: None, lambda: None, self._suspend, self._restart])()

    def _start(self):
        clocks = Clocks(
            wall_error=self._chance.choice([0.0, 0.0, -3_600.0, 3_600.0, -self._books.elapsed, -86_400.0]),
            elapsed=self._books.elapsed,
            boot_start=self._boot_start,
            boot_id=self._boot_id,
        )
        self._result.faults["set wall clock"] += clocks.wall_error != 0
        command = "resume" if self._has_ledger or (self._folder / "ledger.sqlite").exists() else "send"
        task = Task(str(self._folder), self._url, self._books.drops_repeats, command, clocks)
        process = FORK_CONTEXT.Process(target=chaos_worker.work, args=[task])
        process.start()
        return process

    def _signal(self, process, name: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, getattr(signal, name))
            self._result.signals[name] += 1
            self._signals_left -= 1

    def _wait_for_calls(self, process, count: int) -> None:
        goal = self._books.calls + count
        while self._books.calls < goal and process.is_alive():
            time.sleep(0.002)
        self._has_ledger |= (self._folder / "ledger.sqlite").exists()

    def _join(self, process) -> None:
        process.join(HANG_SECONDS)
        if process.is_alive():
            self._result.hung += 1
            self._result.problems.append(f"{self._folder.name}: a worker hangs")
            process.kill()
            process.join()

    def _kill(self) -> None:
        process = self._start()
        self._wait_for_calls(process, self._chance.choice([0, 1, 5, 20]))
        time.sleep(self._chance.random() * 0.05)
        self._signal(process, "SIGKILL")
        self._join(process)

    def _interrupt(self) -> None:
        process = self._start()
        self._wait_for_calls(process, self._chance.choice([1, 10]))
        self._signal(process, self._chance.choice(["SIGINT", "SIGTERM"]))
        if self._chance.random() < 0.3:
            self._signal(process, "SIGINT")
        self._join(process)

    def _freeze(self) -> None:
        """Freeze a worker, maybe remove its lock, let another work beside it, and let the first go on."""
        frozen = self._start()
        self._wait_for_calls(frozen, self._chance.choice([0, 2, 8]))
        self._signal(frozen, "SIGSTOP")
        if self._chance.random() < 0.7:
            self._result.faults["removed lock of a frozen worker"] += 1
            for lock in self._folder.glob("worker-*.lock"):
                lock.unlink()
        other = self._start()
        self._wait_for_frozen(other)
        self._signal(frozen, "SIGCONT")
        if self._chance.random() < 0.5:
            self._signal(other, "SIGKILL")
        if self._chance.random() < 0.5:
            self._signal(frozen, "SIGKILL")
        self._join(other)
        self._join(frozen)

    def _wait_for_frozen(self, other) -> None:
        """Wait until the *other* worker has made some calls; it may wait for the frozen one, too."""
        goal, until = self._books.calls + 5, time.monotonic() + 3
        while self._books.calls < goal and other.is_alive() and time.monotonic() < until:
            time.sleep(0.005)

    def _two_workers(self) -> None:
        first, second = self._start(), None
        self._wait_for_calls(first, 2)
        if self._has_ledger:
            second = self._start()
            self._wait_for_calls(second, 6)
        self._signal(first, "SIGKILL")
        if second is not None:
            self._signal(second, self._chance.choice(["SIGKILL", "SIGTERM"]))
            self._join(second)
        self._join(first)

    def _remove_log(self) -> None:
        """Kill a worker and remove the log: what it lost must be noticed, and nothing sent. Then put the log back."""
        self._kill()
        log = self._folder / "ledger.sqlite-wal"
        if not log.exists() or not log.stat().st_size or not self._has_lost_without(log):
            return
        self._result.faults["removed log"] += 1
        self._settle()
        kept, calls = log.rename(log.with_name("kept")), self._books.calls
        process = self._start()
        self._join(process)
        if process.exitcode == 0 or self._books.calls != calls:
            self._result.problems.append(f"{self._folder.name}: went on without its log ({process.exitcode})")
        (self._folder / "ledger.sqlite-shm").unlink(missing_ok=True)
        kept.rename(log)

    def _has_lost_without(self, log: Path) -> bool:
        """Return whether the ledger without its log has fewer transactions than with it."""
        with_log = self._query("SELECT sum(commits), count(*) FROM worker")
        try:
            return self._query("SELECT sum(commits), count(*) FROM worker", "&immutable=1") != with_log
        except sqlite3.Error:
            return True

    def _query(self, statement: str, mode: str = "") -> list:
        ledger = sqlite3.connect(f"file:{self._folder / 'ledger.sqlite'}?mode=ro{mode}", uri=True)
        try:
            return ledger.execute(statement).fetchall()
        finally:
            ledger.close()

    def _suspend(self) -> None:
        self._result.faults["suspended machine"] += 1
        self._books.elapsed += self._chance.choice([100.0, 850.0, 1_000.0, 5_000.0])

    def _restart(self) -> None:
        self._result.faults["restarted machine"] += 1
        self._boot_id, self._boot_start = f"boot {self._chance.random()}", self._books.elapsed + time.monotonic() - 30
        self._books.elapsed += 20.0

    def _finish(self) -> None:
        for _ in range(30):
            process = self._start()
            self._join(process)
            if not self._query("SELECT 1 FROM batch WHERE state IN ('todo', 'sent') LIMIT 1"):
                return
        self._result.problems.append(f"{self._folder.name}: batches are left")

    def _compare(self) -> None:
        counts, result = self._books.counts, self._result
        result.runs, result.ids = result.runs + 1, result.ids + len(counts)
        result.calls += self._books.calls
        twice = sum(count > 1 for count in counts)
        result.twice += twice
        if twice:
            result.problems.append(f"{self._folder.name}: {twice:,} ids were reached twice")
        accepted, in_doubt = self._list_positions("accepted"), self._list_positions("in_doubt")
        result.in_doubt += len(in_doubt)
        result.lost += sum(counts[at] == 0 for at in accepted) + len(counts) - len(accepted) - len(in_doubt)

    def _list_positions(self, state: str) -> list[int]:
        ranges = self._query(f"SELECT first, stop FROM batch WHERE state = '{state}'")
        return [at for first, stop in ranges for at in range(first, stop)]


def run_chaos(folder: Path, runs: int, ids: int, signals_each: int, seed: int) -> ChaosResult:
    """Play *runs* of *ids* each, with at least so many signals as fit, and return what became of them."""
    result, chance = ChaosResult(), random.Random(seed)
    for number in range(runs):
        ChaosRun(folder / f"run-{number:03}", ids, signals_each, random.Random(chance.random()), result).play()
    return result
