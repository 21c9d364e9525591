"""Role of each column of a device table, inferred from its name and type or set by the user."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import GENERIC_ID_COLUMNS, KEY_COLUMN, SHARED_ID_ROLES, Column, Role
from audience.language.attribute_names import UNTYPED, canonical_type
from audience.language.suggest import did_you_mean

VENDOR_COLUMN_ENDINGS = tuple(f"_{name}" for name in GENERIC_ID_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRoles:
    """Roles that the user set; all other columns get theirs from their name and type.

    Attributes:
        tokens: Columns of device ids by vendor or by generic id name.
        separators: Separator between the values of a string column, by column name: tags, unless it has another role.
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
    existing: tuple[Column, ...] = ()

    def explicit_columns(self) -> dict[str, Column]:
        """Return the columns with an explicit role, by their name in the table.

        Raises:
            TableError: A column has two roles.
        """
        columns = {column.name_in_table: column for column in self.existing}
        for column in self._iter_explicit():
            earlier = columns.setdefault(column.name_in_table, column)
            if earlier != column:
                message = f"column {column.name_in_table!r} has two roles: {earlier.role} and {column.role}"
                raise TableError(Problem("two-roles", message, hint="give it one role only"))
        return columns

    def _iter_explicit(self) -> Iterable[Column]:
        for name, source in self.tokens.items():
            yield Column(source, "id", name)
        separators = self.separators or {}
        attributes = [(source, role) for role, sources in self._attributes().items() for source in sources]
        named = {*self.tags, *(source for source, _ in attributes)}
        shared_ids = self._shared_ids(separators.keys() - named)
        for source, role in shared_ids:
            yield Column(source, role, role, separators.get(source))
        split = [source for source in separators if source not in named and source not in dict(shared_ids)]
        for source in dict.fromkeys((*self.tags, *split)):
            yield Column(source, "tags", UNTYPED, separators.get(source))
        for source, role in attributes:
            yield Column(source, role, canonical_type(source), separators.get(source))

    def _shared_ids(self, split: Container[str]) -> list[tuple[str, Role]]:
        """Return the columns of ids that devices share: those that are named, and those of *split* by their names."""
        named: list[tuple[str | None, Role]] = [(self.alias, "alias"), (self.account, "account")]
        by_name: list[tuple[str, Role]] = [(role, role) for role in SHARED_ID_ROLES if role in split]
        return list(dict.fromkeys([*((source, role) for source, role in named if source), *by_name]))

    def _attributes(self) -> Mapping[Role, tuple[str, ...]]:
        return {"string": self.strings, "number": self.numbers, "date": self.dates, "version": self.versions}

    def required_columns(self) -> list[str]:
        """Return the names of the columns that the table must have."""
        return [*dict.fromkeys(column.name_in_table for column in self._iter_explicit()), *self.ignore]


def join_id_columns(tokens: str | Mapping[str, str] | None, key: str | None) -> dict[str, str]:
    """Return the columns of device ids by vendor or generic name, with the key of the table."""
    columns = {"registration_id": tokens} if isinstance(tokens, str) else dict(tokens or {})
    return columns if key is None else {KEY_COLUMN: key, **columns}


def validate_roles(schema: Mapping[str, pl.DataType], roles: ColumnRoles, vendors: Sequence[str]) -> None:
    """Check that every vendor and every column that *roles* names exists.

    Raises:
        TableError: A vendor is unknown, or the table has no such column.
    """
    for vendor in roles.tokens:
        if vendor not in (*GENERIC_ID_COLUMNS, KEY_COLUMN) and vendor not in vendors:
            hint = did_you_mean(vendor, vendors) or f"use one of {', '.join(vendors)}"
            raise TableError(Problem("unknown-vendor", f"unknown vendor {vendor!r}", hint=hint))
    for name in roles.required_columns():
        if name not in schema:
            hint = did_you_mean(name, schema) or f"the table has {', '.join(schema)}"
            raise TableError(Problem("no-column", f"the table has no column {name!r}", hint=hint))


