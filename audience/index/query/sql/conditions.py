"""SQL conditions on one column: on its value, or on at least one value of a list."""

from collections.abc import Callable, Sequence

from audience.index.query.instants import find_instants
from audience.index.query.sql import days, nodes, numbers, texts
from audience.index.query.sql.column_types import SqlColumn
from audience.index.query.sql.nodes import Node, SqlDialect
from audience.index.query.sql.wall_clocks import wall_clock_ranges
from audience.index.query.validate import find_years
from audience.index.schema.instant_sets import InstantSet
from audience.index.schema.value_types import VALUE_TYPES, parse_bounds, parse_operand
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Anniversary, Between, Compare, Tag, Within
from audience.language.patterns import Pattern
from audience.language.platforms import PLATFORM_TYPE
from audience.language.windows import Comparison
from audience.language.zones import UTC_ZONE


def has_text(column: SqlColumn, values: Sequence[str], dialect: SqlDialect) -> Node:
    """Return whether *column* has one of the texts *values*, which are not empty.

    >>> flag = SqlColumn("vip", "tags", "boolean")
    >>> [nodes.write_sql(has_text(flag, [tag], "postgres"), "postgres") for tag in ("vip", "new")]
    ['"vip"', 'FALSE']
    """
    if column.role == "tags":
        return nodes.disjunction([_has_tag(column, value, dialect) for value in values])
    if column.attribute == PLATFORM_TYPE and column.role == "string":
        return _test_texts(column, lambda text: texts.has_platform(text, values, dialect), dialect)
    return _test_texts(column, lambda text: nodes.is_one_of(text, values, dialect), dialect)


def fits(column: SqlColumn, pattern: Pattern, dialect: SqlDialect) -> Node:
    """Return whether *column* has a text that fits *pattern*."""
    if column.role == "tags" and column.type == "boolean":
        return nodes.column(column.name) if pattern.matches(column.name) else nodes.constant(False)
    return _test_texts(column, lambda text: texts.fits_pattern(text, pattern, dialect), dialect)


def has_value(column: SqlColumn, dialect: SqlDialect) -> Node:
    """Return whether *column* has any value."""
    match column.role:
        case "tags" if column.type == "boolean":
            return nodes.column(column.name)
        case "number":
            return _test_values(column, lambda value: numbers.has_number(value, column, dialect), dialect)
        case "date" | "time":
            return _test_values(column, nodes.is_present, dialect)
    return _test_texts(column, lambda text: nodes.is_not_empty(text, dialect), dialect)


def fits_query(
    column: SqlColumn, query: Tag | Compare | Within | Between | Anniversary, snapshot: Snapshot, dialect: SqlDialect
) -> Node:
    """Return whether *column* has a number, a day, a moment or a version that fits *query*."""
    if column.role == "version":
        assert isinstance(query, Compare | Between)
        return _test_texts(column, lambda text: _fits_versions(text, query, dialect), dialect)
    return _test_values(column, lambda value: _fits(value, query, column, snapshot, dialect), dialect)


def _test_values(column: SqlColumn, condition: Callable[[Node], Node], dialect: SqlDialect) -> Node:
    reference = nodes.column(column.name)
    return nodes.any_element(reference, condition, dialect) if column.is_list else condition(reference)


def _test_texts(column: SqlColumn, condition: Callable[[Node], Node], dialect: SqlDialect) -> Node:
    """Return whether a *condition* is true for a text of the column; numbers are their text there."""
    if column.role == "tags":
        return _test_tags(column, condition, dialect)
    if column.type == "text":
        return _test_values(column, condition, dialect)
    return _test_values(column, lambda value: condition(nodes.as_text(value, dialect)), dialect)


def _has_tag(column: SqlColumn, tag: str, dialect: SqlDialect) -> Node:
    match column.type:
        case "boolean":
            return nodes.column(column.name) if tag == column.name else nodes.constant(False)
        case "list":
            return nodes.has_element(nodes.column(column.name), tag, dialect)
    return _test_tags(column, lambda text: nodes.is_one_of(text, [tag], dialect), dialect)


def _test_tags(column: SqlColumn, condition: Callable[[Node], Node], dialect: SqlDialect) -> Node:
    """Return whether a *condition* is true for a tag of a list, or of a text that is split; nothing else has tags."""
    reference = nodes.column(column.name)
    if column.type == "list":
        return nodes.any_element(reference, condition, dialect)
    if column.type != "text" or column.separator is None:
        return nodes.constant(False)
    tags = texts.split_tags(reference, column.separator, dialect)
    return nodes.any_element(tags, lambda tag: condition(texts.strip(tag, dialect)), dialect)


def _fits_versions(text: Node, query: Compare | Between, dialect: SqlDialect) -> Node:
    if isinstance(query, Compare):
        return texts.compare_version(text, query.operator, query.value, dialect)
    low = texts.compare_version(text, ">=" if query.low_operator == "<=" else ">", query.low, dialect)
    return nodes.conjunction([low, texts.compare_version(text, query.high_operator, query.high, dialect)])


def _fits(
    value: Node,
    query: Tag | Compare | Within | Between | Anniversary,
    column: SqlColumn,
    snapshot: Snapshot,
    dialect: SqlDialect,
) -> Node:
    if column.role == "number":
        assert isinstance(query, Tag | Compare | Between)
        return _fits_numbers(value, query, column, dialect)
    if column.role == "date" and not column.holds_moments:
        if not isinstance(query, Anniversary):
            return days.is_in_days(value, query, column, dialect)
        assert isinstance(query.window, Comparison)
        return days.is_anniversary(value, str(query.window.time), column, dialect)
    return days.is_in_instants(value, _find_moments(query, column, snapshot), column, dialect)


def _find_moments(
    query: Tag | Compare | Within | Between | Anniversary, column: SqlColumn, snapshot: Snapshot
) -> InstantSet:
    """Return the moments of *column* that fit *query*, as they are in the table: without a zone, or in UTC."""
    if column.role == "time":
        assert not isinstance(query, Anniversary)
        instants = find_instants(query, UTC_ZONE)
        return wall_clock_ranges(instants, snapshot.zone) if column.type == "timestamp" else instants
    zone = snapshot.zone if column.type == "timestamptz" else UTC_ZONE  # of which the days were cut
    if not isinstance(query, Anniversary):
        return find_instants(query, zone)
    assert isinstance(query.window, Comparison)
    return days.anniversary_instants(str(query.window.time), find_years(snapshot, query.type), zone)


def _fits_numbers(value: Node, query: Tag | Compare | Between, column: SqlColumn, dialect: SqlDialect) -> Node:
    if not isinstance(query, Between):
        operator = query.operator if isinstance(query, Compare) else "="
        return numbers.compare_number(value, operator, parse_operand(query, VALUE_TYPES["number"]), column, dialect)
    low, high = parse_bounds(query, VALUE_TYPES["number"])
    above = numbers.compare_number(value, ">=" if query.low_operator == "<=" else ">", low, column, dialect)
    return nodes.conjunction([above, numbers.compare_number(value, query.high_operator, high, column, dialect)])
