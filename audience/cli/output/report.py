"""What commands print: results to standard output, problems to standard error, each for people or as JSON."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from audience.errors import Problem

NOTHING_TO_SEND = Problem("nobody", "nobody is meant: nothing to send")


def problem_json(problem: Problem) -> dict[str, Any]:
    """*problem* for machines."""
    span = {"start": problem.span.start, "end": problem.span.end} if problem.span else None
    return {
        "code": problem.code,
        "message": _escape_surrogates(problem.message),
        "span": span,
        "path": _escape_surrogates(problem.path),
        "hint": _escape_surrogates(problem.hint),
    }


def _escape_surrogates(text: str | None) -> str | None:
    """*text* with each half of a character that it quotes from the input as an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def print_result(value: Any, json: bool, text: str) -> None:
    """Print the result of a command: *value* as JSON, or *text* for people."""
    sys.stdout.write((orjson.dumps(value).decode() if json else text) + "\n")


def print_errors(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* to standard error."""
    if json:
        errors = [problem_json(problem) for problem in problems]
        sys.stderr.write(orjson.dumps({"errors": errors}).decode() + "\n")
    else:
        sys.stderr.write("\n".join(map(str, problems)) + "\n")


def print_warnings(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* that do not stop the command to standard error."""
    _print_labelled("warnings", "warning: ", [(str(problem), problem_json(problem)) for problem in problems], json)


def print_notes(problems: Iterable[Problem], json: bool) -> None:
    """Write what a command that goes on has to tell meanwhile to standard error."""
    _print_labelled("notes", "note: ", [(str(problem), problem_json(problem)) for problem in problems], json)


def print_assumptions(assumptions: Iterable[Problem], json: bool) -> None:
    """Write what requests take for granted to standard error."""
    _print_labelled("assumptions", "assumed: ", [(each.message, problem_json(each)) for each in assumptions], json)


def _print_labelled(key: str, prefix: str, messages: Sequence[tuple[str, dict[str, Any]]], json: bool) -> None:
    if messages and json:
        sys.stderr.write(orjson.dumps({key: [value for _, value in messages]}).decode() + "\n")
    elif messages:
        sys.stderr.write("".join(f"{prefix}{text}\n" for text, _ in messages))
