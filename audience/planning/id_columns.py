"""Id columns of an index in plans: no vendor knows them, so what asks for them is looked up in the index."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import Column, list_id_calls, select_existence_columns, select_id_columns
from audience.language.ast import ID_KINDS, Atom, Expr, Has, Ids, atoms, walk_operands
from audience.language.call_reader import unknown_call_problem
from audience.planning.plans import Plan
from audience.vendors.spec import Payload, Unsupported, Vendor

UNKNOWN_CALL, INDEX_IDS = "unknown-call", "index-ids"
MESSAGE = "only the index knows the ids of its columns"


def require_known_calls(expr: Expr, columns: Iterable[Column]) -> None:
    """Raise ExpressionError if *expr* lists ids of a column that is not one of *columns*."""
    id_columns = [column.id_column for column in columns if column.is_id]
    for node in walk_operands(expr):
        if isinstance(node, Ids) and node.kind not in ID_KINDS and not select_id_columns(node.kind, id_columns):
            raise ExpressionError(unknown_call_problem(node.kind, node.span, list_id_calls(id_columns)))


def refuse_id_columns(vendor: Vendor, columns: Iterable[Column]) -> Vendor:
    """Return *vendor* with an `emit` that does not ask for ids of a column of an index with these *columns*.

    A key of that name at the vendor is something else, whatever the user vouches for.
    """
    if Has not in vendor.supported | vendor.explained:
        return vendor  # never gets the question
    columns = tuple(columns)

    def emit(expr: Expr) -> Payload:
        if not any(_asks_for_ids(atom, columns) for atom in atoms(expr)):
            return vendor.emit(expr)
        raise Unsupported(dict.fromkeys(problem for atom in atoms(expr) for problem in _find_problems(atom)))

    def _find_problems(atom: Atom) -> Iterator[Problem]:
        if _asks_for_ids(atom, columns):
            yield Problem(INDEX_IDS, MESSAGE, atom.span)
            return
        try:
            vendor.emit(atom)
        except Unsupported as error:
            yield from error.problems

    return replace(vendor, emit=emit)


def _asks_for_ids(atom: Atom, columns: tuple[Column, ...]) -> bool:
    return isinstance(atom, Has) and bool(select_existence_columns(atom.type, columns))


def describe_known_calls(planned: Plan) -> Plan:
    """Return a plan with an index; calls that no vendor knows list ids of its columns, as the reason says."""
    if not planned.reasons and not planned.split_reasons:
        return planned
    reasons, split_reasons = map(_describe_known_calls, (planned.reasons, planned.split_reasons))
    return replace(planned, reasons=reasons, split_reasons=split_reasons)


def _describe_known_calls(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(
        Problem(INDEX_IDS, MESSAGE, problem.span) if problem.code == UNKNOWN_CALL else problem for problem in problems
    )
