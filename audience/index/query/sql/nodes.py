"""Syntax trees of SQL in three dialects, by sqlglot, which quotes every name and value.

A condition is a node that is true for the wanted rows. For others it is false or NULL, which AND, OR and WHERE treat
alike; NOT does not, and `negate` takes care of it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Literal, TypeAlias, get_args

from sqlglot import exp

from audience.language.ast import CompareOp

SqlDialect: TypeAlias = Literal["duckdb", "postgres", "clickhouse"]
SQL_DIALECTS: tuple[SqlDialect, ...] = get_args(SqlDialect)
Node: TypeAlias = exp.Expr

ELEMENT, ELEMENTS = "_element", "_elements"  # one value of a list, and all of them, in a subquery
NUL = "\0"
CONTROL = re.compile("([\0-\x1f\x7f-\x9f\u2028\u2029])")  # what editors and logs break, hide or cut off
LIKE_ESCAPE = "!"  # a backslash would have to be quoted again
OPERATORS: dict[CompareOp | Literal["="], type[exp.Binary]] = {
    "=": exp.EQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def write_sql(node: Node, dialect: SqlDialect) -> str:
    """Return the text of *node*.

    >>> print(write_sql(negate(is_one_of(column("city"), ["Rome"], "postgres")), "postgres"))
    NOT COALESCE("city" = 'Rome', FALSE)
    """
    return node.sql(dialect=dialect, normalize_functions=False, comments=False)


def column(name: str) -> Node:
    """Return a reference to a column of the table."""
    return exp.column(exp.to_identifier(name, quoted=True))


def constant(value: bool) -> Node:
    """Return TRUE or FALSE."""
    return exp.true() if value else exp.false()


def is_false(node: Node) -> bool:
    """Return whether *node* is the constant FALSE."""
    return isinstance(node, exp.Boolean) and not node.this


def number(text: str) -> Node:
    """Return a number as it is written."""
    literal = exp.Literal.number(text.removeprefix("-"))
    return exp.Neg(this=literal) if text.startswith("-") else literal


def string(text: str, dialect: SqlDialect) -> Node:
    r"""Return a string; control characters and line breaks are written as calls, so that a clause is one line.

    Clients of some databases cut a statement off at NUL.

    >>> print(write_sql(string("a'\\", "postgres"), "postgres"), write_sql(string("a\n", "duckdb"), "duckdb"))
    e'a''\\' ('a' || CHR(10))
    """
    if CONTROL.search(text):
        parts = [part for part in CONTROL.split(text) if part]
        joined = [_character(part, dialect) if CONTROL.fullmatch(part) else string(part, dialect) for part in parts]
        return exp.Paren(this=reduce(lambda lhs, rhs: exp.DPipe(this=lhs, expression=rhs), joined))
    if dialect == "postgres" and "\\" in text:  # whose meaning in '…' is a setting of the server
        return exp.ByteString(this=text)
    return exp.Literal.string(text)


def _character(character: str, dialect: SqlDialect) -> Node:
    r"""Return a call whose result is *character*: ClickHouse takes its bytes, the others its number.

    >>> write_sql(_character("\x85", "clickhouse"), "clickhouse"), write_sql(_character("\x85", "duckdb"), "duckdb")
    ('char(194, 133)', 'CHR(133)')
    """
    if dialect == "clickhouse":
        return call("char", *(number(str(byte)) for byte in character.encode()))
    return call("CHR", number(str(ord(character))))


def call(name: str, *arguments: Node) -> Node:
    """Return a call of a function, whose name is written as it is."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def extract(unit: str, node: Node) -> Node:
    """Return a part of a day or moment."""
    return exp.Extract(this=exp.Var(this=unit), expression=node)


def in_byte_order(node: Node) -> Node:
    """Return a text of Postgres that is compared byte by byte."""
    return exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True))


def array(items: Iterable[Node]) -> Node:
    """Return an array."""
    return exp.Array(expressions=list(items))


def cast(node: Node, type_name: str, dialect: SqlDialect) -> Node:
    """Return *node* as a value of a type, whose name is that of Postgres."""
    return exp.Cast(this=node, to=exp.DataType.build(type_name, dialect="postgres"))


def as_text(node: Node, dialect: SqlDialect) -> Node:
    """Return *node* as text; text itself stays as it is, and is found by its index."""
    return call("toString", node) if dialect == "clickhouse" else cast(node, "TEXT", dialect)


def compare(lhs: Node, operator: CompareOp | Literal["="], rhs: Node) -> Node:
    """Return a comparison."""
    return OPERATORS[operator](this=lhs, expression=rhs)


