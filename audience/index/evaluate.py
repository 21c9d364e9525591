"""Expression × index → rows: cheapest operands first, subtraction for NOT, and no more once nothing is left."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias

import polars as pl

from audience.errors import ExpressionError, Problem
from audience.index import bits
from audience.index.bits import Bits, Choice
from audience.index.columns import ORDERED
from audience.index.store import Attribute, Store
from audience.index.values import Stretch, stretch
from audience.language.expr import And, Compare, Everyone, Expr, Ids, Nobody, Not, Or, Tag, Within, atoms
from audience.language.notation import BARE
from audience.language.render import render
from audience.language.suggest import did_you_mean

Rows: TypeAlias = bits.BitMap
EMPTY = bits.BitMap()
HINTS = 5  # tags that no device has, for which a likely one is looked for


def resolve(expr: Expr, store: Store) -> Rows:
    """The rows that *expr* means; the bitmap may be shared and must not be changed."""
    return evaluate(expr, store).inside(store.everyone)


def count(expr: Expr, store: Store) -> int:
    """How many rows *expr* means; the last step of an AND or OR counts without building its result."""
    match expr:
        case And(terms=terms):
            return bits.count_all(_until_empty(terms, store), store.devices)
        case Or(terms=terms):
            return bits.count_any([evaluate(term, store) for term in terms], store.devices)
        case Not(term=term):
            return store.devices - count(term, store)
    return evaluate(expr, store).size(store.devices)


def evaluate(expr: Expr, store: Store) -> Bits:
    """The rows that *expr* means, or those that it does not.

    Raises ExpressionError for an attribute or a kind of id that the index does not have, and for a comparison
    that its values do not answer.
    """
    match expr:
        case Tag():
            return _tagged(expr, store)
        case And(terms=terms):
            return bits.meet(_until_empty(terms, store))
        case Or(terms=terms):
            return bits.unite([evaluate(term, store) for term in terms])
        case Not(term=term):
            return ~evaluate(term, store)
        case Everyone():
            return Bits(EMPTY, outside=True)
        case Nobody():
            return Bits(EMPTY)
        case Compare() | Within():
            attribute = _ordered(expr, store)
            return _between(attribute, stretch(expr, attribute.role, store.values(attribute)), store)
        case Ids():
            return _named(expr, store)


def _until_empty(terms: tuple[Expr, ...], store: Store) -> list[Bits | Choice]:
    """What each of *terms* means, simple ones first; one that is empty decides, and the others are left unread."""
    found: list[Bits | Choice] = []
    for term in sorted(terms, key=_effort):
        one = _choice(term, store) or evaluate(term, store)
        if isinstance(one, Bits) and not one.outside and not one.bitmap:
            return [one]
        found.append(one)
    return found


def _choice(expr: Expr, store: Store) -> Choice | None:
    """The bitmaps of several values, of which a device has any, before they are united."""
    match expr:
        case Or(terms=terms):
            tags = [term for term in terms if isinstance(term, Tag)]
            rows = [row for tag in tags if (row := store.rows.get((tag.type, tag.value))) is not None]
            if len(rows) < len(terms):
                return None
            apart = len({tag.type for tag in tags}) == 1 and store.attributes[tags[0].type].single
            return _chosen(dict.fromkeys(rows), apart, store)
        case Compare() | Within():
            if expr not in store.choices:
                store.choices[expr] = _stretched(expr, store)
            return store.choices[expr]
    return None


def _stretched(expr: Compare | Within, store: Store) -> Choice | None:
    attribute = _ordered(expr, store)
    start, stop = stretch(expr, attribute.role, store.values(attribute))
    if attribute.slices is not None or stop - start < 2:
        return None
    return _chosen(range(attribute.start + start, attribute.start + stop), attribute.single, store)


def _chosen(rows: Iterable[int], apart: bool, store: Store) -> Choice:
    return Choice([store.bitmap(row) for row in rows], sum(store.sizes[row] for row in rows), apart)


EFFORT = {Tag: 0, Everyone: 0, Nobody: 0, And: 1, Or: 1, Compare: 2, Within: 2, Ids: 3}


def _effort(expr: Expr) -> int:
    """How much reading it takes to know what *expr* means, roughly."""
    return _effort(expr.term) if isinstance(expr, Not) else EFFORT[type(expr)]


def _tagged(tag: Tag, store: Store) -> Bits:
    row = store.rows.get((tag.type, tag.value))
    if row is not None:
        return Bits(store.bitmap(row), False, store.sizes[row])
    attribute = _attribute(tag, store)
    start, stop = places(tag, attribute, store)
    if stop - start == 1 and attribute.slices is None:
        store.rows[tag.type, tag.value] = attribute.start + start
    return _between(attribute, (start, stop), store)


def places(tag: Tag, attribute: Attribute, store: Store) -> Stretch:
    """The places of what *tag* means among the values of *attribute*; an empty stretch where no device has it."""
    values = store.values(attribute)
    if attribute.role not in ORDERED:
        start = bisect_left(values, tag.value)
        return start, start + (start < len(values) and values[start] == tag.value)
    start, stop = stretch(tag, attribute.role, values)
    if attribute.role != "version":
        return start, stop
    # 1.2 and 1.2.0 stand together, but to every vendor they are two tags
    same = [place for place in range(start, stop) if values[place] == tag.value]
    return (same[0], same[0] + 1) if same else (start, start)


def _between(attribute: Attribute, places: Stretch, store: Store) -> Bits:
    """The rows with a value at one of *places*."""
    start, stop = places
    if attribute.slices is not None:
        return _sized(_sliced(attribute, start, stop, store))
    if start >= stop:
        return Bits(EMPTY)
    rows = range(attribute.start + start, attribute.start + stop)
    return bits.unite([Bits(store.bitmap(row), False, store.sizes[row]) for row in rows])


def _sliced(attribute: Attribute, start: int, stop: int, store: Store) -> Rows:
    """The rows whose place, kept as binary digits, lies from *start* to before *stop*."""
    if start >= stop:
        return EMPTY
    slices = attribute.slices or 0
    first = attribute.stop - slices
    has, digits = store.bitmap(first - 1), [store.bitmap(first + digit) for digit in range(slices)]
    below = bits.below(digits, stop, has)
    return below - bits.below(digits, start, has) if start else below


def _named(ids: Ids, store: Store) -> Bits:
    """The rows of devices with any of the ids; an id that names different devices at different vendors is refused."""
    return _sized(bits.from_rows(matches(ids, store)["row"].unique().sort().to_numpy()))


def _sized(rows: Rows) -> Bits:
    """Rows that are not stored, at two bytes each."""
    return Bits(rows, weight=2 * len(rows))


def matches(ids: Ids, store: Store) -> pl.DataFrame:
    """Which row has which of *ids*; ExpressionError where the index holds no such ids, or one is ambiguous."""
    table = store.id_table
    prefix = "id:" if ids.kind == "registration_id" else f"{ids.kind}:"
    names = [name for name in table.columns if name.startswith(prefix)]
    if not names:
        known = ", ".join(name.partition(":")[2] for name in table.columns)
        problem = Problem("unknown-ids", f"the index holds no {ids.kind}", ids.span, hint=f"it holds {known}")
        raise ExpressionError(problem)
    wanted = pl.Series("id", ids.values, dtype=pl.String).unique()
    found = pl.concat(_found(table[name], wanted) for name in names).unique()
    if ids.kind == "registration_id":
        twice = found.filter(pl.col("id").is_duplicated())
        if len(twice):
            message = f"{twice['id'][0]!r} names different devices at different vendors"
            raise ExpressionError(Problem("ambiguous-id", message, ids.span))
    return found


def _found(column: pl.Series, wanted: pl.Series) -> pl.DataFrame:
    pairs = pl.DataFrame({"row": pl.int_range(len(column), dtype=pl.UInt32, eager=True), "id": column}).lazy()
    flat = pairs.explode("id") if isinstance(column.dtype, pl.List) else pairs
    return flat.filter(pl.col("id").is_in(wanted.implode())).collect()


def _ordered(query: Compare | Within, store: Store) -> Attribute:
    attribute = _attribute(query, store)
    if attribute.role not in ORDERED:
        message = f"{render(query)!r}: the values of {query.type} have no order"
        hint = f"build the index with --number, --date or --version {query.type}"
        raise ExpressionError(Problem("no-order", message, query.span, hint=hint))
    return attribute


def _attribute(query: Tag | Compare | Within, store: Store) -> Attribute:
    found = store.attributes.get(query.type)
    if found is None:
        raise ExpressionError(unknown_attribute(query, store))
    return found


def unknown_attribute(query: Tag | Compare | Within, store: Store) -> Problem:
    """The problem of a type that no column of the index has, and what was probably meant."""
    if query.type == BARE:
        message = f"{render(query)!r}: this index has no bare tags"
    else:
        message = f"this index has no attribute {query.type!r}"
    known = [name for name in store.attributes if name != BARE]
    hint = did_you_mean(query.type, known) or (same_value(query, store) if isinstance(query, Tag) else None)
    return Problem(
        "unknown-attribute",
        message,
        query.span,
        hint=hint or f"it has {', '.join(known) or 'bare tags only'}",
    )


def same_value(tag: Tag, store: Store) -> str | None:
    """A hint that names a tag with the value of *tag* but another type, or with both in its name."""
    whole = Tag(BARE, f"{tag.type}:{tag.value}")
    others = [Tag(attribute.name, tag.value) for attribute in store.attributes.values() if attribute.name != tag.type]
    for other in (whole, *others):
        attribute = store.attributes.get(other.type)
        if attribute and attribute.role in ("tags", "typed"):
            start, stop = places(other, attribute, store)
            if start < stop:
                return f"did you mean {render(other)}?"
    return None


def _meant(tag: Tag, store: Store) -> str | None:
    return did_you_mean(tag.value, store.values(store.attributes[tag.type])) or same_value(tag, store)


def unmet(expr: Expr, store: Store) -> list[Problem]:
    """What *expr* names that no device has: not an error, but often a slip of the pen."""
    found: list[Problem] = []
    for atom in atoms(expr):
        match atom:
            case Tag() if evaluate(atom, store).size(store.devices) == 0:
                hint = _meant(atom, store) if len(found) < HINTS else None
                found.append(Problem("no-device", f"no device has {render(atom)!r}", atom.span, hint=hint))
            case Ids(kind=kind, values=values):
                missing = len(set(values)) - matches(atom, store)["id"].n_unique()
                if missing:
                    message = f"{missing:,} of {len(set(values)):,} ids in {kind}(…) are not in the index"
                    found.append(Problem("no-device", message, atom.span))
    return found
