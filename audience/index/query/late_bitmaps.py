"""Rows of a shard that packed words find when they are asked for, in the form that is wanted.

Who wants row numbers, or how many there are, needs no bitmap. To make one of words, and then to list its rows, takes up
to twice as long as to list the rows of the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, overload

from audience.index.storage import row_memory, word_programs
from audience.index.storage.bitmaps import BitMap, RowNumbers
from audience.index.storage.viewed_words import ViewedWords
from audience.index.storage.word_programs import WordProgram

MAX_OPERANDS = 8  # whose words are kept for as long as the rows may be asked for


class LateBitmap(Sequence[BitMap]):
    """Sequence of one bitmap, which is made when it is taken.

    The result of *program* is no complement, and has no deleted rows. The words of its operands never change, so that
    the rows are the same whenever they are asked for.
    """

    def __init__(self, program: WordProgram, operands: Sequence[ViewedWords]):
        self._program, self._operands = program, operands

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, place: int) -> BitMap: ...
    @overload
    def __getitem__(self, place: slice) -> list[BitMap]: ...
    def __getitem__(self, place: int | slice) -> BitMap | list[BitMap]:
        return [self._bitmap][place]

    def __reduce__(self) -> tuple[Any, ...]:
        return list, ([self._bitmap],)

    @cached_property
    def _bitmap(self) -> BitMap:
        return word_programs.find_rows(self._program, self._operands).bitmap

    def count_rows(self) -> int:
        """Return the number of rows in the bitmap."""
        if "_bitmap" in vars(self):
            return len(self._bitmap)
        return word_programs.count_rows(self._program, self._operands, 0)

    def list_rows(self) -> RowNumbers:
        """Return the row numbers in the bitmap, in rising order."""
        if "_bitmap" in vars(self):
            return row_memory.list_rows(self._bitmap)
        return word_programs.list_rows(self._program, self._operands)


def has_late_bitmap(program: WordProgram) -> bool:
    """Return whether the rows of *program* may be found late: it is no complement, and has few operands."""
    return not program.result.complemented and program.operand_count <= MAX_OPERANDS
