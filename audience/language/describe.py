"""Expression → the shapes that people and machines look at: an indented tree, and JSON."""

from typing import Any

from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    Ids,
    Nobody,
    Not,
    Or,
    Sample,
    Segment,
    Split,
    Tag,
    Within,
    children,
)
from audience.language.printer import render


def format_tree(expr: Expr, depth: int = 0) -> list[str]:
    """The tree of *expr*, one node a line, each level two spaces further in.

    >>> from audience.language.parser import parse
    >>> print("\\n".join(format_tree(parse("a AND NOT (b OR c)"))))
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
    """The one line that stands for the node *expr*, without those below it."""
    match expr:
        case And():
            return "AND"
        case Or():
            return "OR"
        case Not(term=And() | Or() | Not()):
            return "NOT"
    return render(expr)


def expr_json(expr: Expr) -> Any:
    """*expr* as plain lists, dictionaries and texts.

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
        case Compare(type=type_, operator=order, value=value):
            return {"compare": {"type": type_, "operator": order, "value": value}}
        case Within(type=type_, days=days, day=day):
            return {"within": {"type": type_, "days": days, "day": day}}
        case Segment(name=name):
            return {"segment": name}
        case Sample(percent=share, seed=seed):
            return {"sample": {"percent": share, "seed": seed}}
        case Split(variants=sides, seed=seed, variant=side):
            named = [{"name": name, "percent": share} for name, share in sides]
            return {"split": {"variants": named, "seed": seed, "variant": side}}
        case Not(term=term):
            return {"not": expr_json(term)}
        case And(terms=terms):
            return {"and": list(map(expr_json, terms))}
        case Or(terms=terms):
            return {"or": list(map(expr_json, terms))}
