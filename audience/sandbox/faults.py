"""What goes wrong on demand: rules that pick requests, by their number or by chance."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience.errors import DeliveryError, Problem

FAULT_KINDS = ("refuse", "fast", "delay", "late", "drop", "error", "error-after", "close")
FAULT_PATTERN = re.compile(
    r"(?P<kind>[a-z-]+)(=(?P<value>[\w.]+))?"
    r"(:(#(?P<nth>\d+)|/(?P<every>\d+)|(?P<share>\d*\.?\d+)))?"
    r"(@(?P<vendor>[a-z]+)(/(?P<endpoint>\S+))?)?"
)
FAULT_EXAMPLES = "drop:0.1, refuse=1008007:#3@tpns, delay=2:/10, error=503@emas/MassPush"


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule; requests that it does not pick pass by. Without *nth*, *every* or *share* it picks all.

    refuse: the vendor says no, with the code *value* · fast: it says "too fast" · delay: *value* seconds pass before
    it looks at the request, late: after it has accepted · drop: it accepts, and the connection ends without an answer ·
    error, error-after: HTTP status *value*, before or after it accepts · close: the connection ends before it is read.

    *endpoint* is the end of a path or the name of an action.

    >>> Fault.parse("refuse=1008007:#3@tpns")
    Fault(kind='refuse', value='1008007', vendor='tpns', endpoint=None, nth=3, every=None, share=None, seed=0)
    """

    kind: str
    value: str | None = None
    vendor: str | None = None
    endpoint: str | None = None
    nth: int | None = None
    every: int | None = None
    share: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(each, int | None) for each in (self.nth, self.every)):
            raise _fault_error("requests are counted in whole numbers")
        if not isinstance(self.share, int | float | None):
            raise _fault_error("a share is a number")
        if self.kind not in FAULT_KINDS:
            raise _fault_error(f"there is no fault {self.kind!r}: {', '.join(FAULT_KINDS)}")
        if self.kind in ("delay", "late") and not _is_number(self.value):
            raise _fault_error(f"{self.kind} needs its seconds, {self.kind}=2")
        if self.kind.startswith("error") and not re.fullmatch(r"5\d\d", self.value or "500"):
            raise _fault_error(f"{self.kind} is of a status from 500 on, not {self.value}")
        if sum(each is not None for each in (self.nth, self.every, self.share)) > 1:
            raise _fault_error("a fault picks requests in one way: nth, every or share")
        if 0 in (self.nth, self.every) or not 0 <= (self.share or 0) <= 1:
            raise _fault_error("requests are counted from 1, a share is between 0 and 1")

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Fault":
        """KIND[=VALUE][:SHARE | :#NTH | :/EVERY][@VENDOR[/ENDPOINT]]; DeliveryError where it is not of that form."""
        if not (found := FAULT_PATTERN.fullmatch(text)):
            raise _fault_error(f"{text!r} is no fault")
        words = found.groupdict()
        nth, every = (int(words[name]) if words[name] else None for name in ("nth", "every"))
        share = float(words["share"]) if words["share"] else None
        return cls(words["kind"], words["value"], words["vendor"], words["endpoint"], nth, every, share, seed)

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | str) -> "Fault":
        """A fault out of JSON: a text as `read` takes it, or its fields."""
        if isinstance(value, str):
            return cls.parse(value)
        try:
            known: dict[str, Any] = {name: str(each) if name == "value" else each for name, each in value.items()}
            return cls(**known)
        except (TypeError, AttributeError) as error:
            raise _fault_error(f"{value!r} is no fault") from error

    def applies_to(self, vendor: str, endpoint: str) -> bool:
        """Whether requests to *endpoint* of *vendor* are counted at all."""
        ours = self.endpoint is None or endpoint.endswith(self.endpoint)
        return ours and self.vendor in (None, vendor)


@dataclass
class FaultInjector:
    """Rules at work: each counts the requests that concern it, and has its own chance."""

    rules: Sequence[Fault] = ()
    call_counts: list[int] = field(init=False)
    generators: list[random.Random] = field(init=False)

    def __post_init__(self) -> None:
        self.call_counts = [0] * len(self.rules)
        self.generators = [random.Random(f"{rule.seed} {number}") for number, rule in enumerate(self.rules)]

    def pick_faults(self, vendor: str, endpoint: str) -> list[Fault]:
        """The faults that the next request meets.

        >>> faults = FaultInjector([Fault.parse("drop:/2")])
        >>> [len(faults.pick_faults("tpns", "/v3/push/app")) for _ in range(4)]
        [0, 1, 0, 1]
        """
        found = []
        for number, rule in enumerate(self.rules):
            if rule.applies_to(vendor, endpoint):
                self.call_counts[number] += 1
                if self._is_hit(number, rule):
                    found.append(rule)
        return found

    def _is_hit(self, number: int, rule: Fault) -> bool:
        seen = self.call_counts[number]
        if rule.share is not None:
            return self.generators[number].random() < rule.share
        return seen == rule.nth if rule.nth else seen % (rule.every or 1) == 0


def _is_number(text: str | None) -> bool:
    return re.fullmatch(r"\d*\.?\d+", text or "") is not None


def _fault_error(message: str) -> DeliveryError:
    return DeliveryError(Problem("bad-fault", message, hint=f"for example {FAULT_EXAMPLES}"))
