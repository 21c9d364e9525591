"""All vendors at work: each call finds its vendor, meets its faults, is answered, and is written down."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Lock
from types import ModuleType

from audience.sandbox.faults import Fault, FaultInjector
from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population import VENDORS, Population
from audience.sandbox.rate_limits import SlidingWindowLimiter
from audience.sandbox.vendor_state import VendorState
from audience.sandbox.vendors import emas, engagelab, jpush, tpns

VENDOR_MODULES: Mapping[str, ModuleType] = {"engagelab": engagelab, "jpush": jpush, "tpns": tpns, "emas": emas}
VENDOR_BY_PATH = {path: vendor for vendor, module in VENDOR_MODULES.items() for path in module.PATHS}
MAX_LOG_ENTRIES = 100_000  # entries


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One call: *code* is the vendor's, "" for yes; *message* what it sent, to *devices* devices; *faults* it met."""

    number: int
    at: str
    vendor: str
    endpoint: str
    status: int
    code: str
    message: str
    devices: int
    faults: tuple[str, ...]


@dataclass
class Router:
    """The vendors' desks over one population, or one for each vendor; the lock is for readers of other threads."""

    population: Population | Mapping[str, Population]
    key: str | None = None
    secret: str | None = None
    rate: float | None = 1.0
    clock: Callable[[], float] = time.monotonic
    faults: FaultInjector = field(default_factory=FaultInjector)
    lock: Lock = field(default_factory=Lock)
    states: dict[str, VendorState] = field(init=False)
    log_entries: deque[LogEntry] = field(init=False)
    call_count: int = 0

    def __post_init__(self) -> None:
        self.log_entries = deque(maxlen=MAX_LOG_ENTRIES)
        self.states = {}
        for vendor in VENDORS:
            people = self.population if isinstance(self.population, Population) else self.population.get(vendor)
            if people is not None:
                people.rows_by_id(vendor)  # the first call should not wait for it
                rates = SlidingWindowLimiter(self.clock, self.rate)
                self.states[vendor] = VendorState(vendor, people, self.clock, rates, self.key, self.secret)

    def vendor_for_path(self, path: str) -> str | None:
        """Whose endpoint *path* is."""
        vendor = VENDOR_BY_PATH.get(path)
        return vendor if vendor in self.states else None

    def pick_faults(self, vendor: str, call: HttpCall) -> list[Fault]:
        """The faults that *call* meets."""
        with self.lock:
            return self.faults.pick_faults(vendor, endpoint_name(vendor, call))

    def handle_call(self, vendor: str, call: HttpCall, faults: Sequence[Fault]) -> HttpReply:
        """What *vendor* says to *call*; what it accepts is told at once."""
        module, desk = VENDOR_MODULES[vendor], self.states[vendor]
        with self.lock:
            desk.delivery_log.flush_due()
            try:
                reply = _preempting_reply(module, call, faults) or module.handle_call(call, desk)
            except VendorRefusal as no:
                reply = module.build_refusal(no, call)
        return _apply_error_after(module, call, faults, reply)

    def log_call(self, vendor: str, call: HttpCall, reply: HttpReply | None, faults: Sequence[Fault]) -> None:
        """Write *call* down; without a *reply* it was not read."""
        told = reply or HttpReply(0, {})
        names = tuple(fault.kind for fault in faults)
        with self.lock:
            self.call_count += 1
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            facts = (told.status, told.code, told.message_id, told.device_count, names)
            self.log_entries.append(LogEntry(self.call_count, at, vendor, endpoint_name(vendor, call), *facts))

    def reset(self) -> None:
        """Forget who was told, the log, rates and what faults have counted; the faults stay."""
        with self.lock:
            for desk in self.states.values():
                desk.reset()
            self.log_entries.clear()
            self.call_count = 0
            self.faults = FaultInjector(self.faults.rules)


def endpoint_name(vendor: str, call: HttpCall) -> str:
    """What faults and the log call it: the action, or else the path."""
    return emas.action_name(call) if vendor == "emas" else call.path


def _preempting_reply(module: ModuleType, call: HttpCall, faults: Sequence[Fault]) -> HttpReply | None:
    """What is said in place of an answer."""
    for fault in faults:
        match fault.kind:
            case "refuse" | "fast":
                code = fault.value or (
                    module.DEFAULT_REFUSAL_CODE if fault.kind == "refuse" else module.RATE_LIMIT_CODE
                )
                reply: HttpReply = module.build_refusal(VendorRefusal(code, f"{fault.kind}, as was asked for"), call)
                return reply
            case "error":
                failed: HttpReply = module.build_failure(int(fault.value or 500), call)
                return failed
    return None


def _apply_error_after(module: ModuleType, call: HttpCall, faults: Sequence[Fault], reply: HttpReply) -> HttpReply:
    """What is said after all: a failure, though the call was accepted."""
    for fault in faults:
        if fault.kind == "error-after" and not reply.code:
            failed: HttpReply = module.build_failure(int(fault.value or 500), call)
            return HttpReply(failed.status, failed.body, failed.code, reply.message_id, reply.device_count)
    return reply


def summarize_deliveries(router: Router, vendor: str) -> JsonObject:
    """How many devices *vendor* has told."""
    with router.lock:
        return {**router.states[vendor].delivery_log.flush_due().summarize()}


def list_log_entries(router: Router, vendor: str | None = None) -> list[JsonObject]:
    """The log, of one *vendor* or of all, the oldest call first."""
    with router.lock:
        return [asdict(entry) for entry in router.log_entries if vendor in (None, entry.vendor)]
