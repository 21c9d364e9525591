"""What commands print: results to standard output, problems to standard error, each for people or as JSON."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from audience.errors import Problem

NOBODY = Problem("nobody", "nobody is meant: nothing to send")


def problem_json(problem: Problem) -> dict[str, Any]:
    """*problem* for machines."""
    place = {"start": problem.span.start, "end": problem.span.end} if problem.span else None
    return {
        "code": problem.code,
        "message": _writable(problem.message),
        "place": place,
        "path": _writable(problem.path),
        "hint": _writable(problem.hint),
    }


def _writable(text: str | None) -> str | None:
    """*text* with each half of a character that it quotes from the input as an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def result(value: Any, json: bool, text: str) -> None:
    """Print the result of a command: *value* as JSON, or *text* for people."""
    sys.stdout.write((orjson.dumps(value).decode() if json else text) + "\n")


def tell(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* to standard error."""
    if json:
        errors = [problem_json(problem) for problem in problems]
        sys.stderr.write(orjson.dumps({"errors": errors}).decode() + "\n")
    else:
        sys.stderr.write("\n".join(map(str, problems)) + "\n")


def warn(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* that do not stop the command to standard error."""
    _aside("warnings", "warning: ", [(str(problem), problem_json(problem)) for problem in problems], json)


def remark(problems: Iterable[Problem], json: bool) -> None:
    """Write what a command that goes on has to tell meanwhile to standard error."""
    _aside("notes", "note: ", [(str(problem), problem_json(problem)) for problem in problems], json)


def note(conditions: Iterable[Problem], json: bool) -> None:
    """Write what requests take for granted to standard error."""
    _aside("assumed", "assumed: ", [(each.message, problem_json(each)) for each in conditions], json)


def _aside(key: str, before: str, said: Sequence[tuple[str, dict[str, Any]]], json: bool) -> None:
    if said and json:
        sys.stderr.write(orjson.dumps({key: [value for _, value in said]}).decode() + "\n")
    elif said:
        sys.stderr.write("".join(f"{before}{text}\n" for text, _ in said))
