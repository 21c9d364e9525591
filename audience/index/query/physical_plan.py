"""Choose how a shard evaluates a junction: with roaring operations, or with packed words.

Roaring operations read only what the operands have, and end early; each result is a new bitmap. Packed words read one
bit for each row of the shard, whatever an operand has, at the speed of memory. Which is faster follows from the number
and the form of the operands' containers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from audience.index.query.word_expressions import write_program
from audience.index.storage import packed_words
from audience.index.storage.bitmap_forms import ARRAY_ROW, BITSET_CONTAINER, BitmapForm
from audience.index.storage.bitmaps import MAX_ARRAY_CARDINALITY
from audience.index.storage.shard import Shard
from audience.index.storage.thresholds import ADDED_WORD, COUNTED_ROW, COUNTER, MERGED_CONTAINER, estimate_costs
from audience.index.storage.word_programs import WordPlan, WordProgram
from audience.language.ast import And, Except, Expr, Not, Or, Tag, Threshold

# Nanoseconds, measured. Words stay in the cache of the processor, but for the operands.
OPERAND_WORD, STEP_WORD, COUNTED_WORD, CALL = 0.2, 0.08, 0.5, 500.0
NEW_WORD, NEW_ARRAY_ROW = 0.25, 1.3  # of words that are made of a bitmap
RESULT_WORD = 1.5  # of a bitmap that is made of words
CONTAINER = 100.0  # of an operation, for each container of its result
NEW_DENSE_CONTAINER = 1_200.0  # of a result with a bit for each row, for memory that the system clears first
SPARSE_FACTOR = 6.0  # a sparse operand is looked up in a dense one, of which so many times its size is read at most
MERGED_EFFORT = 8.0  # so does a threshold of intermediate results, by merging
LAST_COUNTED = 0.7  # of the last operation, saved if it only counts
FIXED = 5_000.0  # of a program
EXTRACTED_ROW = 2.0  # of a container that was words and becomes an array
MIN_EFFORT = 20_000.0  # of all operands; with less, there is nothing to gain
MAX_KEPT_CHOICES = 4_096

Shape: TypeAlias = int | str | tuple["Shape", ...]  # an expression with the places of its tags for the tags themselves


K = TypeVar("K")


class Choice(NamedTuple):
    """Program of all expressions of one shape, None if it saves nothing, and the nanoseconds that it saves."""

    program: WordProgram | None
    gain: float = 0.0


ChoiceKey: TypeAlias = tuple[Shape, tuple[int, ...], int, bool]  # shape, size classes, number of rows, `counts`

# Writing a program and estimating its time takes as long as some of its steps.
_CHOICES: dict[ChoiceKey, Choice] = {}
_PROGRAMS: dict[Shape, Choice] = {}  # by shape alone; a gain is not known


class Estimate(NamedTuple):
    """Expectation of an expression: its rows, their containers, and nanoseconds to read and to compute it.

    `last_cost` is what the last operation takes longer if it makes a bitmap than if it counts.
    """

    rows: float
    containers: float
    effort: float
    cost: float = 0.0
    last_cost: float = 0.0
    complemented: bool = False

    def __invert__(self) -> "Estimate":
        return self._replace(complemented=not self.complemented)


def choose_words(expr: Expr, shard: Shard, *, counts: bool) -> WordPlan | None:
    """Return the plan of *expr* with packed words, or None if roaring operations are faster, or the only ones.

    The choice is kept for as long as the same object is evaluated.

    Args:
        expr: Junction.
        shard: Shard.
        counts: Whether live rows are counted, and no bitmap is made.
    """
    kept = shard.word_plans.get((id(expr), counts))
    if kept is not None and kept[0] is expr:
        return kept[1]
    tags: dict[Tag, int] = {}
    shape = _describe_shape(expr, tags)
    if shape is None:
        return shard.keep_word_plan(expr, counts, None)
    tag_rows = tuple(shard.tag_rows.get((tag.type, tag.value), -1) for tag in tags)
    if -1 in tag_rows:  # one was not evaluated before, or no device has it
        return None
    forms = [shard.load_form(tag_row) for tag_row in tag_rows]
    if sum(form.effort for form in forms) < MIN_EFFORT:
        return shard.keep_word_plan(expr, counts, None)
    key = shape, tuple(form.size_class for form in forms), shard.row_count, counts
    choice = _CHOICES.get(key) or _keep(_CHOICES, key, _choose(expr, key, dict(zip(tags, forms, strict=True))))
    plan = None if choice.program is None else WordPlan(choice.program, tag_rows, choice.gain)
    if plan is not None and not _are_worth_making(plan, shard):
        return None
    return shard.keep_word_plan(expr, counts, plan)


def _keep(kept: dict[K, Choice], key: K, choice: Choice) -> Choice:
    if len(kept) >= MAX_KEPT_CHOICES:
        kept.clear()
    kept[key] = choice
    return choice


def _choose(expr: Expr, key: ChoiceKey, forms: Mapping[Tag, BitmapForm]) -> Choice:
    """Return the program of *expr*, without one if roaring operations are estimated to be faster."""
    shape, _, row_count, counts = key
    program = (_PROGRAMS.get(shape) or _keep(_PROGRAMS, shape, Choice(write_program(expr, list(forms))))).program
    if program is None:
        return Choice(None)
    gain = estimate_roaring(expr, forms, row_count, counts=counts) - estimate_words(program, row_count, counts=counts)
    return Choice(program, gain) if gain > 0 else Choice(None)


def _describe_shape(expr: Expr, tags: dict[Tag, int]) -> Shape | None:
    """Return *expr* with the place of each tag in *tags*, to which new ones are added; None if it has other atoms.

    >>> from audience.language.parser import parse
    >>> _describe_shape(parse("a AND (b OR NOT a)"), {})
    ('And', 0, ('Or', 1, ('Not', 0)))
    """
    head: tuple[Shape, ...]
    terms: tuple[Expr, ...]
    match expr:
        case Tag():
            return tags.setdefault(expr, len(tags))
        case Not(term=term):
            head, terms = ("Not",), (term,)
        case And(terms=terms) | Or(terms=terms):
            head = (type(expr).__name__,)
        case Except(term=term, excluded=excluded):
            head, terms = ("Except",), (term, excluded)
        case Threshold(operator=operator, count=count, terms=terms):
            head = (operator, count)
        case _:
            return None
    shapes = [shape for term in terms if (shape := _describe_shape(term, tags)) is not None]
    return (*head, *shapes) if len(shapes) == len(terms) else None


def _are_worth_making(plan: WordPlan, shard: Shard) -> bool:
    """Return whether the words of all operands are there, pay at once, or would have been of use before."""
    cached = shard.cache.get_words(shard.name, plan.tag_rows)
    missing = [tag_row for tag_row, words in zip(plan.tag_rows, cached, strict=True) if words is None]
    if not missing:
        return True
    size = packed_words.word_count(shard.row_count)
    making = sum(size * NEW_WORD + shard.load_form(row).array_rows * NEW_ARRAY_ROW for row in missing)
    were_useful = [shard.cache.mark_seen(shard.name, tag_row) for tag_row in missing]
    return making < plan.gain or all(were_useful)


def estimate_words(program: WordProgram, row_count: int, *, counts: bool) -> float:
    """Return the estimated nanoseconds of *program*."""
    size = packed_words.word_count(row_count)
    steps, blocks = len(program.steps), -(-size // program.block_words)
    a_word = program.operand_count * OPERAND_WORD + steps * STEP_WORD + (COUNTED_WORD if counts else RESULT_WORD)
    return size * a_word + blocks * CALL * (steps + 4) + FIXED


def estimate_roaring(expr: Expr, forms: Mapping[Tag, BitmapForm], row_count: int, *, counts: bool) -> float:
    """Return the estimated nanoseconds of roaring operations; the last one may count only."""
    estimate = _estimate(expr, forms, row_count)
    return estimate.cost - (estimate.last_cost if counts else 0)


def _estimate(expr: Expr, forms: Mapping[Tag, BitmapForm], row_count: int) -> Estimate:
    match expr:
        case Tag():
            form = forms[expr]
            return Estimate(form.rows, form.container_count, form.effort)
        case Not(term=term):
            return ~_estimate(term, forms, row_count)
        case And(terms=terms):
            return _intersect([_estimate(term, forms, row_count) for term in terms], row_count)
        case Or(terms=terms):
            estimates = [_estimate(term, forms, row_count) for term in terms]
            if any(estimate.complemented for estimate in estimates):
                return ~_intersect([~estimate for estimate in estimates], row_count)
            return _unite(estimates, row_count)
        case Except(term=term, excluded=excluded):
            rows, excluded_rows = (_estimate(each, forms, row_count) for each in (term, excluded))
            return _intersect([rows, ~excluded_rows], row_count)
        case Threshold(terms=terms):
            estimates = [_estimate(term, forms, row_count) for term in terms]
            if expr.count + (expr.operator == "at most") == len(terms):
                return _intersect(estimates, row_count)
            tag_forms = [forms[term] for term in terms if isinstance(term, Tag)]
            cost = min(estimate_costs(tag_forms, row_count)) if len(tag_forms) == len(terms) else None
            return _count(estimates, row_count, cost)
    raise AssertionError(f"{expr!r} is not over tags")


def _intersect(estimates: Sequence[Estimate], row_count: int) -> Estimate:
    plain = sorted((each for each in estimates if not each.complemented), key=lambda each: each.effort)
    subtracted = [each for each in estimates if each.complemented]
    if not plain:
        return ~_unite([~each for each in subtracted], row_count)
    (rows, containers, effort), cost, last = plain[0][:3], sum(each.cost for each in estimates), 0.0
    for other in (*plain[1:], *subtracted):
        if other.complemented:
            kept, sizes = 1 - other.rows / row_count, effort + min(other.effort, SPARSE_FACTOR * effort)
        else:
            containers, kept = min(containers, other.containers), other.rows / row_count
            sizes = min(effort + other.effort, SPARSE_FACTOR * min(effort, other.effort))
        was_dense = rows > MAX_ARRAY_CARDINALITY * containers
        rows *= kept
        step = CONTAINER * containers + sizes
        if was_dense and rows <= MAX_ARRAY_CARDINALITY * containers:
            step += EXTRACTED_ROW * rows
        effort = min(effort, _effort_of(rows, containers))
        made = _cost_of_memory(rows, containers)
        cost, last = cost + step + made, LAST_COUNTED * step + made
    return Estimate(rows, containers, effort, cost, last)


def _unite(estimates: Sequence[Estimate], row_count: int) -> Estimate:
    missing, containers, effort, cost, last = 1.0, 0.0, 0.0, 0.0, 0.0
    for each in estimates:
        missing *= 1 - min(each.rows / row_count, 1)
        containers = max(containers, each.containers)
        effort += each.effort
        step = CONTAINER * each.containers + each.effort
        cost, last = cost + each.cost + step, LAST_COUNTED * step
    rows = row_count * (1 - missing)
    made = _cost_of_memory(rows, containers)
    return Estimate(rows, containers, min(effort, _effort_of(rows, containers)), cost + made, last + made)


def _count(estimates: Sequence[Estimate], row_count: int, cost: float | None) -> Estimate:
    """Return the estimate of a threshold, of which few rows are expected; its *cost* is known if it is over tags."""
    containers, rows = sum(each.containers for each in estimates), sum(each.rows for each in estimates)
    effort = sum(each.effort for each in estimates)
    if cost is None:
        merging = containers * MERGED_CONTAINER + effort * MERGED_EFFORT
        adding = packed_words.word_count(row_count) * len(estimates) * ADDED_WORD + effort
        cost = min(merging, row_count * COUNTER + rows * COUNTED_ROW, adding)
    most = max(each.containers for each in estimates)
    found = min(rows, row_count) / len(estimates)
    return Estimate(found, most, _effort_of(found, most), cost + sum(each.cost for each in estimates))


def _cost_of_memory(rows: float, containers: float) -> float:
    """Return the nanoseconds that the memory of a result costs."""
    return NEW_DENSE_CONTAINER * containers if rows > MAX_ARRAY_CARDINALITY * containers else 0.0


def _effort_of(rows: float, containers: float) -> float:
    is_dense = rows > MAX_ARRAY_CARDINALITY * containers
    return containers * BITSET_CONTAINER if is_dense else rows * ARRAY_ROW
