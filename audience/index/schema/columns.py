"""Columns of a device table and their roles."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from audience.language.ast import ID_KINDS

Role: TypeAlias = Literal[
    "id", "alias", "account", "live_activity_id", "tags", "string", "number", "date", "time", "version"
]
TEXT_ROLES: tuple[Role, ...] = ("string", "tags", "version")
SHARED_ID_ROLES: tuple[Role, ...] = ("alias", "account", "live_activity_id")  # ids that several devices may share
GENERIC_ID_COLUMNS = ("registration_id", "token", "device_id")
KEY_COLUMN = "key"  # name of the ids that are the table's own, and of no vendor


@dataclass(frozen=True, slots=True)
class IdColumn:
    """Column of ids of an index.

    Attributes:
        kind: `id` for the ids of single devices, else the kind of the shared ids.
        name: Vendor or generic name of the ids of single devices, else the same as *kind*.
        name_in_table: Name of the column in the table, unless it was read from a shard, which does not store it.
    """

    kind: str
    name: str
    name_in_table: str = field(default="", compare=False)

    @classmethod
    def from_stored_name(cls, stored_name: str) -> "IdColumn":
        """Return the column that shards store under this name."""
        kind, _, name = stored_name.partition(":")
        return cls(kind, name)

    @property
    def stored_name(self) -> str:
        """Return the name under which shards store the column.

        >>> IdColumn("id", "tpns").stored_name
        'id:tpns'
        """
        return f"{self.kind}:{self.name}"

    @property
    def is_device_id(self) -> bool:
        """Return whether each id belongs to one device."""
        return self.kind == "id"


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a device table and its role.

    Attributes:
        name_in_table: Name of the column in the table.
        role: Kind of data in the column.
        name: Name in expressions; of a column of device ids, the vendor or the generic id name.
        separator: Separator between the values of a string column that is read as a list.
        has_cut_moments: Whether moments of the column were cut to days in the time zone of the index.
    """

    name_in_table: str
    role: Role
    name: str
    separator: str | None = None
    has_cut_moments: bool = field(default=False, compare=False)

    @property
    def is_id(self) -> bool:
        """Return whether the column holds ids rather than attributes."""
        return self.role == "id" or self.role in SHARED_ID_ROLES

    @property
    def id_column(self) -> IdColumn:
        """Return the id column of the index that holds this column, which must hold ids."""
        return IdColumn(self.role, self.name, self.name_in_table)


def select_id_columns(kind: str, columns: Iterable[IdColumn]) -> list[IdColumn]:
    """Return the columns that *kind* names in an expression: all columns of a kind of ids, or the column of that name.

    >>> columns = [IdColumn("id", "tpns", "tpns_token"), IdColumn("id", "key", "customer"), IdColumn("alias", "alias")]
    >>> [[column.name for column in select_id_columns(kind, columns)] for kind in ("registration_id", "tpns_token")]
    [['tpns', 'key'], ['tpns']]
    """
    if kind in ID_KINDS:
        stored_kind = "id" if kind == "registration_id" else kind
        return [column for column in columns if column.kind == stored_kind]
    columns = list(columns)
    named_in_table = [column for column in columns if column.name_in_table == kind]
    return named_in_table or [column for column in columns if column.name == kind]


def select_existence_columns(name: str, columns: Iterable[Column]) -> list[IdColumn]:
    """Return the id columns that `has(name)` asks about: none if *name* is an attribute."""
    columns = list(columns)
    if any(column.name == name and not column.is_id for column in columns):
        return []
    return select_id_columns(name, [column.id_column for column in columns if column.is_id])


def list_id_calls(columns: Iterable[IdColumn]) -> list[str]:
    """Return the names under which expressions list ids of *columns*, as they stand in the table."""
    return [column.name_in_table or column.name for column in columns]


def select_device_id_columns(columns: Iterable[IdColumn]) -> list[IdColumn]:
    """Return the columns with the ids of single devices."""
    return [column for column in columns if column.is_device_id]


def rank_id_columns(columns: Iterable[IdColumn]) -> list[IdColumn]:
    """Return the columns with the ids of single devices: the key of the table, generic ones, those of vendors."""
    preferred = (KEY_COLUMN, *GENERIC_ID_COLUMNS)

    def rank(column: IdColumn) -> tuple[int, str]:
        return (preferred.index(column.name) if column.name in preferred else len(preferred)), column.name

    return sorted(select_device_id_columns(columns), key=rank)
