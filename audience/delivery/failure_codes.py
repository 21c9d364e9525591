"""Failures of a run by their codes, and what to do about each. No text of a reply is repeated: it may name an id."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Literal, TypeAlias

from audience.delivery.ledger.connection import Ledger
from audience.delivery.ledger.left_out import find_reason
from audience.delivery.ledger.status import problem_from_json
from audience.errors import Problem
from audience.vendors.delivery_spec import DeliverySpec, ErrorCode

FailureState: TypeAlias = Literal["rejected", "in_doubt", "invalid"]
HTTP_STATUS = re.compile(r"HTTP (\d{3})\b")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Failures of one kind.

    Attributes:
        state: Whether batches were rejected, are in doubt, or whether the vendor does not know single ids.
        code: The vendor's code; `HTTP 502` for a status without one, or the code of our problem.
        meaning: What went wrong.
        advice: What to do, if anything is known.
        source: Page that documents the code.
        batches: Number of batches.
        ids: Number of their ids.
    """

    state: FailureState
    code: str
    meaning: str
    advice: str | None = None
    source: str | None = None
    batches: int = 0
    ids: int = 0


def list_failures(ledger: Ledger, delivery: DeliverySpec) -> list[Failure]:
    """Return the failures of a run, those of one code together."""
    failures = [
        replace(describe_failure(state, problem_from_json(problem), delivery), batches=batches, ids=ids)
        for state, problem, batches, ids in ledger.query("count_failures")
    ]
    invalid = [
        Failure(state="invalid", code=code, meaning="the vendor does not accept these ids", ids=count)
        for code, count in ledger.query("count_invalid_ids")
        if find_reason(code) is None
    ]
    return [*_merge(failures), *invalid]


def describe_failure(state: FailureState, problem: Problem, delivery: DeliverySpec) -> Failure:
    """Return the meaning of a recorded problem, with the vendor's code if it has one."""
    code = _find_code(problem.message, delivery.error_codes)
    if code is not None:
        name = problem.message.split(maxsplit=1)[0]
        return Failure(state=state, code=name, meaning=code.meaning, advice=code.advice or None, source=code.source)
    status = HTTP_STATUS.match(problem.message)
    if status is not None and problem.code != "contradictory-reply":
        number = int(status[1])
        phrase = HTTPStatus(number).phrase if number in set(HTTPStatus) else "unknown status"
        return Failure(state=state, code=status[0], meaning=phrase, advice=problem.hint)
    return Failure(state=state, code=problem.code, meaning=QUOTED.sub("…", problem.message), advice=problem.hint)


def remove_reply(problem: Problem, delivery: DeliverySpec) -> Problem:
    """Return *problem* without the text of a reply in it."""
    failure = describe_failure("rejected", problem, delivery)
    message = failure.meaning if failure.code == problem.code else f"{failure.code}: {failure.meaning}"
    return Problem(problem.code, message, hint=problem.hint or failure.advice)


def _find_code(message: str, codes: Iterable[ErrorCode]) -> ErrorCode | None:
    """Return the error code that *message* begins with."""
    name = message.split(maxsplit=1)[0] if message.strip() else ""
    return next((code for code in codes if fnmatchcase(name, code.code)), None)


def _merge(failures: Iterable[Failure]) -> list[Failure]:
    """Return *failures* with those of one state, code and meaning in one."""
    merged: dict[tuple[str, str, str], Failure] = {}
    for each in failures:
        key = each.state, each.code, each.meaning
        former = merged.get(key)
        merged[key] = (
            each
            if former is None
            else replace(former, batches=former.batches + each.batches, ids=former.ids + each.ids)
        )
    return [*merged.values()]
