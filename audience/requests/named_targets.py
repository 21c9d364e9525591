"""Requests to names that no index has: test devices, accounts, aliases and live activities.

An expression that only lists names needs no index. Its requests are native, the number of devices is that of the names,
and nobody has checked them: no policies apply, and a name may stand for several devices, or for none.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace as replace_fields
from pathlib import Path

from audience._fs.atomic import atomic_folder
from audience.algebra.normal_forms import nnf
from audience.algebra.simplification import simplify
from audience.argument_types import check_arguments
from audience.counts import format_count
from audience.errors import OutputError, PlanError, Problem
from audience.language.ast import Expr, IdKind, Ids, Nobody, Not, Or, Reference, all_of, and_terms, atoms
from audience.language.parser import to_expr
from audience.language.printer import render
from audience.planning.id_lists import single_id_fact
from audience.planning.planner import plan
from audience.planning.plans import Plan
from audience.progress import Progress, ignore_progress
from audience.requests.writer import EMISSION_FILE, OWNED_FILES, EmitResult, write_plan
from audience.vendors import get_vendor
from audience.vendors.spec import Vendor

NOUNS: dict[IdKind, str] = {
    "registration_id": "id",
    "account": "account",
    "alias": "alias",
    "live_activity_id": "live activity",
}
PLURALS = {"alias": "aliases", "live activity": "live activities"}  # that are not the noun and s
SEPARATE_KINDS = ("registration_id", "live_activity_id")  # whose names mean no device twice in separate requests
NO_POLICIES = Problem("no-policies", "no index is asked, so no policies, caps or suppressions apply")


@check_arguments
def plan_named(expr: Expr | str, vendor: str) -> Plan:
    """Plan native requests to the names that *expr* lists, without an index.

    Args:
        expr: Ids, accounts, aliases or live activities, with references of the vendor that narrow them.
        vendor: Name of the vendor.

    Raises:
        PlanError: The expression needs an index, or the vendor cannot be sent the names.

    >>> plan_named("live_activity_id(order-7, order-8)", "engagelab").native
    ({'to': {'live_activity_id': 'order-7'}}, {'to': {'live_activity_id': 'order-8'}})
    """
    expr = to_expr(expr)
    names, others = _find_names(expr)
    record = get_vendor(vendor, can="emit")
    parts = list(_split_names(names, record))
    plans = [_plan_part(all_of([part, *others]), names, vendor) for part in parts]
    facts = [single_id_fact(record, names.kind)] if len(parts) > 1 and names.kind in record.exclusive_ids else []
    return replace_fields(
        plans[0],
        expr=all_of([names, *others]),
        native=tuple(payload for each in plans for payload in each.native),
        request_exprs=tuple(request for each in plans for request in each.request_exprs),
        assumptions=(_counted_by_name(names), NO_POLICIES, *facts, *_join_assumptions(plans)),
    )


def count_names(planned: Plan) -> int:
    """Return the number of names of a plan by `plan_named`."""
    return len(_find_names(planned.expr)[0].values)


def write_named_requests(
    planned: Plan, folder: Path, *, replace: bool = False, progress: Progress = ignore_progress
) -> EmitResult:
    """Write the requests of a plan by `plan_named` into the new *folder*.

    Raises:
        OutputError: The folder exists or cannot be written, or an index keeps records of it. Nothing is left there.
    """
    if (folder / EMISSION_FILE).is_file():
        message = f"{folder}: an index has records of these requests, which others must not replace"
        raise OutputError(Problem("recorded-requests", message, hint="write to a new folder"))
    with atomic_folder(folder, owned_patterns=OWNED_FILES, replace=replace) as draft:
        return write_plan(planned, None, count_names(planned), draft, progress)


def _find_names(expr: Expr) -> tuple[Ids, list[Expr]]:
    """Return the one list of names in *expr*, and the references that narrow it."""
    if problems := list(_index_problems(expr)):
        raise PlanError(*problems)
    simplified = simplify(nnf(simplify(expr)))
    if simplified == Nobody():
        raise PlanError(Problem("nobody", f"{render(expr)!r} means nobody", hint="name at least one"))
    terms = and_terms(simplified)
    lists = [term for term in terms if isinstance(term, Ids)]
    others: list[Expr] = [term for term in terms if not isinstance(term, Ids)]
    if len(lists) != 1 or not all(isinstance(term, Reference) for term in others):
        raise PlanError(_mixed_problem(simplified))
    return replace_fields(lists[0], values=tuple(dict.fromkeys(lists[0].values))), others


def _index_problems(expr: Expr) -> Iterator[Problem]:
    """Find parts of *expr* whose devices only an index can find and count."""
    for atom in atoms(expr):
        if not isinstance(atom, Ids | Reference):
            message = f"{render(atom)!r} is not a name: only an index knows its devices, and how many they are"
            hint = "list ids, accounts, aliases or live activities, or pass an INDEX instead of --without-index"
            yield Problem("needs-index", message, getattr(atom, "span", None), hint=hint)


def _mixed_problem(expr: Expr) -> Problem:
    """Return why the devices of *expr* cannot be counted by its names."""
    if not any(isinstance(atom, Ids) for atom in atoms(expr)):
        message = f"{render(expr)!r} lists no names, so nothing can be counted"
    elif any(isinstance(term, Not) for term in and_terms(expr)):
        message = f"{render(expr)!r}: whom a NOT leaves out, only an index knows"
    elif isinstance(expr, Or):
        message = f"{render(expr)!r}: a device with two of these names would be reached twice"
    else:
        message = f"{render(expr)!r}: how many devices have all of these names, only an index knows"
    return Problem("needs-index", message, hint="list names of one kind; emit others to another folder")


def _split_names(names: Ids, vendor: Vendor) -> Iterator[Ids]:
    """Yield the names of each request: as many as it holds, or all of them where a device may have several names."""
    is_separate = names.kind in SEPARATE_KINDS or names.kind in vendor.exclusive_ids
    size = 1 if names.kind == "live_activity_id" else vendor.max_ids if is_separate else len(names.values)
    for start in range(0, len(names.values), size):
        yield replace_fields(names, values=names.values[start : start + size])


def _plan_part(expr: Expr, names: Ids, vendor: str) -> Plan:
    planned = plan(expr, vendor, max_requests=1)
    if planned.by_ids is None and len(planned.native) == 1:
        return planned
    hint = None
    if any(reason.code == "too-many" for reason in planned.reasons):
        hint = "emit them to several folders; a device that has names in two of them is reached twice"
    message = f"{vendor} cannot be sent {_count(names)} in this way"
    raise PlanError(Problem("not-native", message, hint=hint), *planned.reasons)


def _join_assumptions(plans: Iterable[Plan]) -> dict[Problem, None]:
    return dict.fromkeys(assumption for each in plans for assumption in each.assumptions)


def _counted_by_name(names: Ids) -> Problem:
    message = f"{_count(names)} counted as {format_count(len(names.values), 'device')}: nobody has looked them up"
    return Problem("counted-by-name", message)


def _count(names: Ids) -> str:
    noun = NOUNS[names.kind]
    return format_count(len(names.values), noun, PLURALS.get(noun, ""))
