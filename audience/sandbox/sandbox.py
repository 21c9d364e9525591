"""The sandbox from Python: a server in a thread, and questions to it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Any

from audience.errors import DeliveryError, Problem
from audience.sandbox.control_api import resolve_vendor_name
from audience.sandbox.faults import Fault, FaultInjector
from audience.sandbox.population import Population
from audience.sandbox.router import Router, list_log_entries, summarize_deliveries
from audience.sandbox.vendor_state import HOST, KEY, SECRET

__all__ = ["KEY", "SECRET", "Sandbox"]


class Sandbox:
    """Vendors on a loopback port, from `with` to its end.

    *rate* times the calls that vendors document are taken, None for no limit. Any key and secret may call unless they
    are said; signatures are checked for KEY and SECRET then. *seed* is for faults that hit by chance. DeliveryError
    where the *port* is taken.

    >>> import polars as pl
    >>> with Sandbox(Population(pl.DataFrame({"registration_id": ["r1", "r2"]}))) as sandbox:
    ...     sandbox.delivery_counts("tpns"), sandbox.summary("tpns")["devices"]
    ({}, 2)
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
        self._router = Router(population, key, secret, rate, clock)
        self._seed = seed
        self._port = port
        self._start_error: OSError | None = None
        self._ready = Event()
        self.set_faults(*faults)

    def __enter__(self) -> "Sandbox":
        self._thread = Thread(target=asyncio.run, args=(self._serve_until_stopped(),), name="sandbox", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._start_error:
            self._thread.join()
            raise DeliveryError(Problem("no-port", f"{HOST}:{self._port}: {self._start_error.strerror}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve_until_stopped(self) -> None:
        from audience.sandbox.server import serve  # aiohttp takes long to load, and most commands serve nothing

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await serve(self._router, self._port, self._on_listening, self._stop)
        except OSError as error:
            self._start_error = error
        finally:
            self._ready.set()  # also where it could not begin, so that nobody waits for ever

    def _on_listening(self, port: int) -> None:
        self._port = port
        self._ready.set()

    @property
    def url(self) -> str:
        """Where clients of every vendor are pointed to."""
        return f"http://{HOST}:{self._port}"

    @property
    def vendors(self) -> list[str]:
        """Who answers here."""
        return list(self._router.states)

    def delivery_counts(self, vendor: str, message_id: str | None = None) -> dict[str, int]:
        """How often each id was told, by all messages of *vendor* or by one; those that were not are left out."""
        desk = self._router.states[resolve_vendor_name(vendor, self._router)]
        with self._router.lock:
            return desk.delivery_log.flush_due().counts_by_id(message_id)

    def summary(self, vendor: str) -> dict[str, Any]:
        """How many devices *vendor* has, has told, has told more than once, and by how many messages."""
        return summarize_deliveries(self._router, resolve_vendor_name(vendor, self._router))

    def log(self, vendor: str | None = None) -> list[dict[str, Any]]:
        """What was called, the oldest call first."""
        return list_log_entries(self._router, vendor and resolve_vendor_name(vendor, self._router))

    def set_faults(self, *faults: Fault | str) -> None:
        """From now on calls meet *faults*, and no others."""
        rules = [fault if isinstance(fault, Fault) else Fault.parse(fault, self._seed) for fault in faults]
        with self._router.lock:
            self._router.faults = FaultInjector(rules)

    def reset(self) -> None:
        """Forget who was told, and the log."""
        self._router.reset()
