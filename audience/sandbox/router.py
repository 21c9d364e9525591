"""Route calls to the emulated vendors, apply faults, and keep the log."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock

from audience.sandbox.endpoints import Endpoints, emulated_vendors
from audience.sandbox.faults import Fault, FaultInjector
from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population import Population
from audience.sandbox.rate_limits import SlidingWindowLimiter
from audience.sandbox.vendor_state import DEFAULT_TAG_DELAY, VendorState

MAX_LOG_ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One call in the log.

    *code* is the vendor's error code, empty on success; *faults* are the kinds applied; *ignored* are parameters that
    the vendor does not know and takes without a word.
    """

    number: int
    at: str
    vendor: str
    endpoint: str
    status: int
    code: str
    message: str
    devices: int
    faults: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass
class Router:
    """Emulated vendors over one population, or one population for each vendor.

    The lock guards readers in other threads.
    """

    population: Population | Mapping[str, Population]
    key: str | None = None
    secret: str | None = None
    rate: float | None = 1.0
    clock: Callable[[], float] = time.time
    tag_quota: float | None = 1.0
    tag_delay: float = DEFAULT_TAG_DELAY
    faults: FaultInjector = field(default_factory=FaultInjector)
    lock: Lock = field(default_factory=Lock)
    endpoints: dict[str, Endpoints] = field(default_factory=emulated_vendors)
    vendor_by_path: dict[str, str] = field(init=False)
    states: dict[str, VendorState] = field(init=False)
    log_entries: deque[LogEntry] = field(init=False)
    call_count: int = 0

    def __post_init__(self) -> None:
        self.log_entries = deque(maxlen=MAX_LOG_ENTRIES)
        self.vendor_by_path = {path: name for name, module in self.endpoints.items() for path in module.PATHS}
        self.states = {}
        for vendor in self.endpoints:
            population = self.population if isinstance(self.population, Population) else self.population.get(vendor)
            if population is not None:
                population.rows_by_id(vendor)  # built now, so that the first call does not wait for it
                limiter = SlidingWindowLimiter(self.clock, self.rate)
                credentials = (self.key, self.secret)
                self.states[vendor] = VendorState(
                    vendor,
                    population,
                    self.clock,
                    limiter,
                    *credentials,
                    tag_quota=self.tag_quota,
                    tag_delay=self.tag_delay,
                )

    def vendor_for_path(self, path: str) -> str | None:
        """Return the vendor that serves *path*, or None."""
        vendor = self.vendor_by_path.get(path)
        if vendor is None:
            places = (pattern for pattern in self.vendor_by_path if pattern.endswith("/*"))
            longest = max((each for each in places if path.startswith(each[:-1])), key=len, default="")
            vendor = self.vendor_by_path.get(longest)
        return vendor if vendor in self.states else None

    def pick_faults(self, vendor: str, call: HttpCall) -> list[Fault]:
        """Return the faults that apply to *call*."""
        with self.lock:
            return self.faults.pick_faults(vendor, self.endpoints[vendor].endpoint_name(call))

    def handle_call(self, vendor: str, call: HttpCall, faults: Sequence[Fault]) -> HttpReply:
        """Return the reply of *vendor* to *call*; accepted messages are delivered at once."""
        module, state = self.endpoints[vendor], self.states[vendor]
        with self.lock:
            state.delivery_log.flush_due()
            try:
                reply = _preempting_reply(module, call, faults) or module.handle_call(call, state)
            except VendorRefusal as refusal:
                reply = module.build_refusal(refusal, call)
        return _apply_error_after(module, call, faults, reply)

    def log_call(self, vendor: str, call: HttpCall, reply: HttpReply | None, faults: Sequence[Fault]) -> None:
        """Add *call* to the log; without a *reply* it was not read."""
        logged = reply or HttpReply(0, {})
        names = tuple(fault.kind for fault in faults)
        with self.lock:
            self.call_count += 1
            at = datetime.fromtimestamp(self.clock(), UTC).isoformat(timespec="milliseconds")
            endpoint = self.endpoints[vendor].endpoint_name(call)
            outcome = (logged.status, logged.code, logged.message_id, logged.device_count, names, logged.ignored)
            self.log_entries.append(LogEntry(self.call_count, at, vendor, endpoint, *outcome))

    def reset(self) -> None:
        """Forget deliveries, changes of tags, log, rate limits and the counters of faults; the faults remain."""
        with self.lock:
            for state in self.states.values():
                state.reset()
            self.log_entries.clear()
            self.call_count = 0
            self.faults = FaultInjector(self.faults.rules)


def _preempting_reply(module: Endpoints, call: HttpCall, faults: Sequence[Fault]) -> HttpReply | None:
    """Return the reply of a fault that replaces processing, if there is one."""
    for fault in faults:
        match fault.kind:
            case "refuse" | "fast":
                code = fault.value or (
                    module.DEFAULT_REFUSAL_CODE if fault.kind == "refuse" else module.RATE_LIMIT_CODE
                )
                return module.build_refusal(VendorRefusal(code, f"injected fault: {fault.kind}"), call)
            case "error":
                return module.build_failure(int(fault.value or 500), call)
    return None


def _apply_error_after(module: Endpoints, call: HttpCall, faults: Sequence[Fault], reply: HttpReply) -> HttpReply:
    """Return *reply*, or a failure in its place if a fault asks for one after acceptance."""
    for fault in faults:
        if fault.kind == "error-after" and not reply.code:
            failure = module.build_failure(int(fault.value or 500), call)
            return replace(failure, message_id=reply.message_id, device_count=reply.device_count)
    return reply


def summarize_deliveries(router: Router, vendor: str) -> JsonObject:
    """Return the delivery counts of *vendor*."""
    with router.lock:
        return {**router.states[vendor].delivery_log.flush_due().summarize()}


def list_deliveries(router: Router, vendor: str, message_id: str | None = None) -> list[JsonObject]:
    """Return the deliveries of *vendor*, of one message or of all, in the order of the calls."""
    with router.lock:
        return list(router.states[vendor].delivery_log.flush_due().list_deliveries(message_id))


def list_tags(router: Router, vendor: str) -> dict[str, list[str]]:
    """Return the ids of the devices with each tag at *vendor*, without tags that no device has."""
    with router.lock:
        state = router.states[vendor]
        rows = {name: state.tags.rows_with_tag(name) for name in state.tags.names()}
        return {name: state.population.ids_of_rows(vendor, each) for name, each in rows.items() if len(each)}


def list_log_entries(router: Router, vendor: str | None = None) -> list[JsonObject]:
    """Return the log of one vendor or of all, the oldest call first."""
    with router.lock:
        return [asdict(entry) for entry in router.log_entries if vendor in (None, entry.vendor)]
