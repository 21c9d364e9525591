"""Render an expression as canonical text."""

import regex

from audience.errors import ExpressionError
from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    Has,
    Ids,
    Nobody,
    Not,
    Or,
    Reference,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
)
from audience.language.attribute_names import TPNS_TYPES, UNTYPED
from audience.language.validation import type_error

UNQUOTED_NAME = regex.compile(r"[\p{L}\p{M}\p{N}_.@+/%-]+")
RESERVED_NAME = regex.compile(
    r"(?:and|or|not|in|within|everyone|nobody)|xg_(?:user_define|auto_\w+)\..*|@.*", regex.I | regex.S
)


def render(expr: Expr) -> str:
    """Return the canonical text of *expr*, so that `parse(render(expr)) == expr`.

    Raises:
        ExpressionError: A node is of a class that the language does not have.

    >>> from audience.language.parser import parse
    >>> render(parse("!(a || b) && province in (guangdong)"))
    'NOT (a OR b) AND province:guangdong'
    """
    match expr:
        case Everyone():
            return "everyone"
        case Nobody():
            return "nobody"
        case Tag(type=type_, value=value):
            return quote_name(value) if type_ == UNTYPED else f"{_quote_type(type_)}:{quote_name(value)}"
        case Ids(kind=kind, values=values):
            return f"{kind}({', '.join(map(quote_name, values))})"
        case Compare(type=type_, operator=operator, value=value):
            return f"{_quote_type(type_)} {operator} {quote_name(value)}"
        case Within(type=type_, days=days, day=day):
            return f"{_quote_type(type_)} within {days} {'day' if days == 1 else 'days'} of {quote_name(day)}"
        case Has(type=type_):
            return f"has({_quote_type(type_)})"
        case Reference(vendor=vendor, kind=kind, value=value):
            return f"reference({quote_name(vendor)}, {quote_name(kind)}, {quote_name(value)})"
        case Segment(name=name):
            return f"@{quote_name(name)}"
        case Sample(percent=percent, seed=seed):
            return f"sample({percent}%, {_quote_seed(seed)})"
        case Split(variants=variants, seed=seed, variant=variant):
            pairs = ", ".join(f"{quote_name(name)}:{percent}%" for name, percent in variants)
            return f"split({pairs}, {_quote_seed(seed)}){'' if variant is None else f' = {quote_name(variant)}'}"
        case Not(term=term):
            return f"NOT {_parenthesize(term, (And, Or))}"
        case And(terms=terms):
            return " AND ".join(_parenthesize(term, (And, Or)) for term in terms)
        case Or(terms=terms):
            # AND inside OR would not need brackets, but vendors disagree on precedence and brackets read faster.
            return " OR ".join(_parenthesize(term, (And, Or)) for term in terms)
    raise unknown_node_error(expr)


def unknown_node_error(node: object) -> ExpressionError:
    """Return the error for a *node* of a class that the language has no syntax for."""
    return type_error("expression", "a node of the language", node)


def quote_name(text: str) -> str:
    """Return *text* as a name of the language, quoted if necessary.

    >>> print(quote_name("guangdong"), quote_name("MI 9 SE"), quote_name("or"), quote_name("城市"))
    guangdong "MI 9 SE" "or" 城市
    """
    if UNQUOTED_NAME.fullmatch(text) and not RESERVED_NAME.fullmatch(text):
        return text
    return _quote(text)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quote_seed(text: str) -> str:
    """Quote a seed also if it looks like a percentage."""
    return _quote(text) if text.endswith("%") else quote_name(text)


def _quote_type(text: str) -> str:
    """Quote a type also if it is a TPNS name, which the parser would translate."""
    return f'"{text}"' if text in TPNS_TYPES else quote_name(text)


def _parenthesize(term: Expr, parenthesized_types: tuple[type, ...]) -> str:
    return f"({render(term)})" if isinstance(term, parenthesized_types) else render(term)