def infer_columns(schema: Mapping[str, pl.DataType], roles: ColumnRoles, vendors: Sequence[str]) -> list[Column]:
    """Return every column of *schema* that is not ignored, with its role.

    Raises:
        TableError: A column has no role or shares its name with another, or no column holds device ids.
    """
    explicit = roles.explicit_columns()
    columns = [
        explicit.get(name) or _infer_column(name, dtype, vendors)
        for name, dtype in schema.items()
        if name not in roles.ignore
    ]
    if not any(column.role == "id" for column in columns):
        raise TableError(Problem("no-id", "no column holds the ids of devices", hint=_hint_at_ids(roles)))
    require_unique_names(columns)
    return columns


def _hint_at_ids(roles: ColumnRoles) -> str:
    """Return what a table without ids of devices needs; that of an update, the name that the index knows."""
    known = [column.name_in_table for column in roles.existing if column.role == "id"]
    if known:
        return f"call it {' or '.join(known)}, as the index does"
    return f"name one with --token COLUMN, or call it {' or '.join(GENERIC_ID_COLUMNS)}"


def _infer_column(name: str, dtype: pl.DataType, vendors: Sequence[str]) -> Column:
    """Infer the role of a column from its name, else from its type."""
    id_name = _find_id_name(name, vendors)
    if id_name is not None:
        return Column(name, "id", id_name)
    match name:
        case "alias" | "account" | "live_activity_id":
            return Column(name, name, name)
        case "tag" | "tags" | "xg_user_define" if isinstance(dtype, pl.List | pl.Array):
            return Column(name, "tags", UNTYPED)
        case "tag" | "tags" | "xg_user_define" if dtype != pl.Boolean:
            hint = f"name what separates its tags, as in --split '{name}=,', or use --typed {name}"
            raise TableError(Problem("not-a-list", f"column {name!r} is text, not a list of tags", hint=hint))
    return _infer_by_dtype(name, dtype)


def _find_id_name(name: str, vendors: Sequence[str]) -> str | None:
    """Return the vendor, or the generic name, of the ids in a column called *name*; None if it has no ids.

    Vendors are loaded, which takes a while, only where the name ends as that of a column of theirs.
    """
    generic = name if name in GENERIC_ID_COLUMNS else None
    if not name.endswith(VENDOR_COLUMN_ENDINGS):
        return generic
    id_columns = {f"{vendor}_{each}": vendor for vendor in vendors for each in GENERIC_ID_COLUMNS}
    return id_columns.get(name, generic)


def _infer_by_dtype(name: str, dtype: pl.DataType) -> Column:
    is_list = isinstance(dtype, pl.List | pl.Array)
    element = dtype.inner if isinstance(dtype, pl.List | pl.Array) else dtype
    assert isinstance(element, pl.DataType)
    if isinstance(element, pl.String | pl.Categorical | pl.Enum | pl.Null):
        if is_list:
            return Column(name, "tags", UNTYPED)
        is_version = is_version_name(name) and isinstance(element, pl.String)
        return Column(name, "version" if is_version else "string", canonical_type(name))
    if isinstance(element, pl.Boolean) and not is_list:
        return Column(name, "tags", UNTYPED)
    if element.is_float() and is_version_name(name):
        hint = f"keep it as text, so that 1.10 is not 1.1, or use --number {name}"
        raise TableError(Problem("not-versions", f"column {name!r} holds decimal numbers, not versions", hint=hint))
    if element.is_numeric():
        return Column(name, "number", canonical_type(name))
    if isinstance(element, pl.Date):
        return Column(name, "date", canonical_type(name))
    if isinstance(element, pl.Datetime):
        return Column(name, "time", canonical_type(name))
    message = f"column {name!r} of type {dtype} can be neither ids nor an attribute"
    raise TableError(Problem("no-role", message, hint=f"--ignore {name}"))


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
            raise TableError(Problem("no-name", "a column has no name", hint="name it, or use --ignore ''"))
    first_columns: dict[tuple[str, bool], Column] = {}
    for column in columns:
        first = first_columns.setdefault((column.name, column.role == "id"), column)
        if first is not column and not first.role == column.role == "tags":
            message = f"columns {first.name_in_table!r} and {column.name_in_table!r} are both {first.name!r}"
            raise TableError(Problem("same-name", message, hint="--ignore one of them"))
