"""Parts and batches of a new ledger."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPart:
    """Ids [first, stop) of the plan that get the same message in the same window.

    Attributes:
        first: Position of the first id.
        stop: Position after the last one.
        variant: Variant of the split that they are in.
        language: Language of the message that they get.
        zone: Time zone of their devices.
        opens_at: Unix timestamp before which none of them gets the message; None without such a moment.
    """

    first: int
    stop: int
    variant: str | None = None
    language: str | None = None
    zone: str | None = None
    opens_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBatch:
    """One call: a native request, or the ids [first, stop) of the plan.

    Attributes:
        part: Number of its part, from 1 on.
        native: Number of the native request.
        first: Position of the first id.
        stop: Position after the last one.
        not_before: Unix timestamp before which it is not delivered; None without such a moment.
        at_vendor: Whether the vendor has the call until that moment.
    """

    part: int
    native: int | None = None
    first: int | None = None
    stop: int | None = None
    not_before: float | None = None
    at_vendor: bool = False

    def to_values(self) -> dict[str, float | None]:
        """Return the values of its statement; `asdict` takes three times as long, for a million of them."""
        return {
            "part": self.part,
            "native": self.native,
            "first": self.first,
            "stop": self.stop,
            "not_before": self.not_before,
            "at_vendor": self.at_vendor,
        }


def plan_batches(native_count: int, parts: Sequence[PlannedPart], batch_size: int) -> Iterator[PlannedBatch]:
    """Yield the native requests, then the ids of each part in batches of at most *batch_size*.

    >>> parts = [PlannedPart(first=0, stop=3), PlannedPart(first=3, stop=4)]
    >>> [(each.part, each.first, each.stop) for each in plan_batches(0, parts, 2)]
    [(1, 0, 2), (1, 2, 3), (2, 3, 4)]
    """
    natives = (PlannedBatch(part=1, native=number) for number in range(native_count))
    return chain(natives, _iter_id_batches(parts, batch_size))


def _iter_id_batches(parts: Iterable[PlannedPart], batch_size: int) -> Iterator[PlannedBatch]:
    for number, part in enumerate(parts, start=1):
        for first in range(part.first, part.stop, batch_size):
            yield PlannedBatch(part=number, first=first, stop=min(first + batch_size, part.stop))