def is_not_empty(node: Node, dialect: SqlDialect) -> Node:
    """Return whether a text is neither missing nor empty."""
    return exp.NEQ(this=node, expression=string("", dialect))


def is_present(node: Node) -> Node:
    """Return whether a value is not NULL."""
    return exp.Not(this=exp.Is(this=node, expression=exp.null()))


def is_a_number(node: Node) -> Node:
    """Return whether a floating-point number of ClickHouse is not NaN."""
    return exp.Not(this=call("isNaN", node))


def is_one_of(node: Node, texts: Sequence[str], dialect: SqlDialect) -> Node:
    """Return whether a text is one of *texts*. Postgres has no text with a NUL in it."""
    possible = [text for text in dict.fromkeys(texts) if dialect != "postgres" or NUL not in text]
    match [string(text, dialect) for text in possible]:
        case []:
            return constant(False)
        case [literal]:
            return compare(node, "=", literal)
        case literals:
            return exp.In(this=node, expressions=literals)


def is_like(node: Node, pattern: str, dialect: SqlDialect) -> Node:
    """Return whether a text fits a pattern of LIKE, in which Postgres escapes by a backslash if no other is named."""
    like = exp.Like(this=node, expression=string(pattern, dialect))
    needs_escape = LIKE_ESCAPE in pattern or "\\" in pattern
    return exp.Escape(this=like, expression=string(LIKE_ESCAPE, dialect)) if needs_escape else like


def is_regex_match(node: Node, regex: str, dialect: SqlDialect) -> Node:
    """Return whether a regular expression of the dialect is found in a text."""
    return exp.RegexpLike(this=node, expression=string(regex, dialect))


def conjunction(conditions: Sequence[Node]) -> Node:
    """Return the AND of *conditions*."""
    return _join(exp.And, conditions)


def disjunction(conditions: Sequence[Node]) -> Node:
    """Return the OR of *conditions*; FALSE without any."""
    return _join(exp.Or, conditions) if conditions else constant(False)


def _join(junction: type[exp.Connector], conditions: Sequence[Node]) -> Node:
    terms = [exp.Paren(this=term) if isinstance(term, exp.Connector) else term for term in conditions]
    return reduce(lambda lhs, rhs: junction(this=lhs, expression=rhs), terms)


def negate(condition: Node) -> Node:
    """Return the NOT of a condition that counts as false where it is NULL.

    >>> write_sql(negate(compare(column("age"), "<", number("18"))), "duckdb")
    'NOT COALESCE("age" < 18, FALSE)'
    """
    if isinstance(condition, exp.Boolean):
        return constant(not condition.this)
    if isinstance(condition, exp.Exists):
        return exp.Not(this=condition)
    return exp.Not(this=exp.Coalesce(this=condition, expressions=[constant(False)]))


def count_true(conditions: Sequence[Node]) -> Node:
    """Return the number of *conditions* that are true."""
    ones: list[Node] = [exp.Case().when(condition, number("1")).else_(number("0")) for condition in conditions]
    return reduce(lambda lhs, rhs: exp.Add(this=lhs, expression=rhs), ones)


def any_element(elements: Node, condition: Callable[[Node], Node], dialect: SqlDialect) -> Node:
    """Return whether a *condition* is true for one of the elements of a list.

    >>> write_sql(any_element(column("days"), is_present, "clickhouse"), "clickhouse")
    'arrayExists("_element" -> NOT ("_element" IS NULL), "days")'
    """
    node = condition(column(ELEMENT))
    name = exp.to_identifier(ELEMENT, quoted=True)
    if dialect == "clickhouse":
        return call("arrayExists", exp.Lambda(this=node, expressions=[name]), elements)
    alias = exp.TableAlias(this=exp.to_identifier(ELEMENTS, quoted=True), columns=[name])
    return exp.Exists(this=exp.select("1").from_(exp.Unnest(expressions=[elements], alias=alias)).where(node))


def has_element(elements: Node, text: str, dialect: SqlDialect) -> Node:
    """Return whether a list of texts has *text*."""
    if dialect == "postgres" and NUL in text:
        return constant(False)
    literal = string(text, dialect)
    match dialect:
        case "duckdb":
            return call("LIST_CONTAINS", cast(elements, "TEXT[]", dialect), literal)
        case "postgres":
            return compare(literal, "=", exp.Any(this=exp.Paren(this=cast(elements, "TEXT[]", dialect))))
    return call("has", elements, literal)
