"""What a column of a device table is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.language.ast import Ids

Role: TypeAlias = Literal[
    "id", "alias", "account", "live_activity_id", "tags", "typed", "number", "date", "time", "version"
]
ORDERED_ROLES: tuple[Role, ...] = ("number", "date", "time", "version")
SHARED_ID_ROLES: tuple[Role, ...] = ("alias", "account", "live_activity_id")  # ids that several devices may share
GENERIC_ID_COLUMNS = ("registration_id", "token", "device_id")


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its role; *name* is what expressions call it, for an id column the vendor or the kind of id.

    *separator* stands between the tags of a text that holds several.
    """

    name_in_table: str
    role: Role
    name: str
    separator: str | None = None

    @property
    def is_id(self) -> bool:
        """Whether it holds what devices are named by, not what is said of them."""
        return self.role == "id" or self.role in SHARED_ID_ROLES


def select_id_columns(ids: Ids, names: Iterable[str]) -> list[str]:
    """Which of the columns of ids *names* hold ids of that kind."""
    prefix = "id:" if ids.kind == "registration_id" else f"{ids.kind}:"
    return [name for name in names if name.startswith(prefix)]


def rank_id_columns(names: Iterable[str]) -> list[str]:
    """The columns of devices' own ids among *names*: those of no vendor first."""
    own = [name for name in names if name.startswith("id:")]
    words = [f"id:{word}" for word in GENERIC_ID_COLUMNS if f"id:{word}" in own]
    return [*words, *(name for name in sorted(own) if name not in words)]
