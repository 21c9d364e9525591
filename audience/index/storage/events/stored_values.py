"""Distinct values of a property of events, in ascending order: whole numbers, or strings where these are not exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from audience.index.schema.columns import Role
from audience.index.schema.value_types import ValueType, value_type_of
from audience.lazy_imports import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Integers: TypeAlias = "NDArray[np.int64]"

EXACT = Context(prec=64)  # more digits than a 64-bit number has
EPOCH_DAY, EPOCH = date(1970, 1, 1), datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class StoredValues:
    """Sorted distinct values. Each is formatted when it is indexed, in the spelling of a value of an attribute.

    Attributes:
        role: Kind of the values; a Boolean column has the role `tags` and its own name as the only value.
        integers: Values as whole numbers: numbers times 10 ** *scale*, days since 1970, or microseconds since 1970 in
            UTC; None for strings.
        scale: Decimal places of numbers.
        offsets: Where each string starts in *text*, and where the last one ends.
        text: Strings in UTF-8, one after the other.

    >>> values = StoredValues("number", np.array([150, 2025]), 2)
    >>> list(values), values.scaled()[1]
    (['1.5', '20.25'], 2)
    """

    role: Role
    integers: Integers | None = None
    scale: int = 0
    offsets: Integers | None = None
    text: NDArray[np.uint8] | None = None

    @classmethod
    def of_strings(cls, role: Role, strings: list[str]) -> StoredValues:
        """Return *strings*, which are sorted and distinct."""
        encoded = [string.encode() for string in strings]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(role, offsets=offsets, text=np.frombuffer(b"".join(encoded), dtype=np.uint8))

    @property
    def value_type(self) -> ValueType:
        """Return the type of the values."""
        return value_type_of(self.role)

    def scaled(self) -> tuple[Integers, int] | None:
        """Return numbers times 10 ** scale, and the scale; None for other values, or if a number does not fit."""
        return (self.integers, self.scale) if self.role == "number" and self.integers is not None else None

    def __len__(self) -> int:
        if self.integers is not None:
            return len(self.integers)
        assert self.offsets is not None
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, rank: int) -> str:
        if not 0 <= rank < len(self):
            raise IndexError(rank)
        if self.integers is not None:
            return format_integer(int(self.integers[rank]), self.role, self.scale)
        assert self.offsets is not None and self.text is not None
        return self.text[self.offsets[rank] : self.offsets[rank + 1]].tobytes().decode()

    def sort_keys(self) -> list[Any]:
        """Return the key of each value by which values of this type are ordered."""
        return list(map(self.value_type.parse, self))


def format_integer(number: int, role: Role, scale: int = 0) -> str:
    """Return the text of a value that is stored as a whole number.

    >>> format_integer(2050, "number", 2), format_integer(18360, "date"), format_integer(1_500_000, "time")
    ('20.5', '2020-04-08', '1970-01-01T00:00:01.500000Z')
    """
    match role:
        case "date":
            return (EPOCH_DAY + timedelta(number)).isoformat()
        case "time":
            return f"{(EPOCH + timedelta(microseconds=number)).isoformat()}Z"
    if not scale:
        return str(number)
    text = f"{Decimal(number).scaleb(-scale, EXACT):f}"
    return text.rstrip("0").rstrip(".")
