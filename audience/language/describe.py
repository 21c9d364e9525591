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


def outline(expr: Expr, depth: int = 0) -> list[str]:
    """The tree of *expr*, one node a line, each level two spaces further in.

    >>> from audience.language.parser import parse
    >>> print("\\n".join(outline(parse("a AND NOT (b OR c)"))))
    AND
      a
      NOT
        OR
          b
          c
    """
    lines = ["  " * depth + title(expr)]
    if not (isinstance(expr, Not) and not children(expr.term)):
        for term in children(expr):
            lines += outline(term, depth + 1)
    return lines


def title(expr: Expr) -> str:
    """The one line that stands for the node *expr*, without those below it."""
    match expr:
        case And():
            return "AND"
        case Or():
            return "OR"
        case Not(term=And() | Or() | Not()):
            return "NOT"
    return render(expr)


def as_json(expr: Expr) -> Any:
    """*expr* as plain lists, dictionaries and texts.

    >>> from audience.language.parser import parse
    >>> as_json(parse("city:杭州 AND NOT alias(u1)"))
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
        case Compare(type=type_, order=order, value=value):
            return {"compare": {"type": type_, "order": order, "value": value}}
        case Within(type=type_, days=days, day=day):
            return {"within": {"type": type_, "days": days, "day": day}}
        case Segment(name=name):
            return {"segment": name}
        case Sample(share=share, seed=seed):
            return {"sample": {"share": share, "seed": seed}}
        case Split(sides=sides, seed=seed, side=side):
            named = [{"name": name, "share": share} for name, share in sides]
            return {"split": {"sides": named, "seed": seed, "side": side}}
        case Not(term=term):
            return {"not": as_json(term)}
        case And(terms=terms):
            return {"and": list(map(as_json, terms))}
        case Or(terms=terms):
            return {"or": list(map(as_json, terms))}
