"""Check an expression against the attributes, ids and segments of an index."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from audience.errors import ExpressionError, Problem
from audience.index.query.attribute_rows import has_tag, sorted_values
from audience.index.query.instants import expand_anniversaries, to_instants
from audience.index.query.operand_validation import validate_operands
from audience.index.query.questions import bind_segments
from audience.index.query.tag_questions import read_tags
from audience.index.query.tag_trees import JUNCTIONS
from audience.index.schema.columns import (
    TEXT_ROLES,
    IdColumn,
    Role,
    list_id_calls,
    select_existence_columns,
    select_id_columns,
)
from audience.index.schema.value_types import value_type_of, year_bounds
from audience.index.storage import single_ids
from audience.index.storage.events.event_log import EventLog
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import (
    ID_KINDS,
    MIRRORED_OPS,
    Aggregate,
    Anniversary,
    Atom,
    AtomNode,
    AttributeAtom,
    Between,
    Compare,
    Did,
    EventAtom,
    EventMoment,
    Expr,
    Has,
    Ids,
    Limit,
    Matches,
    Reference,
    Sample,
    Split,
    Tag,
    Top,
    Within,
    map_operands,
    walk_operands,
)
from audience.language.attribute_names import UNTYPED
from audience.language.binding import is_relative
from audience.language.call_reader import unknown_call_problem
from audience.language.id_files import list_id_files, require_unchanged_files
from audience.language.patterns import contained_text
from audience.language.printer import quote_name, render
from audience.language.references import reference_problem
from audience.language.segments import expand_segments
from audience.language.suggest import did_you_mean
from audience.language.token_reader import NAMED_TIMES
from audience.language.validation import join_some
from audience.span import Span

MAX_VALIDATED_EXPRS = 4_096
COLUMN_ATOMS = Tag, Compare, Within, Between, Has, Sample, Split, Limit  # need columns, whatever values devices have


def validate_and_expand(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> Expr:
    """Return *expr* as it is evaluated: with saved expressions for segments, and instants in UTC for days and times.

    Each expression object is validated once for a snapshot, and once for all with the same columns and segments if it
    needs no more. One with relative times is bound whenever it is asked, and what it is bound to is validated once. One
    with files of ids is validated whenever it is asked.

    Args:
        expr: Expression.
        snapshot: Snapshot with the segments and attributes.
        as_of: When and where the expression is asked. None is now, in the time zone of the index.

    Raises:
        ExpressionError: *snapshot* does not have something that the expression refers to, or a file has changed.
    """
    zone = snapshot.zone if as_of is None else as_of.zone
    cached = snapshot.validated_exprs.get(id(expr))
    if cached is not None and cached[0] is expr and cached[1] is zone:
        return cached[2]
    lasting = snapshot.lasting_exprs.get(id(expr))
    if lasting is not None and lasting[0] is expr and lasting[1] is zone:
        return _keep_validated(expr, zone, _plan_tags_ahead(lasting[2], snapshot), snapshot)
    expanded = expand_segments(expr, snapshot.segments)
    if has_events(expanded):
        return _validate_events(expanded, zone, snapshot, as_of)
    has_files = bool(list_id_files(expanded))
    if has_files:
        require_unchanged_files(expanded)
    if is_relative(expanded):
        return _validate_bound(bind_segments(expanded, snapshot, as_of), zone, snapshot)
    evaluated = _validate_atoms(expanded, zone, snapshot)
    if has_files:
        return evaluated
    if all(_needs_columns_alone(atom, snapshot) for atom in atoms_of_operands(expanded)):
        _make_room(snapshot.lasting_exprs)
        snapshot.lasting_exprs[id(expr)] = expr, zone, evaluated
    return _keep_validated(expr, zone, evaluated, snapshot)


def _keep_validated(expr: Expr, zone: ZoneInfo, evaluated: Expr, snapshot: Snapshot) -> Expr:
    _make_room(snapshot.validated_exprs)
    snapshot.validated_exprs[id(expr)] = expr, zone, evaluated
    return evaluated


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= MAX_VALIDATED_EXPRS:
        kept.clear()


def _needs_columns_alone(atom: Atom, snapshot: Snapshot) -> bool:
    """Return whether the columns of *snapshot* decide whether *atom* is valid, and as what it is evaluated."""
    is_doubtful = isinstance(atom, Tag) and atom.type == UNTYPED and _is_column(atom.value, snapshot)
    return isinstance(atom, COLUMN_ATOMS) and not is_doubtful


def validate_segment(expr: Expr, snapshot: Snapshot) -> None:
    """Require that *snapshot* has what a saved expression refers to; which days of events it has matters when asked.

    Raises:
        ExpressionError: It has not.
    """
    validate_and_expand(expr, snapshot, read_as_of(default_timezone=snapshot.timezone, allow_gaps=True))


def has_events(expr: Expr) -> bool:
    """Return whether *expr* has a condition about events."""
    return any(isinstance(node, EventAtom) for node in walk_operands(expr))


def _validate_events(expr: Expr, zone: ZoneInfo, snapshot: Snapshot, as_of: AsOf | None) -> Expr:
    """Validate an expression with conditions about events, which are covered or not whenever it is asked."""
    require_unchanged_files(expr)
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    evaluated = _validate_bound(bind_segments(expr, snapshot, asked), zone, snapshot)
    if not asked.allow_gaps:
        from audience.index.query.events.validation import require_coverage  # few expressions are about events

        require_coverage(evaluated, asked, snapshot)
    return evaluated


def _validate_bound(expr: Expr, zone: ZoneInfo, snapshot: Snapshot) -> Expr:
    """Return one object for all equal expressions, since operands are cached by the identity of an expression."""
    known = snapshot.bound_exprs.get((expr, zone))
    if known is not None:
        return known
    evaluated = _validate_atoms(expr, zone, snapshot)
    _make_room(snapshot.bound_exprs)
    snapshot.bound_exprs[expr, zone] = evaluated
    return evaluated


def _validate_atoms(expr: Expr, zone: ZoneInfo, snapshot: Snapshot) -> Expr:
    """Check every atom of *expr*, and return it with instants in UTC for days and times of *zone*, ready to ask."""
    for atom in atoms_of_operands(expr):
        _validate_atom(atom, snapshot)
        if snapshot.cut_attributes and zone.key != snapshot.timezone:
            _refuse_cut_days(atom, zone, snapshot)
    instants = to_instants(_expand_events(expr, zone, snapshot), snapshot.roles, zone)
    return _plan_tags_ahead(
        expand_anniversaries(instants, snapshot.roles, zone, partial(find_years, snapshot)), snapshot
    )


def _plan_tags_ahead(evaluated: Expr, snapshot: Snapshot) -> Expr:
    """Return *evaluated*, of whose tags each shard keeps the bitmaps for all questions with the same object."""
    if isinstance(evaluated, JUNCTIONS):
        for shard in snapshot.evaluated_shards:
            read_tags(evaluated, shard)
    return evaluated


def _expand_events(expr: Expr, zone: ZoneInfo, snapshot: Snapshot) -> Expr:
    if not has_events(expr):
        return expr
    from audience.index.query.events.validation import expand_event

    return map_operands(expr, lambda atom: expand_event(atom, snapshot, zone) if isinstance(atom, EventAtom) else atom)


def _refuse_cut_days(atom: Atom, zone: ZoneInfo, snapshot: Snapshot) -> None:
    """Refuse to compare days of *zone* with those of an attribute whose moments were cut to days of another zone."""
    if not isinstance(atom, Tag | Compare | Within | Between | Anniversary) or atom.type not in snapshot.cut_attributes:
        return
    message = f"{atom.type} has moments that were cut to days of {snapshot.timezone}; days of {zone.key} are unknown"
    hint = f"leave --timezone out, or build the index without --date {quote_name(atom.type)} to keep the moments"
    raise ExpressionError(Problem("cut-days", message, atom.span, hint=hint))


def find_years(snapshot: Snapshot, type_: str) -> range:
    """Return the years in UTC of the values of an attribute of instants, and one year more on both sides."""
    attributes = [(shard.attributes[type_], shard) for shard in snapshot.shards if type_ in shard.attributes]
    bounds = [year_bounds(sorted_values(attribute, shard)) for attribute, shard in attributes]
    years = [bound for bound in bounds if bound[0] < bound[1]]
    if not years:
        return range(0)
    first, stop = min(start for start, _ in years), max(stop for _, stop in years)
    return range(max(first - 1, date.min.year), min(stop, date.max.year) + 1)


def atoms_of_operands(expr: Expr) -> list[Atom]:
    """Return the distinct atoms of *expr* in reading order, also those inside limits."""
    return list(dict.fromkeys(node for node in walk_operands(expr) if isinstance(node, AtomNode)))


def _validate_atom(atom: Atom, snapshot: Snapshot) -> None:
    match atom:
        case Tag(type=type_, value=name) if type_ == UNTYPED and _is_column(name, snapshot):
            _validate_bare_tag(atom, snapshot)
        case Tag():
            validate_operands(atom, _require_role(atom, snapshot))
        case Compare() | Within() | Between():
            _validate_comparison(atom, snapshot)
        case Matches():
            _validate_pattern(atom, snapshot)
        case Anniversary():
            _validate_anniversary(atom, snapshot)
        case Top():
            _validate_top(atom, snapshot)
        case Has(type=type_):
            if not select_existence_columns(type_, snapshot.manifest.columns):
                _require_role(atom, snapshot)
        case Ids():
            _validate_ids(atom, snapshot)
        case Did() | Aggregate() | EventMoment():
            from audience.index.query.events.validation import validate_event

            validate_event(atom, snapshot)
        case Reference():
            raise ExpressionError(reference_problem(atom))


def _is_column(name: str, snapshot: Snapshot) -> bool:
    return name in snapshot.roles or any(name in (column.name, column.name_in_table) for column in snapshot.id_columns)


def _validate_bare_tag(tag: Tag, snapshot: Snapshot) -> None:
    """Require that some device has a tag which is called like a column: else the column was meant."""
    if UNTYPED in snapshot.roles and any(has_tag(tag, shard) for shard in snapshot.shards):
        return
    kind = "an attribute" if tag.value in snapshot.roles else "a column of ids"
    message = f"{render(tag)!r} is {kind} of this index, and no device has a tag of that name"
    raise ExpressionError(Problem("column-as-tag", message, tag.span, hint=_suggest_condition(tag, snapshot)))


def _suggest_condition(tag: Tag, snapshot: Snapshot) -> str:
    """Return a hint at a condition over the column that *tag* names."""
    name, existence = quote_name(tag.value), render(Has(tag.value))
    match snapshot.roles.get(tag.value):
        case None:
            return f"write {name}(…) for some ids, {existence} for any"
        case "number":
            return f"write {name} = 1 for one value, {existence} for any"
    return f"write {name}:… for one value, {existence} for any"


def _validate_comparison(query: Compare | Within | Between, snapshot: Snapshot) -> None:
    role = _require_role(query, snapshot)
    if not value_type_of(role).is_ordered:
        raise ExpressionError(_no_order_problem(query.type, render(query), query.span))
    validate_operands(query, role)


def _no_order_problem(type_: str, text: str, span: Span | None) -> Problem:
    message = f"{text!r:.80}: the values of {type_} have no order"
    return Problem("no-order", message, span, hint=f"build the index with --number, --date or --version {type_}")


def _validate_top(top: Top, snapshot: Snapshot) -> None:
    text = f"{top.order} {top.count} by {quote_name(top.by)}"
    if top.by not in snapshot.roles and select_id_columns(top.by, snapshot.id_columns):
        message = f"{text!r:.80}: {top.by} is a column of ids, not an attribute"
        raise ExpressionError(Problem("no-order", message, top.span, hint=_list_ordered_attributes(snapshot)))
    if not value_type_of(_require_role(Has(top.by, span=top.span), snapshot)).is_ordered:
        problem = _no_order_problem(top.by, text, top.span)
        raise ExpressionError(replace(problem, hint=f"{_list_ordered_attributes(snapshot)}; or {problem.hint}"))


def _list_ordered_attributes(snapshot: Snapshot) -> str:
    """Return a hint at the attributes by which devices can be ordered."""
    ordered = [name for name, role in snapshot.roles.items() if value_type_of(role).is_ordered]
    return f"order by {join_some(ordered)}" if ordered else "the index has no attribute with an order"


def _validate_pattern(matches: Matches, snapshot: Snapshot) -> None:
    """Require an attribute of texts: a number or a day can be written in several ways, of which none is its text."""
    role = _require_role(matches, snapshot)
    if role not in TEXT_ROLES:
        name, values = quote_name(matches.type), "days" if role in ("date", "time") else "numbers"
        examples = {"days": f"{name} from 2026-11-01 to 2026-11-30", "numbers": f"{name} between 10 and 19"}
        message = f"{render(matches)!r:.80}: the values of {matches.type} are {values}, not text"
        text = contained_text(matches.pattern)
        is_value = text is not None and value_type_of(role).accepts(text)
        example = f"{name} = {quote_name(text or '')}" if is_value else examples[values]
        raise ExpressionError(Problem("no-text", message, matches.span, hint=f"write {example}"))


def _validate_anniversary(anniversary: Anniversary, snapshot: Snapshot) -> None:
    if not value_type_of(_require_role(anniversary, snapshot)).has_days:
        message = f"{render(anniversary)!r}: the values of {anniversary.type} are not days"
        hint = f"build the index with --date {anniversary.type}"
        raise ExpressionError(Problem("not-days", message, anniversary.span, hint=hint))


def _require_role(atom: AttributeAtom, snapshot: Snapshot) -> Role:
    role = snapshot.roles.get(atom.type)
    if role is None:
        raise ExpressionError(unknown_attribute_problem(atom, snapshot))
    return role


def _validate_ids(ids: Ids, snapshot: Snapshot) -> None:
    """Require an id column of this kind, and that each registration id names one device only."""
    columns = select_id_columns(ids.kind, snapshot.id_columns)
    available = list_id_calls(snapshot.id_columns)
    if not columns and ids.kind in ID_KINDS:
        message, hint = f"the index holds no {ids.kind}", f"it holds {', '.join(available)}"
        raise ExpressionError(Problem("unknown-ids", message, ids.span, hint=hint))
    if not columns:
        problem = unknown_call_problem(ids.kind, ids.span, available)
        if ids.kind in snapshot.roles:
            problem = replace(problem, hint=f"it is an attribute: write {_write_equality(ids)}")
        raise ExpressionError(problem)
    if ids.kind == "registration_id" and len(columns) > 1:
        ambiguous = _find_ambiguous_id(ids, columns, snapshot.shards)
        if ambiguous is not None:
            message = f"{ambiguous!r} names different devices at different vendors"
            raise ExpressionError(Problem("ambiguous-id", message, ids.span))


def _write_equality(ids: Ids) -> str:
    """Return the equality that was probably meant by a call of an attribute."""
    name, value = quote_name(ids.kind), ids.values[0]
    return f"{name} = {value}" if value.lower() in NAMED_TIMES else render(Tag(ids.kind, value))


def _find_ambiguous_id(ids: Ids, columns: Sequence[IdColumn], shards: Sequence[Shard]) -> str | None:
    """Return one of *ids* that several devices have, or None."""
    if all(single_ids.are_few(ids.values, columns, shard) for shard in shards):
        return next((value for value in ids.values if _count_devices(value, columns, shards) > 1), None)
    from audience.index.storage import id_search  # imports Polars, which only many ids need

    return next(iter(id_search.find_ambiguous_ids(ids, shards)), None)


def _count_devices(identifier: str, columns: Sequence[IdColumn], shards: Sequence[Shard]) -> int:
    return sum(len({*single_ids.find_rows(identifier, columns, shard)}) for shard in shards)


def unknown_attribute_problem(atom: AttributeAtom, snapshot: Snapshot) -> Problem:
    """Return the problem of an attribute that the index does not have, with a suggestion."""
    if atom.type == UNTYPED:
        message = f"{render(atom)!r}: this index has no bare tags"
    else:
        message = f"this index has no attribute {atom.type!r}"
    attributes = [name for name in snapshot.roles if name != UNTYPED]
    known = [*attributes, *list_id_calls(snapshot.id_columns)] if isinstance(atom, Has) else attributes
    hint = (
        _suggest_other_form(atom, snapshot)
        or did_you_mean(atom.type, known)
        or (suggest_same_value(atom, snapshot) if isinstance(atom, Tag) else None)
    )
    hint = hint or f"it has {', '.join(known) or 'bare tags only'}"
    return Problem("unknown-attribute", message, atom.span, hint=hint)


def _suggest_other_form(atom: AttributeAtom, snapshot: Snapshot) -> str | None:
    """Return a hint at what is written instead: everyone for all, and the name of an attribute before its value."""
    if atom == Tag(UNTYPED, "all"):
        return "write everyone for all devices"
    if select_id_columns(atom.type, snapshot.id_columns):
        ids = render(Ids(atom.type, (atom.value,))) if isinstance(atom, Tag) else f"{quote_name(atom.type)}(…)"
        return f"it is a column of ids: write {ids}"
    if isinstance(atom, Compare) and atom.value in snapshot.roles:
        turned = Compare(atom.value, MIRRORED_OPS[atom.operator], atom.type)
        return f"write {render(turned)}"
    return _suggest_bare_tag(atom, snapshot) or _suggest_event(atom, snapshot.events)


def _suggest_bare_tag(atom: AttributeAtom, snapshot: Snapshot) -> str | None:
    """Return a hint at the bare tags that the column of this name became: a flag its name, another its values."""
    columns = [column for column in snapshot.manifest.columns if column.name == UNTYPED]
    if atom.type not in [column.name_in_table for column in columns]:
        return None
    flag = Tag(UNTYPED, atom.type)
    if any(has_tag(flag, shard) for shard in snapshot.shards):
        return f"it became a bare tag: write {render(flag)}, or NOT {render(flag)}"
    example = (
        f": write {render(Tag(UNTYPED, atom.value))}" if isinstance(atom, Tag) else ", each written by its name alone"
    )
    return f"it became bare tags{example}"


def _suggest_event(atom: AttributeAtom, log: EventLog) -> str | None:
    """Return a hint at the event that is called like the attribute of *atom*, or has a property of that name."""
    if atom.type in log.names():
        name = quote_name(atom.type)
        window = f" {render(atom).removeprefix(f'{name} ')}" if isinstance(atom, Within) else ""
        return f"it is an event: write did({name}){window}"
    owner = next((event for event in log.names() if atom.type in log.properties(event)), None)
    if owner is None or isinstance(atom, Anniversary):
        return None
    return f"it is a property of an event: write did({quote_name(owner)} where {render(atom)})"


def suggest_same_value(tag: Tag, snapshot: Snapshot) -> str | None:
    """Return a hint at a tag of the index with the same value but another type, or with `type:value` as its value."""
    from audience.index.query.attribute_stats import collect_attribute_stats  # imports Polars

    attributes = collect_attribute_stats(snapshot)
    bare = Tag(UNTYPED, f"{tag.type}:{tag.value}")
    candidates = [bare, *(Tag(name, tag.value) for name in attributes if name != tag.type)]
    for candidate in candidates:
        attribute = attributes.get(candidate.type)
        if attribute and attribute.role in ("tags", "string", "version") and candidate.value in attribute.values:
            return f"did you mean {render(candidate)}?"
    return None
