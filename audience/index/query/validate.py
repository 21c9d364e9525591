"""What an expression asks of an index that the index cannot answer, and what nobody there has."""

from audience.errors import ExpressionError, Problem
from audience.index.schema.columns import ORDERED, Role, columns_of
from audience.index.schema.value_types import Texts, stretch
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Atom, Compare, Expr, Ids, Tag, Within, atoms
from audience.language.attribute_names import BARE
from audience.language.printer import render
from audience.language.segments import expanded
from audience.language.suggest import did_you_mean

MOST_REMEMBERED = 4_096


def check(expr: Expr, snapshot: Snapshot) -> Expr:
    """*expr* with what is saved in place of its segments.

    Raises ExpressionError where it asks for what *snapshot* does not know; each object is looked at once.
    """
    known = snapshot.checked.get(id(expr))
    if known is not None and known[0] is expr:
        return known[1]
    whole = expanded(expr, snapshot.saved)
    for atom in atoms(whole):
        _check(atom, snapshot)
    if len(snapshot.checked) >= MOST_REMEMBERED:
        snapshot.checked.clear()
    snapshot.checked[id(expr)] = expr, whole
    return whole


def _check(atom: Atom, snapshot: Snapshot) -> None:
    match atom:
        case Tag():
            role = _role(atom, snapshot)
            if role in ORDERED:
                stretch(atom, role, Texts(role, []))
        case Compare() | Within():
            role = _role(atom, snapshot)
            if role not in ORDERED:
                message = f"{render(atom)!r}: the values of {atom.type} have no order"
                hint = f"build the index with --number, --date or --version {atom.type}"
                raise ExpressionError(Problem("no-order", message, atom.span, hint=hint))
            stretch(atom, role, Texts(role, []))
        case Ids():
            _check_ids(atom, snapshot)


def _role(query: Tag | Compare | Within, snapshot: Snapshot) -> Role:
    found = snapshot.roles.get(query.type)
    if found is None:
        raise ExpressionError(unknown_attribute(query, snapshot))
    return found


def _check_ids(ids: Ids, snapshot: Snapshot) -> None:
    """The index must hold such ids, and each must name one device where it is a device's own."""
    names = columns_of(ids, snapshot.ids)
    if not names:
        known = ", ".join(name.partition(":")[2] for name in snapshot.ids)
        problem = Problem("unknown-ids", f"the index holds no {ids.kind}", ids.span, hint=f"it holds {known}")
        raise ExpressionError(problem)
    if ids.kind == "registration_id" and len(names) > 1:
        from audience.index.storage import id_search  # here, as it takes Polars, and nothing else of a question does

        twice = id_search.ambiguous(ids, snapshot.shards)
        if twice:
            message = f"{twice[0]!r} names different devices at different vendors"
            raise ExpressionError(Problem("ambiguous-id", message, ids.span))


def unknown_attribute(query: Tag | Compare | Within, snapshot: Snapshot) -> Problem:
    """The problem of a type that no column of the index has, and what was probably meant."""
    if query.type == BARE:
        message = f"{render(query)!r}: this index has no bare tags"
    else:
        message = f"this index has no attribute {query.type!r}"
    known = [name for name in snapshot.roles if name != BARE]
    hint = did_you_mean(query.type, known) or (same_value(query, snapshot) if isinstance(query, Tag) else None)
    return Problem(
        "unknown-attribute",
        message,
        query.span,
        hint=hint or f"it has {', '.join(known) or 'bare tags only'}",
    )


def same_value(tag: Tag, snapshot: Snapshot) -> str | None:
    """A hint that names a tag with the value of *tag* but another type, or with both in its name."""
    from audience.index.query.attribute_stats import (
        known,  # here, as it takes Polars, and a question that is sound asks for none
    )

    attributes = known(snapshot)
    whole = Tag(BARE, f"{tag.type}:{tag.value}")
    others = [Tag(name, tag.value) for name in attributes if name != tag.type]
    for other in (whole, *others):
        attribute = attributes.get(other.type)
        if attribute and attribute.role in ("tags", "typed") and other.value in attribute.values:
            return f"did you mean {render(other)}?"
    return None
