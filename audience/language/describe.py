"""Describe an expression: as an indented tree for people, as JSON for programs."""

from typing import Any

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
    children,
)
from audience.language.printer import render, unknown_node_error


def format_tree(expr: Expr, depth: int = 0) -> list[str]:
    r"""Return the tree of *expr*, one node per line, two spaces of indentation per level.

    >>> from audience.language.parser import parse
    >>> print("\n".join(format_tree(parse("a AND NOT (b OR c)"))))
    AND
      a
      NOT
        OR
          b
          c
    """
    lines = ["  " * depth + node_label(expr)]
    if not (isinstance(expr, Not) and not children(expr.term)):
        for term in children(expr):
            lines += format_tree(term, depth + 1)
    return lines


def node_label(expr: Expr) -> str:
    """Return the label of a single node, without its children."""
    match expr:
        case And():
            return "AND"
        case Or():
            return "OR"
        case Not(term=And() | Or() | Not()):
            return "NOT"
    return render(expr)


def expr_json(expr: Expr) -> Any:
    """Return *expr* as lists, dictionaries and strings that JSON can hold.

    >>> from audience.language.parser import parse
    >>> expr_json(parse("city:杭州 AND NOT alias(u1)"))
    {'and': [{'tag': {'type': 'city', 'value': '杭州'}}, {'not': {'alias': ['u1']}}]}
    """
    match expr:
        case Everyone():
            return "everyone"
        case Nobody():
            return "nobody"
        case Tag(type=type_, value=value):
            return {"tag": {"type": type_, "value": value}}
        case Ids(kind=kind, values=values):
            return {kind: list(values)}
        case Compare(type=type_, operator=operator, value=value):
            return {"compare": {"type": type_, "operator": operator, "value": value}}
        case Within(type=type_, days=days, day=day):
            return {"within": {"type": type_, "days": days, "day": day}}
        case Has(type=type_):
            return {"has": type_}
        case Reference(vendor=vendor, kind=kind, value=value):
            return {"reference": {"vendor": vendor, "kind": kind, "value": value}}
        case Segment(name=name):
            return {"segment": name}
        case Sample(percent=percent, seed=seed):
            return {"sample": {"percent": percent, "seed": seed}}
        case Split(variants=variants, seed=seed, variant=variant):
            pairs = [{"name": name, "percent": percent} for name, percent in variants]
            return {"split": {"variants": pairs, "seed": seed, "variant": variant}}
        case Not(term=term):
            return {"not": expr_json(term)}
        case And(terms=terms):
            return {"and": list(map(expr_json, terms))}
        case Or(terms=terms):
            return {"or": list(map(expr_json, terms))}
    raise unknown_node_error(expr)
