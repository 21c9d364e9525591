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

from audience import And, Everyone, Expr, Nobody, Not, Or, Plan, Tag, plan, simplify, translate, vendor_names
from audience.algebra.normal_forms import nnf
from audience.planning.catalog.loader import parse_catalog
from benchmarks.expressions import TAGS, check_plan, evaluate_devices, random_expression
from benchmarks.report import describe_environment, format_table, make_parser, save_json

CATALOG_NAMES = ", ".join(f'{tag.value} = "tags:{tag.value}"' for tag in TAGS)
CATALOG = parse_catalog(
    f"[tag]\nvalues = {[tag.value for tag in TAGS]}\n[tag.names]\n"
    f"braze = {{{CATALOG_NAMES}}}\npinpoint = {{{CATALOG_NAMES}}}"
)


def main() -> None:
    parser = make_parser(__doc__, "json")
    parser.add_argument("--expressions", type=int, default=200)
    chosen = parser.parse_args()
    chance = random.Random(42)
    exprs = [
        each
        for each in (random_expression(chance) for _ in range(chosen.expressions * 2))
        if simplify(each) != Nobody()
    ]
    exprs = exprs[: chosen.expressions]
    said = {
        source: [(expr, one) for expr in exprs if (one := _emit_payload(source, expr))] for source in vendor_names()
    }
    found = {
        source: {to: _count_outcomes(said[source], source, to) for to in vendor_names(can="emit")}
        for source in vendor_names()
    }
    print(f"{len(exprs)} random expressions; a cell: in one request · in several · partly or wholly by ids.\n")
    head = ("from \\ to", "says", *vendor_names(can="emit"))
    rows = [
        (source, str(len(said[source])), *map(_format_outcomes, found[source].values())) for source in vendor_names()
    ]
    print(format_table(head, rows))
    save_json({**describe_environment(), "expressions": len(exprs), "pairs": found}, chosen.json)


def _count_outcomes(payloads: list[tuple[Expr, Any]], source: str, target: str) -> dict[str, int] | None:
    """How each payload that was *said* by *source* gets to the vendor *to*, proved on all devices."""
    if source == target:
        return None
    counts = Counter[str]()
    for expr, payload in payloads:
        found = translate(payload, source, target, CATALOG if source in PAYLOAD_WRITERS else None)
        assert evaluate_devices(found.expr) == evaluate_devices(expr), (source, payload)
        check_plan(found.expr, found)
        counts[_plan_outcome(found)] += 1
    return {way: counts[way] for way in ("one", "several", "ids")}


def _plan_outcome(result: Plan) -> str:
    if result.by_ids is not None:
        return "ids"
    return "several" if len(result.native) > 1 else "one"


def _format_outcomes(outcomes: dict[str, int] | None) -> str:
    return "–" if outcomes is None else " · ".join(map(str, outcomes.values()))


def _emit_payload(source: str, expr: Expr) -> Any:
    """*expr* as one payload of the vendor *source*, or None."""
    if source in PAYLOAD_WRITERS:
        plain = simplify(nnf(expr))
        return None if isinstance(plain, Everyone | Nobody) else PAYLOAD_WRITERS[source](plain)
    found = plan(expr, source)
    return found.native[0] if len(found.native) == 1 and found.by_ids is None else None


def _braze_payload(expr: Expr) -> Any:
    return {"audience": _braze_filter(expr)}


def _braze_filter(expr: Expr) -> Any:
    match expr:
        case And(terms=terms) | Or(terms=terms):
            return {"AND" if isinstance(expr, And) else "OR": [_braze_filter(term) for term in terms]}
        case Not(term=Tag(value=value)):
            comparison = "does_not_include_value"
        case Tag(value=value):
            comparison = "includes_value"
        case _:
            raise AssertionError(expr)
    return {"custom_attribute": {"custom_attribute_name": "tags", "comparison": comparison, "value": value}}


def _pinpoint_payload(expr: Expr) -> Any:
    """Groups of dimensions: AND of ORs, or OR of ANDs; None for what is deeper."""
    include = "ANY" if isinstance(expr, Or) else "ALL"
    groups = [_pinpoint_group(term) for term in (expr.terms if isinstance(expr, And | Or) else (expr,))]
    return {"SegmentGroups": {"Include": include, "Groups": groups}} if all(groups) else None


def _pinpoint_group(expr: Expr) -> Any:
    terms = expr.terms if isinstance(expr, And | Or) else (expr,)
    if any(isinstance(term, And | Or) for term in terms):
        return None
    return {
        "Type": "ANY" if isinstance(expr, Or) else "ALL",
        "Dimensions": [_pinpoint_dimension(term) for term in terms],
    }


def _pinpoint_dimension(expr: Expr) -> Any:
    tag, kind = (expr.term, "EXCLUSIVE") if isinstance(expr, Not) else (expr, "INCLUSIVE")
    assert isinstance(tag, Tag)
    return {"Attributes": {"tags": {"AttributeType": kind, "Values": [tag.value]}}}


PAYLOAD_WRITERS: dict[str, Callable[[Expr], Any]] = {"braze": _braze_payload, "pinpoint": _pinpoint_payload}

if __name__ == "__main__":
    main()
