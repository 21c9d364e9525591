"""Break a count down: the tree of an expression with the number of devices at every node, like a funnel."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from html import escape

from audience.index.query.evaluate import ALL_ROWS, combine_threshold, count_live, evaluate_in_shard
from audience.index.query.matching_values import count_matching_values
from audience.index.query.questions import bind_segments
from audience.index.query.shard_threads import map_expr
from audience.index.query.validate import atoms_of_operands, validate_and_expand
from audience.index.storage.bitmaps import RowSet, intersect, union
from audience.index.storage.shard import Shard
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import And, Except, Expr, Limit, Matches, Not, Or, Split, Threshold, Top, map_atoms, operands
from audience.language.describe import node_label
from audience.language.printer import quote_name


@dataclass(frozen=True, slots=True)
class ExplainLine:
    """Line of an explanation: one node of the tree.

    `depth` is the level of the node, and `path` its position: the number of the operand at each level. `remaining` is
    the number of devices left in the enclosing AND after this node, or None if the node is not an operand of an AND.
    `value_count` is the number of values that a pattern fits, or None if the node is no pattern, or too many fit it.
    """

    depth: int
    text: str
    device_count: int
    remaining: int | None = None
    value_count: int | None = None
    path: tuple[int, ...] = ()

    def __add__(self, other: "ExplainLine") -> "ExplainLine":
        remaining = None if self.remaining is None else self.remaining + (other.remaining or 0)
        return replace(self, device_count=self.device_count + other.device_count, remaining=remaining)


class Explanation(list[ExplainLine]):
    """Lines of an explanation, parents before children; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        titles = "<tr><th>expression</th><th>devices</th><th>remaining</th></tr>"
        return f"<table>{titles}{''.join(map(_format_html_line, self))}</table>"


def _format_html_line(line: ExplainLine) -> str:
    """Return the row of a line.

    >>> _format_html_line(ExplainLine(1, "age < 30", 5_522))
    "<tr><th style='text-align:left;padding-left:2em'>age &lt; 30</th><td>5,522</td><td></td></tr>"
    """
    remaining = "" if line.remaining is None else f"{line.remaining:,}"
    style = f"text-align:left;padding-left:{1 + line.depth}em"
    return f"<tr><th style='{style}'>{escape(line.text)}</th><td>{line.device_count:,}</td><td>{remaining}</td></tr>"


@dataclass(frozen=True, slots=True)
class ExplainedAtoms:
    """Atoms of an explained expression: what is evaluated in their place, and how many values a pattern fits."""

    leaves: Mapping[Expr, Expr]
    value_counts: Mapping[Expr, int | None]


def explain_expr(expr: Expr, snapshot: Snapshot, as_of: AsOf | None = None) -> Explanation:
    """Return one line for each node of *expr*, parents before children."""
    asked = as_of or read_as_of(default_timezone=snapshot.timezone)
    validate_and_expand(expr, snapshot, asked)
    written = bind_segments(expr, snapshot, asked)  # with days and times as they are written
    leaves: dict[Expr, Expr] = {atom: validate_and_expand(atom, snapshot, asked) for atom in atoms_of_operands(written)}
    value_counts: dict[Expr, int | None] = {
        atom: count_matching_values(atom, snapshot) for atom in leaves if isinstance(atom, Matches)
    }
    atoms = ExplainedAtoms(leaves, value_counts)
    by_shard = map_expr(lambda expr, shard: _explain_node(expr, shard, atoms, ())[0], written, snapshot.shards)
    return Explanation(reduce(ExplainLine.__add__, lines) for lines in zip(*by_shard, strict=True))


def _explain_node(
    expr: Expr, shard: Shard, atoms: ExplainedAtoms, path: tuple[int, ...], remaining: RowSet | None = None
) -> tuple[list[ExplainLine], RowSet]:
    """Return the lines of *expr* and its rows; every node is evaluated once.

    Args:
        expr: Expression as it is written.
        shard: Shard with the rows.
        atoms: What is evaluated in place of each atom, and the number of values that each pattern fits.
        path: Position of the node.
        remaining: Rows left in the enclosing AND before this operand.
    """
    if isinstance(expr, And):
        return _explain_and(expr, shard, atoms, path)
    if not operands(expr) or (isinstance(expr, Not) and not operands(expr.term)):
        rows = evaluate_in_shard(map_atoms(expr, lambda atom: atoms.leaves[atom]), shard)
        value_count = atoms.value_counts.get(expr.term if isinstance(expr, Not) else expr)
        line = replace(_build_line(path, node_label(expr), rows, shard), value_count=value_count)
        return [line, *_explain_variants(expr, shard, path, remaining)], rows
    explained = [_explain_node(term, shard, atoms, (*path, at)) for at, term in enumerate(operands(expr))]
    rows = _combine_rows(atoms.leaves.get(expr, expr), [row_set for _, row_set in explained], shard)
    line = _build_line(path, node_label(expr), rows, shard)
    return [line, *(operand_line for lines, _ in explained for operand_line in lines)], rows


def _combine_rows(expr: Expr, row_sets: list[RowSet], shard: Shard) -> RowSet:
    """Return the rows of *expr* from those of its operands, but for an AND; a limit chooses among all shards."""
    match expr:
        case Or():
            return union(row_sets)
        case Not():
            return ~row_sets[0]
        case Except():
            return intersect([row_sets[0], ~row_sets[1]])
        case Threshold():
            return combine_threshold(expr, row_sets, shard)
        case Limit() | Top():
            return evaluate_in_shard(expr, shard)
    raise AssertionError(f"{expr!r} was not expanded")


def _explain_and(
    expr: And, shard: Shard, atoms: ExplainedAtoms, path: tuple[int, ...]
) -> tuple[list[ExplainLine], RowSet]:
    """Return the lines of an AND and its rows; each operand's first line has the devices left after it."""
    remaining, operand_lines = ALL_ROWS, list[ExplainLine]()
    for position, term in enumerate(expr.terms):
        lines, rows = _explain_node(term, shard, atoms, (*path, position), remaining)
        remaining = intersect([remaining, rows])
        operand_lines += [replace(lines[0], remaining=count_live(remaining, shard)), *lines[1:]]
    return [_build_line(path, node_label(expr), remaining, shard), *operand_lines], remaining


def _explain_variants(expr: Expr, shard: Shard, path: tuple[int, ...], remaining: RowSet | None) -> list[ExplainLine]:
    """Return a line for each variant of a split and for its holdout; none if *expr* selects one variant."""
    if not isinstance(expr, Split) or expr.variant is not None:
        return []
    held_out_percent = 100 - sum(Fraction(percent) for _, percent in expr.variants)
    parts = [
        (f"{quote_name(name)}:{percent}%", evaluate_in_shard(replace(expr, variant=name), shard))
        for name, percent in expr.variants
    ]
    if held_out_percent:
        parts.append((f"held out, {float(held_out_percent):.9g}%", ~evaluate_in_shard(expr, shard)))
    return [_build_line((*path, at), text, rows, shard, remaining) for at, (text, rows) in enumerate(parts)]


def _build_line(
    path: tuple[int, ...], text: str, row_set: RowSet, shard: Shard, remaining: RowSet | None = None
) -> ExplainLine:
    left_after = None if remaining is None else count_live(intersect([remaining, row_set]), shard)
    return ExplainLine(len(path), text, count_live(row_set, shard), left_after, path=path)
