"""Expression → house text, one text for each expression."""

import regex

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
)
from audience.language.attribute_names import BARE, TPNS_TYPES

NAME = regex.compile(r"[\p{L}\p{M}\p{N}_.@+/%-]+")
SPECIAL = regex.compile(
    r"(?:and|or|not|in|within|everyone|nobody)|xg_(?:user_define|auto_\w+)\..*|@.*", regex.I | regex.S
)


def render(expr: Expr) -> str:
    """Write *expr* so that `parse(render(expr)) == expr`.

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
            return name(value) if type_ == BARE else f"{_type(type_)}:{name(value)}"
        case Ids(kind=kind, values=values):
            return f"{kind}({', '.join(map(name, values))})"
        case Compare(type=type_, order=order, value=value):
            return f"{_type(type_)} {order} {name(value)}"
        case Within(type=type_, days=days, day=day):
            return f"{_type(type_)} within {days} {'day' if days == 1 else 'days'} of {name(day)}"
        case Segment(name=saved):
            return f"@{name(saved)}"
        case Sample(share=share, seed=seed):
            return f"sample({share}%, {_seed(seed)})"
        case Split(sides=sides, seed=seed, side=side):
            shares = ", ".join(f"{name(each)}:{share}%" for each, share in sides)
            return f"split({shares}, {_seed(seed)}){'' if side is None else f' = {name(side)}'}"
        case Not(term=term):
            return f"NOT {_inside(term, (And, Or))}"
        case And(terms=terms):
            return " AND ".join(_inside(term, (And, Or)) for term in terms)
        case Or(terms=terms):
            # AND within OR needs no brackets here, but vendors disagree on that, and readers pause over it.
            return " OR ".join(_inside(term, (And, Or)) for term in terms)


def name(text: str) -> str:
    """*text* as it stands in an expression, in quotes where it needs them.

    >>> print(name("guangdong"), name("MI 9 SE"), name("or"), name("城市"))
    guangdong "MI 9 SE" "or" 城市
    """
    if NAME.fullmatch(text) and not SPECIAL.fullmatch(text):
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _seed(text: str) -> str:
    """A seed as it stands in an expression; one that looks like a share is quoted."""
    return _quoted(text) if text.endswith("%") else name(text)


def _type(text: str) -> str:
    """A type as it stands in an expression; one that TPNS's words would change is quoted."""
    return f'"{text}"' if text in TPNS_TYPES else name(text)


def _inside(term: Expr, bracketed: tuple[type, ...]) -> str:
    return f"({render(term)})" if isinstance(term, bracketed) else render(term)
