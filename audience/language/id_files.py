"""Files of ids that an expression names, `device_id(@staff.txt)`: read once, compared when it is asked."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from audience._fs.checksums import hash128
from audience._fs.text_encoding import decode_text
from audience.errors import ExpressionError, Problem
from audience.language.ast import Expr, IdFile, Ids, walk_operands
from audience.span import Span

SHOWN_DIGITS = 8  # of a digest
MAX_COMPARED_BYTES = 1 << 20  # of a file that is read again to be compared; a larger one only if its date differs
TABLE_MARKS = frozenset(',;\t"')
TABLE_HINT = "keep a column in the index: audience segment save INDEX NAME --ids {path} --column COLUMN"


def read_id_file(path: str, folder: Path, kind: str) -> IdFile:
    """Read a text file with one id per line. A header in a CSV file of one column is not an id.

    Args:
        path: Path as it is written, relative to *folder*.
        folder: Folder of relative paths.
        kind: Name of the column that the ids are of.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not text with one id per line, or its encoding is unknown.
    """
    location = (folder / path).absolute()
    state = location.stat()
    content = location.read_bytes()
    lines = [line.strip() for line in _decode_lines(content)]
    if location.suffix.lower() in (".csv", ".tsv"):
        lines = _read_single_column(lines, kind)
    ids = tuple(dict.fromkeys(filter(None, lines)))
    is_regular = stat.S_ISREG(state.st_mode)  # a pipe cannot be read again
    return IdFile(path, hash128(content), ids, str(location) if is_regular else "", _describe_state(state))


def list_ids(name: str, ids: Iterable[str], kind: str) -> Ids:
    """Return the list of *ids* of a column as if it were read from a file called *name*."""
    values = tuple(dict.fromkeys([ids] if isinstance(ids, str) else ids))
    expr = Ids(kind, values)  # raises ExpressionError if there is none, or one is not text
    digest = hash128("\n".join(values).encode())
    return replace(expr, files=(IdFile(name, digest, values, is_list=True),))


def _decode_lines(content: bytes) -> list[str]:
    text = decode_text(content)
    if "\0" in text:
        raise ValueError(f"line {text[: text.index(chr(0))].count(chr(10)) + 1:,} contains a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_single_column(lines: list[str], kind: str) -> list[str]:
    """Return the lines of a CSV file without a header, or raise ValueError if it has several columns."""
    for number, line in enumerate(lines, 1):
        if not TABLE_MARKS.isdisjoint(line):
            raise ValueError(f"line {number:,} has several columns or quotes, not one id")
    return lines[1:] if lines[0] == kind else lines


def _describe_state(state: os.stat_result) -> tuple[int, ...]:
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino


def list_id_files(expr: Expr) -> dict[IdFile, Span | None]:
    """Return the files of ids in *expr*, in reading order, with where the list of each is."""
    files: dict[IdFile, Span | None] = {}
    for node in walk_operands(expr):
        if isinstance(node, Ids):
            for file in node.files:
                files.setdefault(file, node.span)
    return files


def require_unchanged_files(expr: Expr) -> None:
    """Raise ExpressionError if a file of ids in *expr* is no longer what was read."""
    if problems := list(_find_changed_files(expr)):
        raise ExpressionError(*problems)


def _find_changed_files(expr: Expr) -> Iterator[Problem]:
    for file, span in list_id_files(expr).items():
        change = _find_change(file) if file.location else ""
        if change:
            message = f"{file.path} has changed since it was read: its digest was {short_digest(file)}, {change}"
            yield Problem("changed-file", message, span, hint="read the expression again")


def _find_change(file: IdFile) -> str:
    """Return what a file is now, or an empty text if its content is the same."""
    location = Path(file.location)
    try:
        state = location.stat()
        if state.st_size > MAX_COMPARED_BYTES and _describe_state(state) == file.state:
            return ""
        digest = hash128(location.read_bytes())
    except OSError as error:
        return f"and now: {error.strerror}"
    return "" if digest == file.digest else f"and is {digest[:SHOWN_DIGITS]} now"


def short_digest(file: IdFile) -> str:
    """Return the first digits of the digest of a file, for people."""
    return file.digest[:SHOWN_DIGITS]


def describe_id_file(file: IdFile) -> str:
    """Return what a file of ids holds, in one line.

    >>> describe_id_file(IdFile("staff.txt", "5d41402abc4b2a76b9719d911017c592", ("d1", "d2")))
    '@staff.txt: 2 ids, digest 5d41402a'
    """
    kind = "list of " if file.is_list else ""
    return f"@{file.path}: {kind}{len(file.ids):,} ids, digest {short_digest(file)}"


def id_files_json(expr: Expr) -> list[dict[str, str | int]]:
    """Return the path, the digest and the number of ids of each file of *expr*."""
    return [{"path": file.path, "digest": file.digest, "id_count": len(file.ids)} for file in list_id_files(expr)]
