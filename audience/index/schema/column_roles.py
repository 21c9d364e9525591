"""What each column of a device table is: found by its name and its type, or said by the user."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import polars as pl

from audience.errors import Problem, TableError
from audience.index.schema.columns import ID_WORDS, Column, Role
from audience.language.attribute_names import BARE, house_type
from audience.language.suggest import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the user said of columns; all others find their role by name and type."""

    tokens: Mapping[str, str]
    alias: str | None = None
    account: str | None = None
    tags: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    split: Mapping[str, str] | None = None
    known: tuple[Column, ...] = ()  # those of an index that is there

    def said(self) -> dict[str, Column]:
        """The columns that were named, by their name in the table; one that was named twice is an error."""
        found = {column.source: column for column in self.known}
        for column in self._named():
            if column.source in found and found[column.source] != column:
                one, other = found[column.source].role, column.role
                raise TableError(Problem("two-roles", f"column {column.source!r} is said to be {one} and {other}"))
            found[column.source] = column
        return found

    def _named(self) -> Iterable[Column]:
        yield from (Column(source, "id", name) for name, source in self.tokens.items())
        yield from (Column(source, "alias", "alias") for source in (self.alias,) if source)
        yield from (Column(source, "account", "account") for source in (self.account,) if source)
        split = self.split or {}
        yield from (Column(source, "tags", BARE, split.get(source)) for source in dict.fromkeys((*self.tags, *split)))
        yield from (Column(source, "typed", house_type(source)) for source in self.typed)
        yield from (Column(source, "number", house_type(source)) for source in self.numbers)
        yield from (Column(source, "date", house_type(source)) for source in self.dates)
        yield from (Column(source, "version", house_type(source)) for source in self.versions)

    def mentioned(self) -> list[str]:
        """The columns that the table must have."""
        return [*dict.fromkeys(column.source for column in self._named()), *self.ignore]


def check_roles(schema: Mapping[str, pl.DataType], roles: Roles, vendors: Sequence[str]) -> None:
    """Refuse *roles* of a vendor or of a column that is not there, with TableError."""
    for name in roles.tokens:
        if name not in (*vendors, *ID_WORDS):
            hint = did_you_mean(name, vendors) or f"one of {', '.join(vendors)}"
            raise TableError(Problem("unknown-vendor", f"no vendor is called {name!r}", hint=hint))
    for name in roles.mentioned():
        if name not in schema:
            hint = did_you_mean(name, schema) or f"the table has {', '.join(schema)}"
            raise TableError(Problem("no-column", f"there is no column {name!r}", hint=hint))


def columns(schema: Mapping[str, pl.DataType], roles: Roles, vendors: Sequence[str]) -> list[Column]:
    """The role of every column of *schema* that is not ignored.

    Raises TableError for a column that has no role, or that shares its name with another.
    """
    said = roles.said()
    found = [
        said.get(name) or _found(name, type_, vendors) for name, type_ in schema.items() if name not in roles.ignore
    ]
    if not any(column.role == "id" for column in found):
        hint = f"name one: --token COLUMN; by themselves count {', '.join(ID_WORDS)}"
        raise TableError(Problem("no-id", "no column holds the ids of devices", hint=hint))
    distinct(found)
    return found


def _found(name: str, type_: pl.DataType, vendors: Sequence[str]) -> Column:
    """The role of a column by its name, else by its type."""
    vendor = next((vendor for vendor in vendors for word in ID_WORDS if name == f"{vendor}_{word}"), None)
    if name in ID_WORDS or vendor:
        return Column(name, "id", vendor or name)
    match name:
        case "alias" | "account" | "live_activity_id":
            return Column(name, name, name)
        case "tag" | "tags" | "xg_user_define" if isinstance(type_, pl.List | pl.Array):
            return Column(name, "tags", BARE)
        case "tag" | "tags" | "xg_user_define" if type_ != pl.Boolean:
            hint = f"say --split '{name}=;' when ; stands between its tags, or --typed {name}"
            raise TableError(Problem("not-a-list", f"column {name!r} is text, not a list of tags", hint=hint))
    return _typed(name, type_)


def _typed(name: str, type_: pl.DataType) -> Column:
    many = isinstance(type_, pl.List | pl.Array)
    inner = type_.inner if isinstance(type_, pl.List | pl.Array) else type_
    assert isinstance(inner, pl.DataType)
    if isinstance(inner, pl.String | pl.Categorical | pl.Enum | pl.Null):
        if many:
            return Column(name, "tags", BARE)
        role: Role = "version" if is_version(name) and isinstance(inner, pl.String) else "typed"
        return Column(name, role, house_type(name))
    if isinstance(inner, pl.Boolean) and not many:
        return Column(name, "tags", BARE)
    if inner.is_float() and is_version(name):
        hint = f"keep it as text, so that 1.10 is not 1.1; or say --number {name}"
        raise TableError(Problem("not-versions", f"column {name!r} holds decimal numbers, not versions", hint=hint))
    if inner.is_numeric():
        return Column(name, "number", house_type(name))
    if isinstance(inner, pl.Date):
        return Column(name, "date", house_type(name))
    if isinstance(inner, pl.Datetime):
        return Column(name, "time", house_type(name))
    raise TableError(
        Problem("no-role", f"column {name!r} of type {type_} says nothing of a device", hint=f"--ignore {name}")
    )


def is_version(name: str) -> bool:
    """Whether a column of this name holds versions."""
    return house_type(name).split("_")[-1] == "version"


def distinct(found: Sequence[Column]) -> None:
    """Only bare tags may come from several columns, and only from lists of them."""
    for column in found:
        if not column.source:
            raise TableError(Problem("no-name", "a column has no name", hint="name it, or say --ignore ''"))
    for one, other in combinations(found, 2):
        alike = one.name == other.name and (one.role == "id") == (other.role == "id")
        if alike and not one.role == other.role == "tags":
            both = f"columns {one.source!r} and {other.source!r}"
            raise TableError(Problem("same-name", f"{both} are both {one.name!r}", hint="--ignore one of them"))
