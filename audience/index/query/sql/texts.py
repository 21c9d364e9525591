"""Conditions of texts: equality, patterns and versions. A text that is empty counts as missing."""

from collections.abc import Sequence
from itertools import dropwhile

from audience.index.query.pattern_search import to_regex
from audience.index.query.sql import nodes
from audience.index.query.sql.nodes import Node, SqlDialect
from audience.language.ast import CompareOp
from audience.language.patterns import Pattern, Token, Wildcard, cases_of
from audience.language.platforms import platform_spellings

TRAILING_ZEROS = "([.]0+)+$"  # of a version, which is equal without them
# What Polars strips from the tags of a text: the white space of Unicode.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
UPPER_CASE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ\u212a"  # all characters whose lower case is one of the letters below
LOWER_CASE = "abcdefghijklmnopqrstuvwxyzk"
SEPARATORS = " _-"


def has_platform(text: Node, platforms: Sequence[str], dialect: SqlDialect) -> Node:
    """Return whether *text* is a spelling of one of *platforms*."""
    spellings = [spelling for platform in platforms for spelling in platform_spellings(platform)]
    unknown = [platform for platform in platforms if not platform_spellings(platform)]
    name = "translateUTF8" if dialect == "clickhouse" else "TRANSLATE"
    tables = [nodes.string(UPPER_CASE + SEPARATORS, dialect), nodes.string(LOWER_CASE, dialect)]
    conditions = [nodes.is_one_of(nodes.call(name, text, *tables), spellings, dialect)] if spellings else []
    return nodes.disjunction([*conditions, *([nodes.is_one_of(text, unknown, dialect)] if unknown else [])])


def fits_pattern(text: Node, pattern: Pattern, dialect: SqlDialect) -> Node:
    """Return whether *text* fits *pattern*, which no empty text does: `*` alone is none.

    >>> from audience.language.patterns import read_pattern
    >>> print(nodes.write_sql(fits_pattern(nodes.column("city"), read_pattern("gua*_?"), "postgres"), "postgres"))
    "city" LIKE 'gua%!__' ESCAPE '!'
    """
    if dialect == "postgres" and nodes.NUL in pattern.tokens:
        return nodes.constant(False)
    if dialect == "clickhouse" or (dialect == "duckdb" and pattern.ignores_case):
        return nodes.is_regex_match(text, to_regex(pattern), dialect)
    if pattern.ignores_case:
        return nodes.is_regex_match(text, f"^{''.join(map(_to_postgres_regex, pattern.tokens))}$", dialect)
    return nodes.is_like(text, "".join(map(_to_like, pattern.tokens)), dialect)


def _to_like(token: Token) -> str:
    match token:
        case Wildcard.ANY_TEXT:
            return "%"
        case Wildcard.ANY_CHARACTER:
            return "_"
    return nodes.LIKE_ESCAPE + token if token in ("%", "_", nodes.LIKE_ESCAPE) else token


def _to_postgres_regex(token: Token) -> str:
    match token:
        case Wildcard.ANY_TEXT:
            return ".*"
        case Wildcard.ANY_CHARACTER:
            return "."
    cases = cases_of(token)
    if len(cases) > 1:
        return f"[{cases}]"  # of letters
    return token if token.isalnum() or not token.isascii() or token.isspace() else f"\\{token}"


def compare_version(text: Node, operator: CompareOp, bound: str, dialect: SqlDialect) -> Node:
    """Return whether *text*, numbers with dots, is a version on one side of *bound*: arrays compare number by number.

    >>> print(nodes.write_sql(compare_version(nodes.column("app"), "<", "1.10.0", "duckdb"), "duckdb"))
    CAST(STRING_SPLIT(REGEXP_REPLACE(NULLIF("app", ''), '([.]0+)+$', ''), '.') AS BIGINT[]) < [1, 10]
    """
    numbers = [int(part) for part in bound.split(".")]
    kept = [*dropwhile(lambda part: not part, reversed(numbers))][::-1] or [0]
    literal = nodes.array(nodes.number(str(part)) for part in kept)
    empty, dot = nodes.string("", dialect), nodes.string(".", dialect)
    zeros = nodes.string(TRAILING_ZEROS, dialect)
    if dialect == "clickhouse":
        present = nodes.call("coalesce", nodes.call("nullIf", text, empty), nodes.string("0", dialect))
        parts = nodes.call("splitByChar", dot, nodes.call("replaceRegexpOne", present, zeros, empty))
        numbers_of_text = nodes.cast(parts, "BIGINT[]", dialect)
        return nodes.conjunction([nodes.is_not_empty(text, dialect), nodes.compare(numbers_of_text, operator, literal)])
    split = "STRING_SPLIT" if dialect == "duckdb" else "STRING_TO_ARRAY"
    shortened = nodes.call("REGEXP_REPLACE", nodes.call("NULLIF", text, empty), zeros, empty)
    parts = nodes.cast(nodes.call(split, shortened, dot), "BIGINT[]", dialect)
    bound_parts = literal if dialect == "duckdb" else nodes.cast(literal, "BIGINT[]", dialect)
    return nodes.compare(parts, operator, bound_parts)


def split_tags(text: Node, separator: str, dialect: SqlDialect) -> Node:
    """Return the tags in *text* as a list, as they stand there, with the white space around them."""
    literal = nodes.string(separator, dialect)
    match dialect:
        case "duckdb":
            return nodes.call("STRING_SPLIT", text, literal)
        case "postgres":
            return nodes.call("STRING_TO_ARRAY", text, literal)
    return nodes.call("splitByString", literal, nodes.call("coalesce", text, nodes.string("", dialect)))


def strip(text: Node, dialect: SqlDialect) -> Node:
    """Return *text* without white space around it."""
    if dialect == "clickhouse":
        edges = nodes.string(f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+$", dialect)
        return nodes.call("replaceRegexpAll", text, edges, nodes.string("", dialect))
    return nodes.call("BTRIM" if dialect == "postgres" else "TRIM", text, nodes.string(WHITE_SPACE, dialect))
