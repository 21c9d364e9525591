"""Sandbox as a context manager: a server in a thread."""

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
from audience.sandbox.router import Router, list_deliveries, list_log_entries, list_tags, summarize_deliveries
from audience.sandbox.vendor_state import DEFAULT_TAG_DELAY, HOST, KEY, SECRET

__all__ = ["KEY", "SECRET", "Sandbox"]


class Sandbox:
    """Emulated vendors on a loopback port, running inside a `with` block.

    Args:
        population: Devices known to all vendors, or a mapping from vendor to devices.
        faults: Fault rules that apply from the start.
        seed: Seed of faults that apply by chance.
        key: Only key that may call; any may if None. Signatures are then checked for KEY and SECRET.
        secret: Secret of that key.
        rate: Factor on the documented rate limits; None lifts them.
        port: Port to listen on; 0 picks a free one.
        clock: Returns the Unix time in seconds. Rate limits, scheduled deliveries, the ages of calls and the windows in
            which repeats are dropped use it; only the waits of the faults `delay` and `late` are real seconds.
        tag_quota: Factor on the documented numbers of tags and of devices of a tag; None lifts them.
        tag_delay: Seconds until the pushes of EMAS follow a change of tags, of which it says "within ten minutes".

    Raises:
        DeliveryError: The port is taken.

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
        clock: Callable[[], float] = time.time,
        tag_quota: float | None = 1.0,
        tag_delay: float = DEFAULT_TAG_DELAY,
    ):
        self._router = Router(population, key, secret, rate, clock, tag_quota, tag_delay)
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
        from audience.sandbox.server import serve  # aiohttp is slow to import, and most commands do not serve

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await serve(self._router, self._port, self._on_listening, self._stop)
        except OSError as error:
            self._start_error = error
        finally:
            self._ready.set()  # also after a failed start, so that __enter__ returns

    def _on_listening(self, port: int) -> None:
        self._port = port
        self._ready.set()

    @property
    def url(self) -> str:
        """URL that clients of every vendor are pointed to."""
        return f"http://{HOST}:{self._port}"

    @property
    def vendors(self) -> list[str]:
        """Names of the emulated vendors."""
        return list(self._router.states)

    def delivery_counts(self, vendor: str, message_id: str | None = None) -> dict[str, int]:
        """Return the number of deliveries by id, of one message or of all, without ids that received none."""
        state = self._router.states[resolve_vendor_name(vendor, self._router)]
        with self._router.lock:
            return state.delivery_log.flush_due().counts_by_id(message_id)

    def summary(self, vendor: str) -> dict[str, Any]:
        """Return the delivery counts of *vendor*, as `GET /_sandbox/delivered` shows them."""
        return summarize_deliveries(self._router, resolve_vendor_name(vendor, self._router))

    def deliveries(self, vendor: str, message_id: str | None = None) -> list[dict[str, Any]]:
        """Return the deliveries of *vendor*, as `GET /_sandbox/deliveries` shows them: whom, when and with what."""
        return list_deliveries(self._router, resolve_vendor_name(vendor, self._router), message_id)

    def tags(self, vendor: str) -> dict[str, list[str]]:
        """Return the ids of the devices with each tag at *vendor*, without tags that no device has."""
        return list_tags(self._router, resolve_vendor_name(vendor, self._router))

    def log(self, vendor: str | None = None) -> list[dict[str, Any]]:
        """Return the logged calls, the oldest first."""
        return list_log_entries(self._router, vendor and resolve_vendor_name(vendor, self._router))

    def set_faults(self, *faults: Fault | str) -> None:
        """Replace the current faults."""
        rules = [fault if isinstance(fault, Fault) else Fault.parse(fault, self._seed) for fault in faults]
        with self._router.lock:
            self._router.faults = FaultInjector(rules)

    def reset(self) -> None:
        """Forget deliveries, changes of tags and the log."""
        self._router.reset()
