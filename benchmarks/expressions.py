"""Random expressions over eight tags, and the devices that each of them reaches of the 256 there can be."""

import random

from audience import And, Everyone, Expr, Not, Or, Plan, Tag, vendor
from audience.language.ast import bare

TAGS = [bare(name) for name in "abcdefgh"]
FULL = (1 << 256) - 1
BITS = {tag: sum(1 << device for device in range(256) if device >> at & 1) for at, tag in enumerate(TAGS)}


def expression(chance: random.Random, depth: int = 3) -> Expr:
    """A random expression over the eight tags."""
    if depth == 0 or chance.random() < 0.15:
        return chance.choice(TAGS)
    terms = tuple(expression(chance, depth - 1) for _ in range(chance.randint(2, 3)))
    kind = chance.choice(["and", "or", "not"])
    return And(terms) if kind == "and" else Or(terms) if kind == "or" else Not(terms[0])


def reached(expr: Expr) -> int:
    """The devices inside *expr*: one bit for each of the 256."""
    match expr:
        case Everyone():
            return FULL
        case Tag():
            return BITS[expr]
        case Not(term=term):
            return FULL & ~reached(term)
        case And(terms=terms):
            found = FULL
            for term in terms:
                found &= reached(term)
            return found
        case Or(terms=terms):
            found = 0
            for term in terms:
                found |= reached(term)
            return found
    return 0


def check(expr: Expr, found: Plan) -> None:
    """Every device that is meant is reached once, and nobody else."""
    said = [vendor(found.vendor).parse(payload) for payload in found.native]
    told = 0
    for part in [*said, *([found.by_ids] if found.by_ids is not None else [])]:
        assert told & reached(part) == 0, f"told twice: {expr}"
        told |= reached(part)
    assert told == reached(expr), f"not those who were meant: {expr}"
