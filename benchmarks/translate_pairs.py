"""How does what one vendor says get to each other one: in one request, in several, or by ids?

Of random expressions over up to eight tags, each vendor's payloads are those that it says in one request; they are
read, and planned for every other vendor. For all 256 devices that there can be, each is reached once or not at all, as
the payload means it. Vendors that are only read have their payloads made here, of a list of tags that devices have.

    python -m benchmarks.translate_pairs [--expressions N] [--json FILE]
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from audience import And, Everyone, Expr, Nobody, Not, Or, Plan, Tag, plan, simplify, translate, vendors
from audience.algebra.normal_forms import nnf
from audience.planning.catalog.loader import loads
from audience.vendors import reachable
from benchmarks.expressions import TAGS, check, expression, reached
from benchmarks.report import circumstances, options, save, table

NAMES = ", ".join(f'{tag.value} = "tags:{tag.value}"' for tag in TAGS)
CATALOG = loads(
    f"[tag]\nvalues = {[tag.value for tag in TAGS]}\n[tag.names]\nbraze = {{{NAMES}}}\npinpoint = {{{NAMES}}}"
)


def main() -> None:
    parser = options(__doc__, "json")
    parser.add_argument("--expressions", type=int, default=200)
    chosen = parser.parse_args()
    chance = random.Random(42)
    exprs = [each for each in (expression(chance) for _ in range(chosen.expressions * 2)) if simplify(each) != Nobody()]
    exprs = exprs[: chosen.expressions]
    said = {source: [(expr, one) for expr in exprs if (one := _said(source, expr))] for source in vendors()}
    found = {source: {to: _ways(said[source], source, to) for to in reachable()} for source in vendors()}
    print(f"{len(exprs)} random expressions; a cell: in one request · in several · partly or wholly by ids.\n")
    head = ("from \\ to", "says", *reachable())
    rows = [(source, str(len(said[source])), *map(_cell, found[source].values())) for source in vendors()]
    print(table(head, rows))
    save({**circumstances(), "expressions": len(exprs), "pairs": found}, chosen.json)


def _ways(said: list[tuple[Expr, Any]], source: str, to: str) -> dict[str, int] | None:
    """How each payload that was *said* by *source* gets to the vendor *to*, proved on all devices."""
    if source == to:
        return None
    counts = Counter[str]()
    for expr, payload in said:
        found = translate(payload, source, to, CATALOG if source in SAYERS else None)
        assert reached(found.expr) == reached(expr), (source, payload)
        check(found.expr, found)
        counts[_way(found)] += 1
    return {way: counts[way] for way in ("one", "several", "ids")}


def _way(found: Plan) -> str:
    if found.by_ids is not None:
        return "ids"
    return "several" if len(found.native) > 1 else "one"


def _cell(ways: dict[str, int] | None) -> str:
    return "–" if ways is None else " · ".join(map(str, ways.values()))


def _said(source: str, expr: Expr) -> Any:
    """*expr* as one payload of the vendor *source*, or None."""
    if source in SAYERS:
        plain = simplify(nnf(expr))
        return None if isinstance(plain, Everyone | Nobody) else SAYERS[source](plain)
    found = plan(expr, source)
    return found.native[0] if len(found.native) == 1 and found.by_ids is None else None


def _braze(expr: Expr) -> Any:
    return {"audience": _filter(expr)}


def _filter(expr: Expr) -> Any:
    match expr:
        case And(terms=terms) | Or(terms=terms):
            return {"AND" if isinstance(expr, And) else "OR": [_filter(term) for term in terms]}
        case Not(term=Tag(value=value)):
            comparison = "does_not_include_value"
        case Tag(value=value):
            comparison = "includes_value"
        case _:
            raise AssertionError(expr)
    return {"custom_attribute": {"custom_attribute_name": "tags", "comparison": comparison, "value": value}}


def _pinpoint(expr: Expr) -> Any:
    """Groups of dimensions: AND of ORs, or OR of ANDs; None for what is deeper."""
    include = "ANY" if isinstance(expr, Or) else "ALL"
    groups = [_group(term) for term in (expr.terms if isinstance(expr, And | Or) else (expr,))]
    return {"SegmentGroups": {"Include": include, "Groups": groups}} if all(groups) else None


def _group(expr: Expr) -> Any:
    terms = expr.terms if isinstance(expr, And | Or) else (expr,)
    if any(isinstance(term, And | Or) for term in terms):
        return None
    return {"Type": "ANY" if isinstance(expr, Or) else "ALL", "Dimensions": [_dimension(term) for term in terms]}


def _dimension(expr: Expr) -> Any:
    tag, kind = (expr.term, "EXCLUSIVE") if isinstance(expr, Not) else (expr, "INCLUSIVE")
    assert isinstance(tag, Tag)
    return {"Attributes": {"tags": {"AttributeType": kind, "Values": [tag.value]}}}


SAYERS: dict[str, Callable[[Expr], Any]] = {"braze": _braze, "pinpoint": _pinpoint}

if __name__ == "__main__":
    main()
