"""Write expressions over tags as programs over packed words."""

from collections.abc import Iterator
from typing import TypeAlias

from audience.index.query.tag_trees import IntersectionTree, TagTree, Tree, UnionTree
from audience.index.storage.word_programs import ALL_ROWS, ProgramWriter, Value, WordProgram, write_threshold

MAX_KEPT_PROGRAMS = 4_096

Shape: TypeAlias = tuple[Tree, bool]  # of a `TagTree`, without its tags

_PROGRAMS: dict[Shape, tuple[WordProgram | None]] = {}  # writing one takes as long as some of its steps


def find_program(tree: TagTree) -> WordProgram | None:
    """Return the program of *tree*, which is kept for trees of the same shape; None if it means everyone or nobody."""
    shape = tree[:2]
    kept = _PROGRAMS.get(shape)
    if kept is None:
        if len(_PROGRAMS) >= MAX_KEPT_PROGRAMS:
            _PROGRAMS.clear()
        kept = _PROGRAMS[shape] = (_write_program(tree),)
    return kept[0]


def _write_program(tree: TagTree) -> WordProgram | None:
    writer = ProgramWriter(len(tree.tags))
    result = _write_tree(tree.tree, writer)
    if result.slot is None:
        return None
    return writer.finish(~result if tree.complemented else result)


def _write_tree(tree: Tree, writer: ProgramWriter) -> Value:
    if isinstance(tree, int):
        return Value(tree)
    if isinstance(tree, UnionTree):
        return ~_write_intersection((~_write_tree(term, writer) for term in tree.terms), writer)
    if isinstance(tree, IntersectionTree):
        return _write_intersection(_write_operands(tree.plain, tree.subtracted, writer), writer)
    operands = _write_operands(tree.plain, tree.complemented, writer)
    size = len(tree.plain) + len(tree.complemented)
    return write_threshold(writer, operands, size, tree.needed, exactly=tree.exactly)


def _write_operands(plain: tuple[Tree, ...], complemented: tuple[Tree, ...], writer: ProgramWriter) -> Iterator[Value]:
    for term in plain:
        yield _write_tree(term, writer)
    for term in complemented:
        yield ~_write_tree(term, writer)


def _write_intersection(values: Iterator[Value], writer: ProgramWriter) -> Value:
    """Unite all complements before they are subtracted: a subtraction takes two steps, a union one."""
    plain, complemented = ALL_ROWS, ALL_ROWS
    for value in values:
        if value.complemented:
            complemented = writer.intersect(complemented, value)
        else:
            plain = writer.intersect(plain, value)
    return writer.intersect(plain, complemented)
