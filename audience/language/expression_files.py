"""Read files with the suffix `.aud`: the text of one expression each, with comments."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from audience.errors import ExpressionError, Problem

SUFFIX = ".aud"
ENCODING_HINT = "write expressions in UTF-8"


def find_expression_files(paths: Iterable[Path]) -> list[Path]:
    """Return *paths*, with the files with the suffix `.aud` below each folder instead of it, each once.

    Raises:
        ExpressionError: There is no file in a folder, or a path does not exist.
    """
    files: list[Path] = []
    for path in paths:
        found = _find_in_folder(path) if path.is_dir() else [path]
        if not found:
            hint = f"the name of a file with an expression ends in {SUFFIX}"
            raise ExpressionError(Problem("no-expressions", f"{path} contains no {SUFFIX} files", hint=hint))
        files += found
    return list(dict.fromkeys(files))


def _find_in_folder(folder: Path) -> list[Path]:
    """Return the files below *folder*, but none in a folder whose name starts with a dot."""
    files = (file for file in folder.rglob(f"*{SUFFIX}") if file.is_file())
    return sorted(file for file in files if not any(p.startswith(".") for p in file.relative_to(folder).parts))


def read_expression_file(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        ExpressionError: The file cannot be read, or it is not valid UTF-8.
    """
    try:
        return decode_expression(path.read_bytes(), str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        hint = f"name {SUFFIX} files, or folders of them"
        raise ExpressionError(Problem("unreadable-file", f"{path}: {reason}", hint=hint)) from error


def decode_expression(content: bytes, name: str) -> str:
    """Return *content* as text without a byte order mark; *name* is the file in the error if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        message = f"{name}:{line}: not valid UTF-8"
        raise ExpressionError(Problem("unreadable-file", message, hint=ENCODING_HINT)) from error


@contextmanager
def name_file(name: str | Path) -> Iterator[None]:
    """Name the file, and the line and the column in it, in the problems that are raised inside the block."""
    try:
        yield
    except ExpressionError as error:
        raise ExpressionError(*(add_file_name(problem, name) for problem in error.problems)) from None


def add_file_name(problem: Problem, name: str | Path) -> Problem:
    """Return *problem* with its file, line and column before its message, as editors read them.

    >>> from audience.span import Span
    >>> add_file_name(Problem("no-device", "no device has 'x'", Span("a AND x", 6, 7)), "vip.aud").message
    "vip.aud:1:7: no device has 'x'"
    """
    if problem.span is None:
        return replace(problem, message=f"{name}: {problem.message}")
    before = problem.span.text[: problem.span.start]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return replace(problem, message=f"{name}:{line}:{column}: {problem.message}")
