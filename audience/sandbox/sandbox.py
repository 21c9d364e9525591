"""The sandbox from Python: a server in a thread, and questions to it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Any

from audience.errors import DeliveryError, Problem
from audience.sandbox.control_api import canonical
from audience.sandbox.faults import Fault, Faults
from audience.sandbox.population import Population
from audience.sandbox.router import Desks, entries, summary
from audience.sandbox.vendor_state import HOST, KEY, SECRET

__all__ = ["KEY", "SECRET", "Sandbox"]


class Sandbox:
    """Vendors on a loopback port, from `with` to its end.

    *rate* times the calls that vendors document are taken, None for no limit. Any key and secret may call unless they
    are said; signatures are checked for KEY and SECRET then. *seed* is for faults that hit by chance. DeliveryError
    where the *port* is taken.

    >>> import polars as pl
    >>> with Sandbox(Population(pl.DataFrame({"registration_id": ["r1", "r2"]}))) as sandbox:
    ...     sandbox.url.startswith("http://127.0.0.1:"), sandbox.told("tpns"), sandbox.summary("tpns")["devices"]
    (True, {}, 2)
    """

    def __init__(
        self,
        population: Population | Mapping[str, Population],
        *,
        faults: Iterable[Fault | str] = (),
        seed: int = 0,
        key: str | None = None,
        secret: str | None = None,
        rate: float | None = 1.0,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._desks = Desks(population, key, secret, rate, clock)
        self._seed = seed
        self._port = port
        self._problem: OSError | None = None
        self._ready = Event()
        self.fail(*faults)

    def __enter__(self) -> "Sandbox":
        self._thread = Thread(target=asyncio.run, args=(self._run(),), name="sandbox", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._problem:
            self._thread.join()
            raise DeliveryError(Problem("no-port", f"{HOST}:{self._port}: {self._problem.strerror}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        from audience.sandbox.server import serve  # aiohttp takes long to load, and most commands serve nothing

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await serve(self._desks, self._port, self._listening, self._stop)
        except OSError as error:
            self._problem = error
        finally:
            self._ready.set()  # also where it could not begin, so that nobody waits for ever

    def _listening(self, port: int) -> None:
        self._port = port
        self._ready.set()

    @property
    def url(self) -> str:
        """Where clients of every vendor are pointed to."""
        return f"http://{HOST}:{self._port}"

    @property
    def vendors(self) -> list[str]:
        """Who answers here."""
        return list(self._desks.desks)

    def told(self, vendor: str, message: str | None = None) -> dict[str, int]:
        """How often each id was told, by all messages of *vendor* or by one; those that were not are left out."""
        desk = self._desks.desks[canonical(vendor, self._desks)]
        with self._desks.lock:
            return desk.told.settle().by_id(message)

    def summary(self, vendor: str) -> dict[str, Any]:
        """How many devices *vendor* has, has told, has told more than once, and by how many messages."""
        return summary(self._desks, canonical(vendor, self._desks))

    def log(self, vendor: str | None = None) -> list[dict[str, Any]]:
        """What was called, the oldest call first."""
        return entries(self._desks, vendor and canonical(vendor, self._desks))

    def fail(self, *faults: Fault | str) -> None:
        """From now on calls meet *faults*, and no others."""
        rules = [fault if isinstance(fault, Fault) else Fault.read(fault, self._seed) for fault in faults]
        with self._desks.lock:
            self._desks.faults = Faults(rules)

    def reset(self) -> None:
        """Forget who was told, and the log."""
        self._desks.reset()
