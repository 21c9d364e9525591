"""Random expressions over eight tags, and the devices that each of them reaches of the 256 there can be."""

import random

from audience import And, Everyone, Expr, Not, Or, Plan, Tag, get_vendor
from audience.language.ast import bare

TAGS = [bare(name) for name in "abcdefgh"]
ALL_DEVICES = (1 << 256) - 1
DEVICES_BY_TAG = {tag: sum(1 << device for device in range(256) if device >> at & 1) for at, tag in enumerate(TAGS)}


def random_expression(rng: random.Random, depth: int = 3) -> Expr:
    """A random expression over the eight tags."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(TAGS)
    terms = tuple(random_expression(rng, depth - 1) for _ in range(rng.randint(2, 3)))
    kind = rng.choice(["and", "or", "not"])
    return And(terms) if kind == "and" else Or(terms) if kind == "or" else Not(terms[0])


def evaluate_devices(expr: Expr) -> int:
    """The devices inside *expr*: one bit for each of the 256."""
    match expr:
        case Everyone():
            return ALL_DEVICES
        case Tag():
            return DEVICES_BY_TAG[expr]
        case Not(term=term):
            return ALL_DEVICES & ~evaluate_devices(term)
        case And(terms=terms):
            found = ALL_DEVICES
            for term in terms:
                found &= evaluate_devices(term)
            return found
        case Or(terms=terms):
            found = 0
            for term in terms:
                found |= evaluate_devices(term)
            return found
    return 0


def check_plan(expr: Expr, result: Plan) -> None:
    """Every device that is meant is reached once, and nobody else."""
    said = [get_vendor(result.vendor).parse(payload) for payload in result.native]
    told = 0
    for part in [*said, *([result.by_ids] if result.by_ids is not None else [])]:
        assert told & evaluate_devices(part) == 0, f"told twice: {expr}"
        told |= evaluate_devices(part)
    assert told == evaluate_devices(expr), f"not those who were meant: {expr}"
