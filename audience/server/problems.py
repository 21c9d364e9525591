"""Errors of the service, as `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from typing_extensions import TypedDict

from audience.errors import (
    AudienceError,
    DamagedError,
    ExpressionError,
    InvalidIndexError,
    LedgerError,
    LockedError,
    Problem,
    ProofError,
    ServiceError,
)
from audience.json_forms.problems import ProblemForm, SpanForm, problem_json

PROBLEM_MEDIA_TYPE = "application/problem+json"
CONFLICTS = frozenset({"begun", "cancelled", "copy", "exists", "locked"})
INTERNAL_PROBLEM = Problem("internal", "the service has failed", hint="the log of the service says more")


class ErrorForm(TypedDict):
    """Error. Its code, span and hint are those of the first problem.

    Attributes:
        type: `about:blank`: the title is that of the status.
        title: Name of the status.
        status: HTTP status.
        detail: What was expected and what was found.
        code: Stable name of the kind of problem.
        span: Position in the text of the expression.
        hint: Instruction that solves the problem.
        problems: All problems that were found.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    span: SpanForm | None
    hint: str | None
    problems: list[ProblemForm]


class HttpError(ServiceError):
    """Call that is answered with an error.

    Attributes:
        status: HTTP status.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, *problems: Problem, headers: Mapping[str, str] | None = None):
        super().__init__(*problems)
        self.status = status
        self.headers = dict(headers or {})


def find_status(error: AudienceError) -> int:
    """Return the HTTP status of an error.

    >>> find_status(HttpError(404, Problem("unknown-index", "there is no index 'x'")))
    404
    """
    match error:
        case HttpError(status=status):
            return status
        case LockedError():
            return 409
        case DamagedError() | InvalidIndexError() | LedgerError():
            return 503
        case ProofError():
            return 500
    return 409 if error.code in CONFLICTS else 400


def find_headers(error: AudienceError) -> dict[str, str]:
    """Return the headers of the answer to an error."""
    if isinstance(error, HttpError):
        return error.headers
    return {"Retry-After": "1"} if find_status(error) in (409, 503) and isinstance(error, InvalidIndexError) else {}


def error_json(status: int, problems: tuple[Problem, ...]) -> ErrorForm:
    """Return the JSON form of an error.

    >>> error_json(404, (Problem("unknown-path", "there is nothing at /x"),))["title"]
    'Not Found'
    """
    forms = [problem_json(problem) for problem in problems]
    first = forms[0]
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": first["message"],
        "code": first["code"],
        "span": first["span"],
        "hint": first["hint"],
        "problems": forms,
    }


def add_place(error: ExpressionError, place: str) -> ExpressionError:
    """Return *error* with the place in the call as the path of those problems that have none."""
    return ExpressionError(*(each if each.path else replace(each, path=place) for each in error.problems))
