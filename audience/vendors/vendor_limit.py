"""Limit of a vendor, with the page that states it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VendorLimit:
    """Limit set by a vendor.

    Attributes:
        maximum: Largest number allowed; None if no page documents one.
        source: URL of the page that documents it.
    """

    maximum: int | None
    source: str

    def is_exceeded_by(self, count: int) -> bool:
        """Return whether *count* is more than the maximum."""
        return self.maximum is not None and count > self.maximum
