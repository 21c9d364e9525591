"""What commands print: results to standard output, problems to standard error, each for people or as JSON."""

import sys
from collections.abc import Iterable
from typing import Any

import orjson

from audience.errors import Problem
from audience.index import DeviceIndex
from audience.language.render import render
from audience.plan import Plan
from audience.screen import table
from audience.vendors.base import dump


def info(index: DeviceIndex, json: bool) -> None:
    """Print what *index* holds."""
    store = index.store
    attributes: list[dict[str, Any]] = [
        {"name": each.name, "kind": each.role, "values": each.values, "most": _most(index, each.name)}
        for each in store.attributes.values()
    ]
    if json:
        files = {name: facts["bytes"] for name, facts in store.files.items()}
        result({"devices": len(index), "ids": store.ids, "attributes": attributes, "files": files}, json, "")
        return
    size = sum(facts["bytes"] for facts in store.files.values())
    sys.stdout.write(f"{store.folder}: {len(index):,} devices, {size / 1e6:,.1f} MB, ids {', '.join(store.ids)}\n")
    rows = [(a["name"], a["kind"], f"{a['values']:,}", ", ".join(a["most"])) for a in attributes]
    table(("attribute", "kind", "values", "most frequent"), rows)


def _most(index: DeviceIndex, name: str) -> list[str]:
    """The values that most devices have."""
    attribute = index.attributes[name]
    places = index.store.counts(attribute).arg_sort(descending=True).head(4)
    return index.store.values(attribute).gather(places).to_list()


def verdict(plan: Plan) -> str:
    """What a vendor could say, or all the reasons why not."""
    if plan.native:
        return f"{plan.vendor}: natively\n  {dump(plan.native[0])}"
    if plan.by_ids is None:
        return f"{plan.vendor}: nobody is meant, nothing to send"
    reasons = "\n".join(f"  - {_indented(reason)}" for reason in plan.reasons)
    return f"{plan.vendor}: by ids, because\n{reasons}"


def _indented(reason: Problem) -> str:
    hint = f" ({reason.hint})" if reason.hint else ""
    return f"{reason.code}: {reason.message}{hint}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """*plan* for machines."""
    return {
        "native": list(plan.native),
        "by_ids": None if plan.by_ids is None else render(plan.by_ids),
        "reasons": [_problem_json(reason) for reason in plan.reasons],
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    place = {"start": problem.span.start, "end": problem.span.end} if problem.span else None
    return {
        "code": problem.code,
        "message": problem.message,
        "place": place,
        "path": problem.path,
        "hint": problem.hint,
    }


def result(value: Any, json: bool, text: str) -> None:
    """Print the result of a command: *value* as JSON, or *text* for people."""
    sys.stdout.write((orjson.dumps(value).decode() if json else text) + "\n")


def tell(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* to standard error."""
    if json:
        errors = [_problem_json(problem) for problem in problems]
        sys.stderr.write(orjson.dumps({"errors": errors}).decode() + "\n")
    else:
        sys.stderr.write("\n".join(map(str, problems)) + "\n")


def warn(problems: Iterable[Problem]) -> None:
    """Write *problems* that do not stop the command to standard error."""
    for problem in problems:
        sys.stderr.write(f"warning: {problem}\n")
