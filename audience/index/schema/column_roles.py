"""Role of each column of a device table, inferred from its name and type or set by the user."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import GENERIC_ID_COLUMNS, Column, Role
from audience.language.attribute_names import UNTYPED, canonical_type
from audience.language.suggest import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRoles:
    """Roles that the user set; all other columns get theirs from their name and type.

    Attributes:
        tokens: Columns of device ids by vendor or by generic id name.
        separators: Separator between the tags of a string column, by column name.
        existing: Columns of the index that is being updated.
    """

    tokens: Mapping[str, str]
    alias: str | None = None
    account: str | None = None
    tags: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    separators: Mapping[str, str] | None = None
    existing: tuple[Column, ...] = ()  # those of an index that is there

    def explicit_columns(self) -> dict[str, Column]:
        """Return the columns with an explicit role, by their name in the table.

        Raises:
            TableError: A column has two roles.
        """
        found = {column.name_in_table: column for column in self.existing}
        for column in self._iter_explicit():
            if column.name_in_table in found and found[column.name_in_table] != column:
                one, other = found[column.name_in_table].role, column.role
                raise TableError(
                    Problem("two-roles", f"column {column.name_in_table!r} is said to be {one} and {other}")
                )
            found[column.name_in_table] = column
        return found

    def _iter_explicit(self) -> Iterable[Column]:
        yield from (Column(source, "id", name) for name, source in self.tokens.items())
        yield from (Column(source, "alias", "alias") for source in (self.alias,) if source)
        yield from (Column(source, "account", "account") for source in (self.account,) if source)
        split = self.separators or {}
        yield from (
            Column(source, "tags", UNTYPED, split.get(source)) for source in dict.fromkeys((*self.tags, *split))
        )
        yield from (Column(source, "string", canonical_type(source)) for source in self.strings)
        yield from (Column(source, "number", canonical_type(source)) for source in self.numbers)
        yield from (Column(source, "date", canonical_type(source)) for source in self.dates)
        yield from (Column(source, "version", canonical_type(source)) for source in self.versions)

    def required_columns(self) -> list[str]:
        """Return the names of the columns that the table must have."""
        return [*dict.fromkeys(column.name_in_table for column in self._iter_explicit()), *self.ignore]


def validate_roles(schema: Mapping[str, pl.DataType], roles: ColumnRoles, vendors: Sequence[str]) -> None:
    """Check that every vendor and every column that *roles* names exists.

    Raises:
        TableError: A vendor is unknown, or the table has no such column.
    """
    for name in roles.tokens:
        if name not in (*vendors, *GENERIC_ID_COLUMNS):
            hint = did_you_mean(name, vendors) or f"one of {', '.join(vendors)}"
            raise TableError(Problem("unknown-vendor", f"no vendor is called {name!r}", hint=hint))
    for name in roles.required_columns():
        if name not in schema:
            hint = did_you_mean(name, schema) or f"the table has {', '.join(schema)}"
            raise TableError(Problem("no-column", f"there is no column {name!r}", hint=hint))


def infer_columns(schema: Mapping[str, pl.DataType], roles: ColumnRoles, vendors: Sequence[str]) -> list[Column]:
    """Return every column of *schema* that is not ignored, with its role.

    Raises:
        TableError: A column has no role or shares its name with another, or no column holds device ids.
    """
    said = roles.explicit_columns()
    found = [
        said.get(name) or _infer_column(name, type_, vendors)
        for name, type_ in schema.items()
        if name not in roles.ignore
    ]
    if not any(column.role == "id" for column in found):
        hint = f"name one: --token COLUMN; by themselves count {', '.join(GENERIC_ID_COLUMNS)}"
        raise TableError(Problem("no-id", "no column holds the ids of devices", hint=hint))
    require_unique_names(found)
    return found


def _infer_column(name: str, dtype: pl.DataType, vendors: Sequence[str]) -> Column:
    """Infer the role of a column from its name, else from its type."""
    vendor = next((vendor for vendor in vendors for word in GENERIC_ID_COLUMNS if name == f"{vendor}_{word}"), None)
    if name in GENERIC_ID_COLUMNS or vendor:
        return Column(name, "id", vendor or name)
    match name:
        case "alias" | "account" | "live_activity_id":
            return Column(name, name, name)
        case "tag" | "tags" | "xg_user_define" if isinstance(dtype, pl.List | pl.Array):
            return Column(name, "tags", UNTYPED)
        case "tag" | "tags" | "xg_user_define" if dtype != pl.Boolean:
            hint = f"say --split '{name}=;' when ; stands between its tags, or --typed {name}"
            raise TableError(Problem("not-a-list", f"column {name!r} is text, not a list of tags", hint=hint))
    return _infer_by_dtype(name, dtype)


def _infer_by_dtype(name: str, dtype: pl.DataType) -> Column:
    many = isinstance(dtype, pl.List | pl.Array)
    inner = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    assert isinstance(inner, pl.DataType)
    if isinstance(inner, pl.String | pl.Categorical | pl.Enum | pl.Null):
        if many:
            return Column(name, "tags", UNTYPED)
        role: Role = "version" if is_version_name(name) and isinstance(inner, pl.String) else "string"
        return Column(name, role, canonical_type(name))
    if isinstance(inner, pl.Boolean) and not many:
        return Column(name, "tags", UNTYPED)
    if inner.is_float() and is_version_name(name):
        hint = f"keep it as text, so that 1.10 is not 1.1; or say --number {name}"
        raise TableError(Problem("not-versions", f"column {name!r} holds decimal numbers, not versions", hint=hint))
    if inner.is_numeric():
        return Column(name, "number", canonical_type(name))
    if isinstance(inner, pl.Date):
        return Column(name, "date", canonical_type(name))
    if isinstance(inner, pl.Datetime):
        return Column(name, "time", canonical_type(name))
    raise TableError(
        Problem("no-role", f"column {name!r} of type {dtype} says nothing of a device", hint=f"--ignore {name}")
    )


def is_version_name(name: str) -> bool:
    """Return whether a column of this name holds versions."""
    return canonical_type(name).split("_")[-1] == "version"


def require_unique_names(columns: Sequence[Column]) -> None:
    """Check that every column has a name of its own; only columns of plain tags may share one.

    Raises:
        TableError: Two columns have one name, or a column has none.
    """
    for column in columns:
        if not column.name_in_table:
            raise TableError(Problem("no-name", "a column has no name", hint="name it, or say --ignore ''"))
    for one, other in combinations(columns, 2):
        alike = one.name == other.name and (one.role == "id") == (other.role == "id")
        if alike and not one.role == other.role == "tags":
            both = f"columns {one.name_in_table!r} and {other.name_in_table!r}"
            raise TableError(Problem("same-name", f"{both} are both {one.name!r}", hint="--ignore one of them"))
