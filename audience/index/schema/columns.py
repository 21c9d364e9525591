"""Columns of a device table and their roles."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.language.ast import Ids

Role: TypeAlias = Literal[
    "id", "alias", "account", "live_activity_id", "tags", "string", "number", "date", "time", "version"
]
SHARED_ID_ROLES: tuple[Role, ...] = ("alias", "account", "live_activity_id")  # ids that several devices may share
GENERIC_ID_COLUMNS = ("registration_id", "token", "device_id")


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a device table and its role.

    Attributes:
        name_in_table: Name of the column in the table.
        role: Kind of data in the column.
        name: Name in expressions; of a column of device ids, the vendor or the generic id name.
        separator: Separator between the tags of a string column.
    """

    name_in_table: str
    role: Role
    name: str
    separator: str | None = None

    @property
    def is_id(self) -> bool:
        """Return whether the column holds ids rather than attributes."""
        return self.role == "id" or self.role in SHARED_ID_ROLES


def select_id_columns(ids: Ids, names: Iterable[str]) -> list[str]:
    """Return the id columns among *names* that hold ids of the kind of *ids*."""
    prefix = "id:" if ids.kind == "registration_id" else f"{ids.kind}:"
    return [name for name in names if name.startswith(prefix)]


def rank_id_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of device ids among *names*, generic ones first."""
    own = [name for name in names if name.startswith("id:")]
    words = [f"id:{word}" for word in GENERIC_ID_COLUMNS if f"id:{word}" in own]
    return [*words, *(name for name in sorted(own) if name not in words)]
