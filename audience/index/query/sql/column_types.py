"""Columns of the table in SQL: what the index knows of their types, and what the user says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from audience.errors import ExpressionError, Problem
from audience.index.query.sql.nodes import SqlDialect
from audience.index.schema.columns import Column, IdColumn, Role
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.suggest import did_you_mean

SqlType: TypeAlias = Literal[
    "text", "list", "boolean", "number", "double", "real", "date", "timestamp", "timestamptz", "unknown"
]
TYPES_BY_ROLE: Mapping[Role, tuple[SqlType, ...]] = {
    "tags": ("list", "boolean", "text"),
    "number": ("number", "double", "real", "text"),
    "date": ("date", "timestamp", "timestamptz", "text"),
    "time": ("timestamp", "timestamptz"),
}
FLOAT, DECIMAL_PREFIX = "Float64", "Decimal:"


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """Column of the table.

    Attributes:
        name: Its name in the table.
        role: Its role in the index.
        attribute: Name of its attribute in the index.
        type: Its type in the database; `unknown` is written so that each type which its role allows gives the answer of
            the index, or an error of the database.
        is_list: Whether it has lists of values.
        separator: Separator of the values in a text that the index has split.
        scale: Number of decimal places of a number; None if it is a binary floating-point number.
        holds_moments: Whether days were cut from moments.
    """

    name: str
    role: Role
    type: SqlType = "unknown"
    attribute: str = ""
    is_list: bool = False
    separator: str | None = None
    scale: int | None = 0
    holds_moments: bool = False

    def describe(self) -> str:
        """Return the type that the column has in the database.

        >>> tags = SqlColumn("tags", "tags", "list", is_list=True)
        >>> SqlColumn("score", "number", scale=None).describe(), tags.describe()
        ('double or real', 'list of text')
        """
        known = "text" if self.type == "list" else self.type
        type_ = known if known != "unknown" else self._likely_type()
        return f"list of {type_}" if self.is_list else type_

    def _likely_type(self) -> str:
        match self.role:
            case "number":
                return "number" if self.scale is not None else "double or real"
            case "time":
                return "timestamp"
            case "date":
                return "timestamp" if self.holds_moments else "date"
        return "text"


@dataclass(frozen=True, slots=True)
class SqlTable:
    """Columns of the table by the name of their attribute, and those of ids."""

    attributes: Mapping[str, tuple[SqlColumn, ...]]
    ids: Mapping[IdColumn, SqlColumn]


def read_table(snapshot: Snapshot, declared: Mapping[str, str], dialect: SqlDialect) -> SqlTable:
    """Return the columns of the table that an index was built from.

    Args:
        snapshot: Snapshot of the index.
        declared: Types in the database by the name of a column.
        dialect: Database.

    Raises:
        ExpressionError: A declared column or type does not exist, or the database takes two columns for one.
    """
    columns = snapshot.manifest.columns
    types = {column.name_in_table: _read_type(column, declared) for column in columns}
    _require_columns(declared, types)
    if dialect == "duckdb":
        _require_distinct_names(types)
    tags = _collect_tags(snapshot.shards) if any(column.role == "tags" for column in columns) else {}
    attributes: dict[str, tuple[SqlColumn, ...]] = {}
    for column in columns:
        if not column.is_id:
            made = _make_column(column, types[column.name_in_table], tags, snapshot)
            attributes[column.name] = (*attributes.get(column.name, ()), made)
    ids = {
        column.id_column: _make_id_column(column, types[column.name_in_table], snapshot)
        for column in columns
        if column.is_id
    }
    return SqlTable(attributes, ids)


def _read_type(column: Column, declared: Mapping[str, str]) -> SqlType:
    name = declared.get(column.name_in_table)
    if name is None:
        return "unknown"
    allowed = TYPES_BY_ROLE.get(column.role, ("text",))
    for type_ in allowed:
        if type_ == name:
            return type_
    message = f"column {column.name_in_table!r} of {column.role}s cannot be of the type {name!r}"
    raise ExpressionError(Problem("bad-column-type", message, hint=f"use {' or '.join(allowed)}"))


def _require_columns(declared: Iterable[str], known: Iterable[str]) -> None:
    for name in declared:
        if name not in known:
            hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
            raise ExpressionError(Problem("bad-column-type", f"the index has no column {name!r}", hint=hint))


def _require_distinct_names(names: Iterable[str]) -> None:
    """Require names that differ in more than case, which DuckDB ignores."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            message = f"DuckDB takes the columns {other!r} and {name!r} for one"
            raise ExpressionError(Problem("not-in-sql", message, hint="rename one of them in the table and the index"))


def _make_column(column: Column, type_: SqlType, tags: Mapping[str, Collection[str]], snapshot: Snapshot) -> SqlColumn:
    if column.role == "tags":
        type_ = _find_tag_type(column, type_, tags.get(column.name_in_table, ()))
    return SqlColumn(
        column.name_in_table,
        column.role,
        type_,
        column.name,
        is_list=type_ == "list" if column.role == "tags" else _has_lists(column, snapshot),
        separator=column.separator,
        scale=_find_scale(column, type_, snapshot) if column.role == "number" else 0,
        holds_moments=column.has_cut_moments,
    )


def _find_tag_type(column: Column, declared: SqlType, tags: Collection[str]) -> SqlType:
    """Return the type of a column with these bare *tags*: a flag has no tag but its own name."""
    if declared == "text" and column.separator is None:
        message = f"column {column.name_in_table!r} is text, and the index was not built with its separator"
        raise ExpressionError(Problem("bad-column-type", message, hint="use list or boolean"))
    if declared != "unknown":
        return declared
    if column.separator is not None:
        return "text"
    if not tags:
        return "unknown"
    return "boolean" if {*tags} == {column.name_in_table} else "list"


def _collect_tags(shards: Sequence[Shard]) -> dict[str, list[str]]:
    """Return the bare tags of each column."""
    from audience.index.storage.id_search import collect_tag_sources  # imports Polars

    tags: dict[str, list[str]] = {}
    for tag, sources in collect_tag_sources(shards).items():
        for source in sources:
            tags.setdefault(source, []).append(tag)
    return tags


def _has_lists(column: Column, snapshot: Snapshot) -> bool:
    attributes = [shard.attributes[column.name] for shard in snapshot.shards if column.name in shard.attributes]
    return any(not attribute.is_single_valued for attribute in attributes)


def _make_id_column(column: Column, type_: SqlType, snapshot: Snapshot) -> SqlColumn:
    is_list = any(shard.has_id_lists(column.id_column) for shard in snapshot.shards)
    return SqlColumn(column.name_in_table, column.role, type_, is_list=is_list, separator=column.separator)


def _find_scale(column: Column, type_: SqlType, snapshot: Snapshot) -> int | None:
    """Return the number of decimal places of the numbers of a column, None for binary floating-point numbers."""
    names = {shard.attributes[column.name].type_name for shard in snapshot.shards if column.name in shard.attributes}
    if FLOAT in names and type_ == "number":
        message = f"the index has binary floating-point numbers for {column.name_in_table!r}"
        raise ExpressionError(Problem("bad-column-type", message, hint="use double, real or text"))
    if FLOAT in names or type_ in ("double", "real"):
        return None
    return max([0, *(int(name.removeprefix(DECIMAL_PREFIX)) for name in names if name.startswith(DECIMAL_PREFIX))])
