"""Write an expression as a WHERE clause over the table that an index was built from.

The clause is true for the rows of the devices that the index finds, whatever the rows have: missing values, empty
texts, NaN, lists with NULL. What SQL cannot say exactly is refused, with every reason.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import Literal

from audience.errors import ExpressionError, Problem
from audience.index.query.sql import nodes
from audience.index.query.sql.column_types import SqlColumn, SqlTable, read_table
from audience.index.query.sql.conditions import fits, fits_query, has_text, has_value
from audience.index.query.sql.nodes import Node, SqlDialect
from audience.index.query.validate import atoms_of_operands, validate_and_expand
from audience.index.schema.columns import TEXT_ROLES, select_existence_columns, select_id_columns
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf
from audience.language.ast import (
    Aggregate,
    And,
    Anniversary,
    Atom,
    Between,
    Compare,
    CompareOp,
    Condition,
    Did,
    EventMoment,
    Everyone,
    Except,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Nobody,
    Not,
    Or,
    Sample,
    Split,
    Tag,
    Threshold,
    ThresholdOp,
    Top,
    Within,
)
from audience.language.patterns import read_pattern
from audience.language.platforms import PLATFORM_TYPE
from audience.language.printer import render
from audience.language.zones import UTC_ZONE

PLAIN_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,9}")
THRESHOLD_OPERATORS: Mapping[ThresholdOp, CompareOp | Literal["="]] = {
    "at least": ">=",
    "at most": "<=",
    "exactly": "=",
}
EXPORT_HINT = "let the index answer: audience export"


@dataclass(frozen=True, slots=True)
class WhereClause:
    """Condition of SQL.

    Attributes:
        sql: Text of the condition, without the word WHERE.
        dialect: Database.
        columns: Type in the database that each of the columns may have, by its name.
    """

    sql: str
    dialect: SqlDialect
    columns: Mapping[str, str]

    def __str__(self) -> str:
        return self.sql


@dataclass(frozen=True, slots=True)
class _Source:
    """Table, its index, the database that is asked, and a value of each type of versions that arrays do not compare."""

    table: SqlTable
    snapshot: Snapshot
    dialect: SqlDialect
    odd_versions: Mapping[str, str]

    def columns_of(self, atom: Tag | Ids | Has | Condition) -> Sequence[SqlColumn]:
        """Return the columns about which *atom* asks."""
        id_columns = self.snapshot.id_columns
        match atom:
            case Ids(kind=kind):
                return [self.table.ids[column] for column in select_id_columns(kind, id_columns)]
            case Has(type=type_) if type_ not in self.table.attributes:
                columns = select_existence_columns(type_, self.snapshot.manifest.columns)
                return [self.table.ids[column] for column in columns]
        return self.table.attributes[atom.type]


def write_where(
    expr: Expr,
    snapshot: Snapshot,
    dialect: SqlDialect = "duckdb",
    column_types: Mapping[str, str] | None = None,
    as_of: AsOf | None = None,
) -> WhereClause:
    """Return *expr* as a condition of SQL over the table that an index was built from.

    Args:
        expr: Expression.
        snapshot: Snapshot of the index.
        dialect: Database.
        column_types: Types of columns in the database.
        as_of: When and where the expression is asked. None is now, in the time zone of the index.

    Raises:
        ExpressionError: *expr* refers to something that the index does not have, or that SQL cannot say exactly.
    """
    table = read_table(snapshot, column_types or {}, dialect)
    expanded = validate_and_expand(expr, snapshot, as_of)
    atoms = atoms_of_operands(expanded)
    source = _Source(table, snapshot, dialect, _collect_odd_versions(atoms, snapshot))
    problems = [problem for atom in atoms for problem in _find_problems(atom, source)]
    if problems:
        raise ExpressionError(*dict.fromkeys(problems))
    return WhereClause(nodes.write_sql(_write(expanded, source), dialect), dialect, _describe_columns(atoms, source))


def _find_problems(atom: Atom, source: _Source) -> list[Problem]:
    """Return why SQL cannot say *atom* exactly."""
    match atom:
        case Ids() | Has():
            return _find_split_columns(atom, source)
        case Tag():
            return [*_find_split_columns(atom, source), *_find_unknown_zones(atom, source)]
        case Limit() | Top():
            reason = "a condition of SQL tests each row by itself, and not how many others there are"
        case Sample() | Split():
            reason = "SQL does not hash the ids of devices as the index does"
        case Matches(type=type_):
            if type_ != PLATFORM_TYPE:
                return _find_split_columns(atom, source)
            reason = "the index has platforms under other names than the table"
        case Compare() | Within() | Between() | Anniversary():
            split = _find_split_columns(atom, source)
            return split or [*_find_odd_versions(atom, source), *_find_unknown_zones(atom, source)]
        case Did() | Aggregate() | EventMoment():
            reason = "the table of devices has no events"
        case _:
            reason = "SQL has no words for it here"
    return [_refuse(atom, reason)]


def _find_split_columns(atom: Tag | Ids | Has | Condition, source: _Source) -> list[Problem]:
    """Return a problem if *atom* asks about a column that the index has split, other than one of tags."""
    split = [each.name for each in source.columns_of(atom) if each.separator is not None and each.role != "tags"]
    return [_refuse(atom, f"the column {name!r} is split in the index, and not in the table") for name in split]


def _refuse(atom: Atom, reason: str, hint: str = EXPORT_HINT) -> Problem:
    return Problem("not-in-sql", f"{render(atom)!r:.80}: {reason}", atom.span, hint=hint)


def _collect_odd_versions(atoms: Iterable[Atom], snapshot: Snapshot) -> dict[str, str]:
    """Return a version of each compared type that is more than numbers with dots, which arrays do not compare."""
    types = {atom.type for atom in atoms if isinstance(atom, Compare | Between)}
    odd: dict[str, str] = {}
    for type_ in types:
        if snapshot.roles.get(type_) == "version":
            stored = (value for shard in snapshot.shards for value in _stored_values(type_, shard))
            value = next(filterfalse(PLAIN_VERSION.fullmatch, stored), None)
            odd |= {} if value is None else {type_: value}
    return odd


def _find_odd_versions(atom: Condition, source: _Source) -> list[Problem]:
    """Return the problem of versions that are more than numbers with dots."""
    if source.columns_of(atom)[0].role != "version" or not isinstance(atom, Compare | Between):
        return []
    operands = [atom.value] if isinstance(atom, Compare) else [atom.low, atom.high]
    odd = next(filterfalse(PLAIN_VERSION.fullmatch, operands), source.odd_versions.get(atom.type))
    return [] if odd is None else [_refuse(atom, f"the version {odd!r:.40} is more than numbers with dots")]


def _stored_values(type_: str, shard: Shard) -> Iterator[str]:
    if (attribute := shard.attributes.get(type_)) is not None:
        values = shard.attribute_values(attribute)
        yield from (values[rank] for rank in range(len(values)))


def _find_unknown_zones(atom: Tag | Condition, source: _Source) -> list[Problem]:
    """Return the problem of moments of which it is not known whether they have a zone, if another one matters."""
    column = source.columns_of(atom)[0]
    if (
        not (column.holds_moments or column.role == "time")
        or column.type != "unknown"
        or source.snapshot.timezone == UTC_ZONE.key
    ):
        return []
    hint = f"say which: --column-type {column.name}=timestamptz, or =timestamp"
    return [_refuse(atom, "whether its moments have a zone is not known", hint)]


def _write(expr: Expr, source: _Source) -> Node:
    """Return the condition of *expr*, in which nothing is refused."""
    match expr:
        case Everyone() | Nobody():
            return nodes.constant(isinstance(expr, Everyone))
        case Not(term=term):
            return nodes.negate(_write(term, source))
        case And(terms=terms):
            return nodes.conjunction([_write(term, source) for term in terms])
        case Or(terms=terms):
            return nodes.disjunction(_write_terms(terms, source))
        case Except(term=term, excluded=excluded):
            return nodes.conjunction([_write(term, source), nodes.negate(_write(excluded, source))])
        case Threshold(operator=operator, count=count, terms=terms):
            true_count = nodes.count_true([_write(term, source) for term in terms])
            return nodes.compare(true_count, THRESHOLD_OPERATORS[operator], nodes.number(str(count)))
    assert isinstance(expr, Tag | Ids | Has | Condition)
    return _write_atom(expr, source)


def _write_terms(terms: Sequence[Expr], source: _Source) -> list[Node]:
    """Return the conditions of the terms of an OR, with one for all tags of one text."""
    grouped: dict[str | Expr, list[str]] = {}
    for term in terms:
        is_text = isinstance(term, Tag) and source.columns_of(term)[0].role in ("string", "version")
        if isinstance(term, Tag) and is_text:
            grouped.setdefault(term.type, []).append(term.value)
        else:
            grouped[term] = []
    return [
        has_text(source.table.attributes[key][0], values, source.dialect)
        if isinstance(key, str)
        else _write(key, source)
        for key, values in grouped.items()
    ]


def _write_atom(atom: Tag | Ids | Has | Condition, source: _Source) -> Node:
    match atom:
        case Tag(value=value) if source.columns_of(atom)[0].role in TEXT_ROLES:
            conditions = [has_text(column, [value], source.dialect) for column in source.columns_of(atom)]
        case Ids(kind=kind, values=values):
            columns = select_id_columns(kind, source.snapshot.id_columns)
            conditions = [has_text(source.table.ids[column], values, source.dialect) for column in columns]
        case Has():
            conditions = [has_value(column, source.dialect) for column in source.columns_of(atom)]
        case Matches(pattern=pattern, ignores_case=ignores_case):
            wanted = read_pattern(pattern, ignores_case)
            conditions = [fits(column, wanted, source.dialect) for column in source.columns_of(atom)]
        case _:
            (column,) = source.columns_of(atom)
            conditions = [fits_query(column, atom, source.snapshot, source.dialect)]
    possible = [condition for condition in conditions if not nodes.is_false(condition)]
    return nodes.disjunction(possible)


def _describe_columns(atoms: Iterable[Atom], source: _Source) -> dict[str, str]:
    """Return the type that each column which *atoms* ask about may have in the database, by its name."""
    asked = [atom for atom in atoms if isinstance(atom, Tag | Ids | Has | Condition)]
    return {column.name: column.describe() for atom in asked for column in source.columns_of(atom)}
