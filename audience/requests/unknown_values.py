"""Devices whose language or time zone is not known, counted while an audience is divided, and what becomes of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TypeAlias

from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.requests.division import Division

MAX_EXAMPLES = 3  # of values that a problem shows

ValueCounts: TypeAlias = Counter[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownValues:
    """Numbers of devices.

    Attributes:
        devices: All devices.
        several: Devices with several values, by attribute.
        no_zone: Devices without a time zone.
        bad_zones: Devices by the value that is no time zone.
        bad_languages: Devices by the value that is no language.
    """

    devices: int = 0
    several: ValueCounts = field(default_factory=Counter)
    no_zone: int = 0
    bad_zones: ValueCounts = field(default_factory=Counter)
    bad_languages: ValueCounts = field(default_factory=Counter)

    def __add__(self, other: "UnknownValues") -> "UnknownValues":
        """Return the sum of both."""
        return UnknownValues(**{name: getattr(self, name) + getattr(other, name) for name in UnknownValues.__slots__})

    def require_zones(self, division: Division) -> None:
        """Raise PlanError if a device has several values, or no known zone although there is no default."""
        problems = [*self._several_problems()]
        if division.timezone_default is None:
            problems += self._zone_problems(division)
        if problems:
            raise PlanError(*problems)

    def notes(self, division: Division) -> Iterator[Problem]:
        """Yield what devices get whose language or zone is not known."""
        if self.bad_languages:
            count, examples = self._count(self.bad_languages.total()), _examples(self.bad_languages)
            message = f"{division.language_of}: {count} have what is no language: {examples}"
            yield Problem("unknown-language", f"{message}; they get the message itself")
        for problem in self._zone_problems(division):
            yield Problem(problem.code, f"{problem.message}; they count as in {division.timezone_default}")

    def _several_problems(self) -> Iterator[Problem]:
        hint = "divide by an attribute with one value for each device"
        for name, count in self.several.items():
            yield Problem("several-values", f"{name}: {self._count(count)} have several values", hint=hint)

    def _zone_problems(self, division: Division) -> Iterator[Problem]:
        hint = "name the zone of these devices with --timezone-default ZONE, or leave them out of the audience"
        if self.no_zone:
            message = f"{division.timezone_of}: {self._count(self.no_zone)} have no time zone"
            yield Problem("no-timezone", message, hint=hint)
        if self.bad_zones:
            count, examples = self._count(self.bad_zones.total()), _examples(self.bad_zones)
            message = f"{division.timezone_of}: {count} have what is no time zone: {examples}"
            yield Problem("unknown-timezone", message, hint=hint)

    def _count(self, count: int) -> str:
        return f"{count:,} of {format_count(self.devices, 'device')}"


def sum_unknown(counts: list[UnknownValues]) -> UnknownValues:
    """Return the sum of the counts of several shards."""
    return reduce(add, counts, UnknownValues())


def _examples(counts: ValueCounts) -> str:
    shown = [f"{value!r:.40} ({count:,})" for value, count in counts.most_common(MAX_EXAMPLES)]
    return ", ".join([*shown, *(["…"] if len(counts) > MAX_EXAMPLES else [])])
