"""All vendors at work: each call finds its vendor, meets its faults, is answered, and is written down."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Lock
from types import ModuleType

from audience.sandbox.faults import Fault, Faults
from audience.sandbox.http_types import JSON, Call, Refused, Reply
from audience.sandbox.population import VENDORS, Population
from audience.sandbox.rate_limits import Rates
from audience.sandbox.vendor_state import Desk
from audience.sandbox.vendors import emas, engagelab, jpush, tpns

MODULES: Mapping[str, ModuleType] = {"engagelab": engagelab, "jpush": jpush, "tpns": tpns, "emas": emas}
BY_PATH = {path: vendor for vendor, module in MODULES.items() for path in module.PATHS}
LONGEST_LOG = 100_000  # entries


@dataclass(frozen=True, slots=True)
class Entry:
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
class Desks:
    """The vendors' desks over one population, or one for each vendor; the lock is for readers of other threads."""

    population: Population | Mapping[str, Population]
    key: str | None = None
    secret: str | None = None
    rate: float | None = 1.0
    clock: Callable[[], float] = time.monotonic
    faults: Faults = field(default_factory=Faults)
    lock: Lock = field(default_factory=Lock)
    desks: dict[str, Desk] = field(init=False)
    log: deque[Entry] = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        self.log = deque(maxlen=LONGEST_LOG)
        self.desks = {}
        for vendor in VENDORS:
            people = self.population if isinstance(self.population, Population) else self.population.get(vendor)
            if people is not None:
                people.ids(vendor)  # the first call should not wait for it
                rates = Rates(self.clock, self.rate)
                self.desks[vendor] = Desk(vendor, people, self.clock, rates, self.key, self.secret)

    def vendor(self, path: str) -> str | None:
        """Whose endpoint *path* is."""
        vendor = BY_PATH.get(path)
        return vendor if vendor in self.desks else None

    def pick(self, vendor: str, call: Call) -> list[Fault]:
        """The faults that *call* meets."""
        with self.lock:
            return self.faults.pick(vendor, endpoint(vendor, call))

    def answer(self, vendor: str, call: Call, picked: Sequence[Fault]) -> Reply:
        """What *vendor* says to *call*; what it accepts is told at once."""
        module, desk = MODULES[vendor], self.desks[vendor]
        with self.lock:
            desk.told.settle()
            try:
                reply = _instead(module, call, picked) or module.answer(call, desk)
            except Refused as no:
                reply = module.refusal(no, call)
        return _after(module, call, picked, reply)

    def write(self, vendor: str, call: Call, reply: Reply | None, picked: Sequence[Fault]) -> None:
        """Write *call* down; without a *reply* it was not read."""
        told = reply or Reply(0, {})
        names = tuple(fault.kind for fault in picked)
        with self.lock:
            self.calls += 1
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            facts = (told.status, told.code, told.message, told.devices, names)
            self.log.append(Entry(self.calls, at, vendor, endpoint(vendor, call), *facts))

    def reset(self) -> None:
        """Forget who was told, the log, rates and what faults have counted; the faults stay."""
        with self.lock:
            for desk in self.desks.values():
                desk.reset()
            self.log.clear()
            self.calls = 0
            self.faults = Faults(self.faults.rules)


def endpoint(vendor: str, call: Call) -> str:
    """What faults and the log call it: the action, or else the path."""
    return emas.endpoint(call) if vendor == "emas" else call.path


def _instead(module: ModuleType, call: Call, picked: Sequence[Fault]) -> Reply | None:
    """What is said in place of an answer."""
    for fault in picked:
        match fault.kind:
            case "refuse" | "fast":
                code = fault.value or (module.REFUSAL if fault.kind == "refuse" else module.TOO_FAST)
                reply: Reply = module.refusal(Refused(code, f"{fault.kind}, as was asked for"), call)
                return reply
            case "error":
                failed: Reply = module.failure(int(fault.value or 500), call)
                return failed
    return None


def _after(module: ModuleType, call: Call, picked: Sequence[Fault], reply: Reply) -> Reply:
    """What is said after all: a failure, though the call was accepted."""
    for fault in picked:
        if fault.kind == "error-after" and not reply.code:
            failed: Reply = module.failure(int(fault.value or 500), call)
            return Reply(failed.status, failed.body, failed.code, reply.message, reply.devices)
    return reply


def summary(desks: Desks, vendor: str) -> JSON:
    """How many devices *vendor* has told."""
    with desks.lock:
        return {**desks.desks[vendor].told.settle().summary()}


def entries(desks: Desks, vendor: str | None = None) -> list[JSON]:
    """The log, of one *vendor* or of all, the oldest call first."""
    with desks.lock:
        return [asdict(entry) for entry in desks.log if vendor in (None, entry.vendor)]
