"""JSON form of problems."""

from typing_extensions import TypedDict

from audience.errors import Problem


class SpanForm(TypedDict):
    """Position in the text of an expression, in characters.

    Attributes:
        start: First character.
        end: Character behind the last one.
    """

    start: int
    end: int


class ProblemForm(TypedDict):
    """Problem.

    Attributes:
        code: Stable name of the kind of problem.
        message: What was expected and what was found.
        span: Position in the text of an expression.
        path: JSON path in a payload, message or manifest.
        hint: Instruction that solves the problem.
    """

    code: str
    message: str
    span: SpanForm | None
    path: str | None
    hint: str | None


def problem_json(problem: Problem) -> ProblemForm:
    """Return the JSON form of *problem*.

    >>> problem_json(Problem("empty", "the audience is empty"))["code"]
    'empty'
    """
    return {
        "code": problem.code,
        "message": _escape_surrogates(problem.message),
        "span": {"start": problem.span.start, "end": problem.span.end} if problem.span else None,
        "path": None if problem.path is None else _escape_surrogates(problem.path),
        "hint": None if problem.hint is None else _escape_surrogates(problem.hint),
    }


def _escape_surrogates(text: str) -> str:
    """Return *text* with unpaired surrogates escaped, as JSON cannot encode them."""
    return text.encode("utf-8", "backslashreplace").decode()
