"""Expression × index → rows: cheapest operands first, subtraction for NOT, and no more once nothing is left.

What is asked has been checked before (`audience.index.query.validate`), so here a shard may simply have none of it.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TypeAlias

from audience.index.query.sampling import on_share
from audience.index.query.validate import check
from audience.index.schema.columns import ORDERED
from audience.index.schema.value_types import Line, Numbers, Stretch, Texts, stretch
from audience.index.storage import bitmaps
from audience.index.storage.bitmaps import Bits, Choice
from audience.index.storage.layout import Attribute
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import And, Compare, Everyone, Expr, Ids, Nobody, Not, Or, Sample, Split, Tag, Within

Rows: TypeAlias = bitmaps.BitMap
EMPTY = bitmaps.BitMap()
HEAVY = 1 << 16  # bytes of bitmaps whose union is worth keeping
MOST_CHOICES = 4_096  # comparisons of a shard that are remembered


def resolve(expr: Expr, snapshot: Snapshot) -> list[Rows]:
    """The rows of each shard that *expr* means; the bitmaps may be shared and must not be changed.

    Raises ExpressionError for what the index does not know.
    """
    whole = check(expr, snapshot)
    return [living(evaluate(whole, shard), shard) for shard in snapshot.shards]


def count(expr: Expr, snapshot: Snapshot) -> int:
    """How many devices *expr* means; ExpressionError for what the index does not know."""
    whole = check(expr, snapshot)
    return sum(counted(whole, shard) for shard in snapshot.shards)


def living(found: Bits, shard: Shard) -> Rows:
    """The rows *found* that are not dead."""
    if found.outside:
        return shard.everyone - found.bitmap
    return found.bitmap if shard.dead is None else found.bitmap - shard.dead


def size(found: Bits, shard: Shard) -> int:
    """How many rows *found* are not dead."""
    inside = len(found.bitmap)
    if shard.dead is not None:
        inside -= found.bitmap.intersection_cardinality(shard.dead)
    return shard.devices - inside if found.outside else inside


def counted(expr: Expr, shard: Shard) -> int:
    """How many rows *expr* means; the last step of an AND or OR counts without building its result."""
    if shard.dead is not None:
        return _living_counted(expr, shard, shard.dead)
    match expr:
        case And():
            return bitmaps.count_all(_until_empty(expr, shard), shard.rows)
        case Or(terms=terms):
            return bitmaps.count_any([evaluate(term, shard) for term in terms], shard.rows)
        case Not(term=term):
            return shard.rows - counted(term, shard)
    return evaluate(expr, shard).size(shard.rows)


def _living_counted(expr: Expr, shard: Shard, dead: Rows) -> int:
    """As `counted`, of a shard with *dead* rows: where they are few, an AND is soon counted among them alone."""
    if not isinstance(expr, And):
        return size(evaluate(expr, shard), shard)
    operands = [one if isinstance(one, Choice) else one._replace(own=False) for one in _until_empty(expr, shard)]
    gone = bitmaps.count_all([Bits(dead, weight=2 * len(dead)), *operands], shard.rows)
    return bitmaps.count_all(operands, shard.rows) - gone


def evaluate(expr: Expr, shard: Shard) -> Bits:
    """The rows that *expr* means, or those that it does not; rows that are dead may be among them."""
    match expr:
        case Tag():
            return _tagged(expr, shard)
        case Not(term=term):
            return ~evaluate(term, shard)
        case Everyone():
            return Bits(EMPTY, outside=True)
        case Nobody():
            return Bits(EMPTY)
    kept = shard.cache.get(shard.name, expr)
    if kept is not None:
        return kept
    found = _found(expr, shard)
    dear = isinstance(expr, Ids | Sample | Split)  # found by looking at all ids, which is slow
    kept_now = shard.cache.keep(shard.name, expr, found) if dear else shard.cache.offer(shard.name, expr, found)
    return found._replace(own=False) if kept_now else found


def _found(expr: Expr, shard: Shard) -> Bits:
    """The rows that *expr* means, found anew."""
    match expr:
        case And():
            return bitmaps.meet(_until_empty(expr, shard))
        case Or(terms=terms):
            return bitmaps.unite([evaluate(term, shard) for term in terms])
        case Compare() | Within():
            attribute = shard.attributes.get(expr.type)
            return Bits(EMPTY) if attribute is None else _between(attribute, _stretch(expr, attribute, shard), shard)
        case Ids():
            from audience.index.storage import (
                id_search,  # here, as it takes Polars, and nothing else of a question does
            )

            return _sized(bitmaps.from_rows(id_search.matches(expr, shard)["row"].unique().sort().to_numpy()))
        case Sample() | Split():
            return _sized(on_share(expr, shard))
    raise AssertionError(f"{expr!r} is not written out")


def _until_empty(expr: And, shard: Shard) -> list[Bits | Choice]:
    """What each operand means, simple ones first; one that is empty decides, and the others are left unread.

    Where all of them are stored bitmaps they are remembered with the object *expr*.
    """
    known = shard.operands.get(id(expr))
    if known is not None and known[0] is expr:
        return known[1]
    found: list[Bits | Choice] = []
    for term in sorted(expr.terms, key=_effort):
        one = _choice(term, shard) or evaluate(term, shard)
        if isinstance(one, Bits) and not one.outside and not one.bitmap:
            return [one]
        found.append(one)
    if all(isinstance(one, Choice) or one.stored for one in found):
        shard.remember(expr, found)
    return found


def _choice(expr: Expr, shard: Shard) -> Bits | Choice | None:
    """The bitmaps of several values, of which a device has any, before they are united; or united and kept already."""
    match expr:
        case Or(terms=terms):
            return _any_tag(expr, terms, shard)
        case Compare() | Within():
            if expr in (known := shard.choices):
                return known[expr]
            if len(known) >= MOST_CHOICES:
                known = shard.choices = {}
            known[expr] = found = _stretched(expr, shard)
            return found
    return None


def _any_tag(expr: Or, terms: tuple[Expr, ...], shard: Shard) -> Bits | Choice | None:
    tags = [term for term in terms if isinstance(term, Tag)]
    rows = [row for tag in tags if (row := shard.places.get((tag.type, tag.value))) is not None]
    if len(rows) < len(terms):
        return None
    kept = shard.cache.get(shard.name, expr)
    if kept is not None:
        return kept
    apart = len({tag.type for tag in tags}) == 1 and shard.attributes[tags[0].type].single
    found = _chosen(dict.fromkeys(rows), apart, shard)
    if found.weight > HEAVY and shard.cache.again(shard.name, expr):
        shard.cache.keep(shard.name, expr, found.united())
    return found


def _stretched(expr: Compare | Within, shard: Shard) -> Choice | None:
    attribute = shard.attributes.get(expr.type)
    if attribute is None or attribute.digits is not None:
        return None
    start, stop = _stretch(expr, attribute, shard)
    if stop - start < 2:
        return None
    return _chosen(range(attribute.start + start, attribute.start + stop), attribute.single, shard)


def _chosen(rows: Iterable[int], apart: bool, shard: Shard) -> Choice:
    return Choice([shard.bitmap(row) for row in rows], sum(shard.sizes[row] for row in rows), apart)


EFFORT = {Tag: 0, Everyone: 0, Nobody: 0, And: 1, Or: 1, Compare: 2, Within: 2, Ids: 3, Sample: 4, Split: 4}


def _effort(expr: Expr) -> int:
    """How much reading it takes to know what *expr* means, roughly."""
    return _effort(expr.term) if isinstance(expr, Not) else EFFORT[type(expr)]


def _tagged(tag: Tag, shard: Shard) -> Bits:
    row = shard.places.get((tag.type, tag.value))
    if row is not None:
        return Bits(shard.bitmap(row), False, shard.sizes[row], stored=True)
    attribute = shard.attributes.get(tag.type)
    if attribute is None:
        return Bits(EMPTY)
    start, stop = places(tag, attribute, shard)
    if stop - start == 1 and attribute.digits is None:
        shard.places[tag.type, tag.value] = attribute.start + start
    return _between(attribute, (start, stop), shard)


def places(tag: Tag, attribute: Attribute, shard: Shard) -> Stretch:
    """The places of what *tag* means among the values of *attribute*; an empty stretch where no device has it."""
    if attribute.role in ORDERED and attribute.role != "version":
        return _stretch(tag, attribute, shard)
    values = shard.values(attribute)
    if attribute.role not in ORDERED:
        start = bisect_left(values, tag.value)
        return start, start + (start < len(values) and values[start] == tag.value)
    start, stop = _stretch(tag, attribute, shard)
    # 1.2 and 1.2.0 stand together, but to every vendor they are two tags
    same = [place for place in range(start, stop) if values[place] == tag.value]
    return (same[0], same[0] + 1) if same else (start, start)


def _stretch(query: Tag | Compare | Within, attribute: Attribute, shard: Shard) -> Stretch:
    return stretch(query, attribute.role, _line(attribute, shard))


def _line(attribute: Attribute, shard: Shard) -> Line:
    digits = attribute.digits
    if digits is not None and digits.step:
        return Numbers(attribute.role, digits.base, digits.step, digits.scale, 1 << digits.count)
    return Texts(attribute.role, shard.values(attribute))


def _between(attribute: Attribute, places: Stretch, shard: Shard) -> Bits:
    """The rows with a value at one of *places*."""
    start, stop = places
    if start >= stop:
        return Bits(EMPTY)
    if attribute.digits is not None:
        return _sized(_by_digits(attribute, start, stop, shard))
    rows = range(attribute.start + start, attribute.start + stop)
    return bitmaps.unite([Bits(shard.bitmap(row), False, shard.sizes[row]) for row in rows])


def _by_digits(attribute: Attribute, start: int, stop: int, shard: Shard) -> Rows:
    """The rows whose place, kept as binary digits, lies from *start* to before *stop*."""
    has, *digits = (shard.bitmap(row) for row in range(attribute.start + attribute.written, attribute.stop))
    below = bitmaps.below(digits, stop, has)
    return below - bitmaps.below(digits, start, has) if start else below


def _sized(rows: Rows) -> Bits:
    """Rows that were not read in one piece, at two bytes each."""
    return Bits(rows, weight=2 * len(rows))
