"""Command that formats files of expressions."""

import difflib
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from audience._fs.atomic import commit_file, temp_path
from audience.cli.declarations import Argument, Option
from audience.cli.output.writer import Output
from audience.cli.streams import read_stdin
from audience.counts import format_count
from audience.errors import ExpressionError, Problem
from audience.language.expression_files import find_expression_files, name_file, read_expression_file
from audience.language.formatting import format_text

STDIN = "-"
STDIN_NAME = "<stdin>"


@dataclass(frozen=True, slots=True)
class FormattedText:
    """Text of a file, or of standard input, as it is and as it is formatted."""

    name: str
    text: str
    formatted: str

    @property
    def is_changed(self) -> bool:
        """Return whether formatting changes the text."""
        return self.text != self.formatted


def run_fmt(
    output: Output,
    files: Annotated[
        list[str] | None,
        Argument(
            metavar="[FILES]", help="Files of one expression each, folders of .aud files, or - for standard input."
        ),
    ] = None,
    check: Annotated[
        bool, Option("--check", help="Write nothing; name the files that would change, with exit code 1.")
    ] = False,
    diff: Annotated[bool, Option("--diff", help="Write nothing; print what would change, with exit code 1.")] = False,
) -> None:
    """Format files of expressions: canonical text, with comments kept.

    Without FILES the .aud files below the current folder are formatted. Nothing is written if a file is invalid.
    """
    names = files or ["."]
    if STDIN in names and len(names) > 1:
        hint = "format standard input and files in two commands"
        raise ExpressionError(Problem("bad-option", "- is one of several files", hint=hint))
    texts = [_format_stdin()] if names == [STDIN] else _format_files([Path(name) for name in names])
    changed = [text for text in texts if text.is_changed]
    if not (check or diff):
        _write_texts(output, texts, changed, is_stdin=names == [STDIN])
        return
    lines = [line for text in changed for line in (_format_diff(text) if diff else [f"would change {text.name}"])]
    facts = {"files": len(texts), "would_change": [text.name for text in changed]}
    output.print_result(facts, "\n".join(lines) or f"{format_count(len(texts), 'file')} formatted already")
    sys.exit(1 if changed else 0)


def _format_stdin() -> FormattedText:
    text = read_stdin("pass the names of files")
    with name_file(STDIN_NAME):
        return FormattedText(STDIN_NAME, text, format_text(text.removeprefix("\ufeff")))


def _format_files(paths: Sequence[Path]) -> list[FormattedText]:
    """Format every file. Raises ExpressionError with the problems of all files that are invalid."""
    texts: list[FormattedText] = []
    problems: list[Problem] = []
    for path in find_expression_files(paths):
        try:
            texts.append(_format_file(path))
        except ExpressionError as error:
            problems += error.problems
    if problems:
        raise ExpressionError(*problems)
    return texts


def _format_file(path: Path) -> FormattedText:
    text = read_expression_file(path)
    with name_file(path):
        return FormattedText(str(path), text, format_text(text))


def _write_texts(
    output: Output, texts: Sequence[FormattedText], changed: Sequence[FormattedText], *, is_stdin: bool
) -> None:
    """Write what is formatted: to standard output, or to the files that change."""
    if is_stdin:
        formatted = texts[0].formatted
        output.print_result({"text": formatted}, formatted.removesuffix("\n"))
        return
    for text in changed:
        _replace_file(Path(text.name), text.formatted.encode())
    facts = {"files": len(texts), "changed": [text.name for text in changed]}
    lines = [f"changed {text.name}" for text in changed]
    output.print_result(facts, "\n".join(lines) or f"{format_count(len(texts), 'file')} formatted already")


def _replace_file(path: Path, content: bytes) -> None:
    """Replace the content of a file atomically; its mode stays, and a link still refers to it."""
    target = path.resolve()
    temp_file = temp_path(target)
    try:
        with temp_file.open("wb") as file:
            os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            file.write(content)
        commit_file(temp_file, target)
    finally:
        temp_file.unlink(missing_ok=True)


def _format_diff(text: FormattedText) -> list[str]:
    """Return the lines of a unified diff from the text to the formatted one."""
    before, after = (part.splitlines() for part in (text.text, text.formatted))
    lines = [*difflib.unified_diff(before, after, text.name, f"{text.name} (formatted)", lineterm="")]
    return lines or [f"{text.name}: line ends change"]
