"""What an expression asks of an index that the index cannot answer, and what nobody there has."""

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import ORDERED_ROLES, Role, select_id_columns
from audience.index.schema.value_types import SortedStrings, find_rank_range
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Atom, Compare, Expr, Ids, Tag, Within, atoms
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.language.segments import expand_segments
from audience.language.suggest import did_you_mean

MAX_VALIDATED_EXPRS = 4_096


def validate_and_expand(expr: Expr, snapshot: Snapshot) -> Expr:
    """*expr* with what is saved in place of its segments.

    Raises ExpressionError where it asks for what *snapshot* does not know; each object is looked at once.
    """
    known = snapshot.validated_exprs.get(id(expr))
    if known is not None and known[0] is expr:
        return known[1]
    whole = expand_segments(expr, snapshot.segments)
    for atom in atoms(whole):
        _validate_atom(atom, snapshot)
    if len(snapshot.validated_exprs) >= MAX_VALIDATED_EXPRS:
        snapshot.validated_exprs.clear()
    snapshot.validated_exprs[id(expr)] = expr, whole
    return whole


def _validate_atom(atom: Atom, snapshot: Snapshot) -> None:
    match atom:
        case Tag():
            role = _require_role(atom, snapshot)
            if role in ORDERED_ROLES:
                find_rank_range(atom, role, SortedStrings(role, []))
        case Compare() | Within():
            role = _require_role(atom, snapshot)
            if role not in ORDERED_ROLES:
                message = f"{render(atom)!r}: the values of {atom.type} have no order"
                hint = f"build the index with --number, --date or --version {atom.type}"
                raise ExpressionError(Problem("no-order", message, atom.span, hint=hint))
            find_rank_range(atom, role, SortedStrings(role, []))
        case Ids():
            _validate_ids(atom, snapshot)


def _require_role(atom: Tag | Compare | Within, snapshot: Snapshot) -> Role:
    found = snapshot.roles.get(atom.type)
    if found is None:
        raise ExpressionError(unknown_attribute_problem(atom, snapshot))
    return found


def _validate_ids(ids: Ids, snapshot: Snapshot) -> None:
    """The index must hold such ids, and each must name one device where it is a device's own."""
    names = select_id_columns(ids, snapshot.id_column_names)
    if not names:
        known = ", ".join(name.partition(":")[2] for name in snapshot.id_column_names)
        problem = Problem("unknown-ids", f"the index holds no {ids.kind}", ids.span, hint=f"it holds {known}")
        raise ExpressionError(problem)
    if ids.kind == "registration_id" and len(names) > 1:
        from audience.index.storage import id_search  # here, as it takes Polars, and nothing else of a question does

        twice = id_search.find_ambiguous_ids(ids, snapshot.shards)
        if twice:
            message = f"{twice[0]!r} names different devices at different vendors"
            raise ExpressionError(Problem("ambiguous-id", message, ids.span))


def unknown_attribute_problem(atom: Tag | Compare | Within, snapshot: Snapshot) -> Problem:
    """The problem of a type that no column of the index has, and what was probably meant."""
    if atom.type == UNTYPED:
        message = f"{render(atom)!r}: this index has no bare tags"
    else:
        message = f"this index has no attribute {atom.type!r}"
    known = [name for name in snapshot.roles if name != UNTYPED]
    hint = did_you_mean(atom.type, known) or (suggest_same_value(atom, snapshot) if isinstance(atom, Tag) else None)
    return Problem(
        "unknown-attribute",
        message,
        atom.span,
        hint=hint or f"it has {', '.join(known) or 'bare tags only'}",
    )


def suggest_same_value(tag: Tag, snapshot: Snapshot) -> str | None:
    """A hint that names a tag with the value of *tag* but another type, or with both in its name."""
    from audience.index.query.attribute_stats import (
        collect_attribute_stats,  # here, as it takes Polars, and a question that is sound asks for none
    )

    attributes = collect_attribute_stats(snapshot)
    whole = Tag(UNTYPED, f"{tag.type}:{tag.value}")
    others = [Tag(name, tag.value) for name in attributes if name != tag.type]
    for other in (whole, *others):
        attribute = attributes.get(other.type)
        if attribute and attribute.role in ("tags", "typed") and other.value in attribute.values:
            return f"did you mean {render(other)}?"
    return None
