"""Delimiter and header of a CSV file, from its first lines or as the user gives them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from audience.errors import Problem, TableError
from audience.index.ingest.text.records import Record, iter_records

DELIMITERS = (",", ";", "\t", "|")
MAX_SAMPLE_RECORDS = 50


@dataclass(frozen=True, slots=True)
class Dialect:
    """Division of the lines of a file into fields.

    Attributes:
        delimiter: Character between two fields.
        reason: How the delimiter is known.
        names: Names of the columns, without surrounding blanks.
        skipped_lines: Lines before the header: `sep=;`, as Excel writes it, and empty ones.
    """

    delimiter: str
    reason: str
    names: tuple[str, ...]
    skipped_lines: int = 0


def parse_delimiter(text: str) -> str:
    r"""Return the delimiter that an option names.

    >>> parse_delimiter("tab"), parse_delimiter("\\t"), parse_delimiter(";")
    ('\t', '\t', ';')

    Raises:
        TableError: It is not one character, or a character that cannot divide fields.
    """
    delimiter = {"tab": "\t", "\\t": "\t"}.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        hint = "for example --delimiter ';' or --delimiter tab"
        raise TableError(Problem("bad-option", f"{text!r} is not a delimiter of one character", hint=hint))
    return delimiter


def format_delimiter(delimiter: str) -> str:
    """Return a delimiter as an option names it."""
    return "tab" if delimiter == "\t" else f"'{delimiter}'"


def detect_dialect(lines: Sequence[str], file: str, given: str | None, preferred: str) -> Dialect:
    """Return the delimiter and the columns of a file that begins with *lines*.

    Args:
        lines: First lines of the file, without a line that is cut off.
        file: Name of the file for errors.
        given: Delimiter that the user names.
        preferred: Delimiter by the name of the file, for headers that fit several.

    Raises:
        TableError: The file has no header, or several delimiters fit it.
    """
    skipped = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    stated = _read_separator_line(lines[skipped]) if skipped < len(lines) else None
    skipped += stated is not None
    rest = lines[skipped:]
    if not "".join(rest).strip():
        raise TableError(Problem("unreadable", f"{file} is empty", hint="its first line names the columns"))
    if given is not None:
        return Dialect(given, "given", _read_names(rest, given, file), skipped)
    if stated is not None:
        reason = f"the first line is sep={stated}"
        return Dialect(stated, reason, _read_names(rest, stated, file), skipped)
    delimiter, reason = _choose_delimiter(rest, file, preferred)
    return Dialect(delimiter, reason, _read_names(rest, delimiter, file), skipped)


def _read_separator_line(line: str) -> str | None:
    """Return the delimiter of a line `sep=;`."""
    text = line.strip("\r\n").strip('"')
    return text[4:] if text[:4].lower() == "sep=" and len(text) == 5 else None


def _sample_records(lines: Sequence[str], delimiter: str) -> list[Record]:
    return list(islice(iter_records(lines, delimiter), MAX_SAMPLE_RECORDS))


def _choose_delimiter(lines: Sequence[str], file: str, preferred: str) -> tuple[str, str]:
    """Return the delimiter that divides the header and the lines below it alike, and why."""
    agreement = {}
    for delimiter in DELIMITERS:
        records = _sample_records(lines, delimiter)
        columns = len(records[0].fields) if records else 1
        if columns > 1:
            counts = Counter(len(record.fields) for record in records[1:] if not record.is_blank)
            agreement[delimiter] = (counts[columns] / max(counts.total(), 1), columns)
    if not agreement:
        return preferred, "the header is one column"
    if len(agreement) == 1:
        return next(iter(agreement)), "the only one in the header"
    full = [delimiter for delimiter, (share, _) in agreement.items() if share == 1]
    if len(full) == 1:
        return full[0], "it divides every line alike"
    if preferred in full and preferred == "\t":
        return preferred, "the name of the file"
    names = " and ".join(map(format_delimiter, agreement))
    hint = f"name it: --delimiter {format_delimiter(max(agreement, key=lambda key: agreement[key]))}"
    raise TableError(Problem("unknown-delimiter", f"{file}: the header contains {names}", hint=hint))


def _read_names(lines: Sequence[str], delimiter: str, file: str) -> tuple[str, ...]:
    """Return the names in the header."""
    header = next(iter(iter_records(lines, delimiter)))
    if header.problem:
        raise TableError(Problem("unreadable", f"{file}: the header {header.problem}"))
    names = tuple(name.strip() for name in header.fields)
    duplicates = [name for name, count in Counter(names).items() if count > 1 and name]
    if duplicates:
        message = f"{file}: two columns are named {duplicates[0]!r}"
        raise TableError(Problem("same-name", message, hint="rename one of them in the header"))
    return names
