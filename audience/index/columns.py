"""What a column of a device table is."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "id", "alias", "account", "live_activity_id", "tags", "typed", "number", "date", "time", "version"
]
ORDERED: tuple[Role, ...] = ("number", "date", "time", "version")
NAMED: tuple[Role, ...] = ("alias", "account", "live_activity_id")  # ids that several devices may share
ID_WORDS = ("registration_id", "token", "device_id")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its role; *name* is what expressions call it, for an id column the vendor or the kind of id.

    *separator* stands between the tags of a text that holds several.
    """

    source: str
    role: Role
    name: str
    separator: str | None = None

    @property
    def keeps_ids(self) -> bool:
        """Whether it holds what devices are named by, not what is said of them."""
        return self.role == "id" or self.role in NAMED
