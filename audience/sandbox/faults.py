"""Faults on demand: rules that pick calls by number or by chance."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audience.errors import DeliveryError, Problem

FAULT_KINDS = ("refuse", "fast", "delay", "late", "drop", "error", "error-after", "close")
FAULT_PATTERN = re.compile(
    r"(?P<kind>[a-z-]+)(=(?P<value>[\w.]+))?"
    r"(:(#(?P<nth>[0-9]{1,18})|/(?P<every>[0-9]{1,18})|(?P<share>[0-9]*\.?[0-9]+)))?"
    r"(@(?P<vendor>[a-z]+)(/(?P<endpoint>\S+))?)?"
)
MAX_WAIT_SECONDS = 86_400
FAULT_EXAMPLES = "drop:0.1, refuse=1008007:#3@tpns, delay=2:/10, error=503@emas/MassPush"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault rule; without *nth*, *every* or *share* it applies to every call.

    | kind | effect |
    |---|---|
    | `refuse` | the vendor rejects the call with the code *value* |
    | `fast` | the vendor rejects the call with its rate-limit code |
    | `delay` | the call is processed after *value* seconds |
    | `late` | the call is processed at once, the reply is sent after *value* seconds |
    | `drop` | the call is accepted, and the connection is closed without a reply |
    | `error` | HTTP status *value* instead of processing the call |
    | `error-after` | HTTP status *value* after the call was accepted |
    | `close` | the connection is closed before the call is read |

    *endpoint* matches the end of a path, or the name of an action.

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
        if not all(isinstance(name, str | None) for name in (self.value, self.vendor, self.endpoint)):
            raise _fault_error("value, vendor and endpoint take texts")
        if not all(isinstance(number, int | None) for number in (self.nth, self.every)):
            raise _fault_error("nth and every take whole numbers")
        if not isinstance(self.share, int | float | None):
            raise _fault_error("share takes a number")
        if self.kind not in FAULT_KINDS:
            raise _fault_error(f"unknown fault {self.kind!r}: expected one of {', '.join(FAULT_KINDS)}")
        if self.kind in ("delay", "late") and not _is_wait(self.value):
            raise _fault_error(f"{self.kind} takes seconds up to {MAX_WAIT_SECONDS:,}, as in {self.kind}=2")
        if self.kind.startswith("error") and not re.fullmatch(r"5[0-9]{2}", self.value or "500"):
            raise _fault_error(f"{self.kind} takes an HTTP status from 500 to 599, not {self.value}")
        if sum(limit is not None for limit in (self.nth, self.every, self.share)) > 1:
            raise _fault_error("a fault takes one of nth, every and share")
        if min(self.nth or 1, self.every or 1) < 1 or 0 in (self.nth, self.every) or not 0 <= (self.share or 0) <= 1:
            raise _fault_error("nth and every start at 1, share is between 0 and 1")

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> "Fault":
        """Parse `KIND[=VALUE][:SHARE | :#NTH | :/EVERY][@VENDOR[/ENDPOINT]]`.

        Raises:
            DeliveryError: *text* is not of that form.
        """
        if not (match := FAULT_PATTERN.fullmatch(text)):
            raise _fault_error(f"invalid fault {text!r}")
        words = match.groupdict()
        nth, every = (int(words[name]) if words[name] else None for name in ("nth", "every"))
        share = float(words["share"]) if words["share"] else None
        return cls(words["kind"], words["value"], words["vendor"], words["endpoint"], nth, every, share, seed)

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | str) -> "Fault":
        """Return a fault from JSON: a string as `parse` reads it, or an object with the fields."""
        if isinstance(value, str):
            return cls.parse(value)
        try:
            values: dict[str, Any] = {name: str(part) if name == "value" else part for name, part in value.items()}
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise _fault_error(f"invalid fault {value!r}") from error

    def applies_to(self, vendor: str, endpoint: str) -> bool:
        """Return whether calls to *endpoint* of *vendor* are counted by this rule."""
        matches = self.endpoint is None or endpoint.endswith(self.endpoint)
        return matches and self.vendor in (None, vendor)


@dataclass
class FaultInjector:
    """Fault rules in use: each has its own call counter and its own random generator."""

    rules: Sequence[Fault] = ()
    call_counts: list[int] = field(init=False)
    generators: list[random.Random] = field(init=False)

    def __post_init__(self) -> None:
        self.call_counts = [0] * len(self.rules)
        self.generators = [random.Random(f"{rule.seed} {number}") for number, rule in enumerate(self.rules)]

    def pick_faults(self, vendor: str, endpoint: str) -> list[Fault]:
        """Return the faults of the next call.

        >>> faults = FaultInjector([Fault.parse("drop:/2")])
        >>> [len(faults.pick_faults("tpns", "/v3/push/app")) for _ in range(4)]
        [0, 1, 0, 1]
        """
        faults = []
        for number, rule in enumerate(self.rules):
            if rule.applies_to(vendor, endpoint):
                self.call_counts[number] += 1
                if self._is_hit(number, rule):
                    faults.append(rule)
        return faults

    def _is_hit(self, number: int, rule: Fault) -> bool:
        seen = self.call_counts[number]
        if rule.share is not None:
            return self.generators[number].random() < rule.share
        return seen == rule.nth if rule.nth else seen % (rule.every or 1) == 0


def _is_wait(text: str | None) -> bool:
    return re.fullmatch(r"[0-9]*\.?[0-9]+", text or "") is not None and float(text or 0) <= MAX_WAIT_SECONDS


def _fault_error(message: str) -> DeliveryError:
    return DeliveryError(Problem("bad-fault", message, hint=f"for example {FAULT_EXAMPLES}"))
