"""Records of a CSV file one by one, with the line where each begins and what is wrong with it."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file.

    Attributes:
        line: Number of its first line, as an editor counts.
        text: Its lines as they are in the file.
        fields: Its fields; empty for a blank line.
        problem: What is wrong with it, for "line 7 …".
        is_open: Whether a quote is open at its end, so that what belongs to it is unknown.
    """

    line: int
    text: str
    fields: list[str]
    problem: str | None = None
    is_open: bool = False

    @property
    def is_blank(self) -> bool:
        """Return whether the record is an empty line."""
        return not self.problem and (not self.fields or (len(self.fields) == 1 and not self.text.strip()))


@dataclass(slots=True)
class _LineTap:
    """Lines that a reader takes, kept until the record that they are part of is complete."""

    lines: Iterator[str]
    taken: list[str]

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.taken.append(line)
            yield line


def iter_records(lines: Iterable[str], delimiter: str, first_line: int = 1) -> Iterator[Record]:
    r"""Yield the records in *lines*, the first of which has the number *first_line*.

    >>> [(record.line, record.fields) for record in iter_records(['a,b\n', '"x\n', 'y",1\n', 'z,2\n'], ",")]
    [(1, ['a', 'b']), (2, ['x\ny', '1']), (4, ['z', '2'])]
    """
    tap = _LineTap(iter(lines), [])
    reader = csv.reader(tap, delimiter=delimiter, strict=True)
    line = first_line
    while True:
        problem, is_open, fields = None, False, list[str]()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = _explain(str(error))
            is_open = "end of data" in str(error) or "field limit" in str(error)
        text = "".join(tap.taken)
        yield Record(line, text, fields, problem or _find_bad_characters(text), is_open)
        line += len(tap.taken)
        tap.taken.clear()


def _explain(error: str) -> str:
    """Return an error of the csv module as what is wrong with the record."""
    if "unexpected end of data" in error:
        return "opens a quote that is never closed"
    if "field limit" in error:
        return "has a field of more than 131,072 characters; a quote may not be closed"
    if "expected after" in error:
        return "has text after a closing quote; a quote inside a quoted field is written twice"
    return f"is invalid: {error}"


def _find_bad_characters(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text):
        return "is not valid in the encoding of the file"
    return None
