"""Write expressions over tags as programs over packed words."""

from collections.abc import Iterator

from audience.index.query.tag_trees import Intersection, TagTree, Tree, Union
from audience.index.storage.word_programs import ALL_ROWS, ProgramWriter, Value, WordProgram, write_threshold


def write_program(tags: TagTree) -> WordProgram | None:
    """Return the program of *tags*; None if it means everyone or nobody."""
    writer = ProgramWriter(len(tags.operands))
    result = _write_tree(tags.tree, writer)
    if result.slot is None:
        return None
    return writer.finish(~result if tags.complemented else result)


def _write_tree(tree: Tree, writer: ProgramWriter) -> Value:
    if isinstance(tree, int):
        return Value(tree)
    if isinstance(tree, Union):
        return ~_write_intersection((~_write_tree(term, writer) for term in tree.terms), writer)
    if isinstance(tree, Intersection):
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
