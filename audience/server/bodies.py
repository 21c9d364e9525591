"""Bodies and queries of calls: models that refuse unknown fields, and the questions in them."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from audience.errors import ExpressionError
from audience.index.storage.snapshot import Snapshot
from audience.language.as_of import AsOf, read_as_of
from audience.language.ast import Expr
from audience.language.parser import parse
from audience.server.operand_limit import MAX_OPERANDS, limit_operands
from audience.server.problems import add_place

MAX_CACHED_TEXT = 4_096  # characters of an expression whose tree is kept


class Body(BaseModel):
    """Body of a call: a JSON object without other fields than these."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def quick_key(self) -> Hashable:
        """Return what the time of the answer depends on, or None for an answer that always takes a thread.

        Calls whose last answer with the same key was quick are answered without a thread.
        """
        return None


class Query(BaseModel):
    """Query of a call: parameters without other names than these, each at most once."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class QuestionBody(Body):
    """Body with a moment and a time zone, as `DeviceIndex.count` takes them."""

    as_of: str | None = Field(
        default=None,
        description="Moment of the question, such as 2026-11-28T09:00+08:00; without it, now.",
        examples=["2026-11-28T09:00+08:00"],
    )
    timezone: str | None = Field(
        default=None,
        description="Time zone whose days are meant; without it, that of the index.",
        examples=["Asia/Shanghai"],
    )
    allow_gaps: bool = Field(
        default=False, description="Answer questions about events although some of their days are not covered."
    )


class ExprBody(QuestionBody):
    """Body with an expression."""

    expr: str = Field(description="Expression.", examples=["male AND age < 30"])

    def quick_key(self) -> Hashable:
        """Return the expression, and the zone of its days."""
        if len(self.expr) > MAX_CACHED_TEXT:
            return None
        return self.expr, self.timezone, self.as_of, self.allow_gaps


@dataclass(frozen=True, slots=True)
class Question:
    """Expression of a call, and when and where it is asked."""

    expr: Expr
    asked: AsOf


def read_question(body: ExprBody, snapshot: Snapshot) -> Question:
    """Return the question of a body.

    Raises:
        ExpressionError: The expression, the moment or the zone is invalid.
        HttpError: The expression has too many operands.
    """
    expr = parse_text(body.expr)
    limit_operands([expr], snapshot.segments)
    return Question(expr, read_asked(body, snapshot))


def read_asked(body: QuestionBody, snapshot: Snapshot) -> AsOf:
    """Return when and where a body asks. Raises ExpressionError if the moment or the zone is invalid."""
    if body.as_of is None and body.timezone is None:
        return AsOf(datetime.now(UTC), snapshot.zone, body.allow_gaps)
    try:
        return read_as_of(body.as_of, body.timezone, snapshot.timezone, body.allow_gaps)
    except ExpressionError as error:
        place = "body.timezone" if error.code == "unknown-timezone" else "body.as_of"
        raise add_place(error, place) from None


def parse_text(text: str, place: str = "body.expr") -> Expr:
    """Return the expression of a text from the network: it reads no file. The trees of recent texts are kept.

    Raises:
        ExpressionError: The text is invalid; the path of its problems is *place*.
        HttpError: It has too many operands.

    >>> parse_text("registration_id(@/etc/passwd)")
    Traceback (most recent call last):
    ...
    audience.errors.ExpressionError: ...
    """
    try:
        expr = _parse_cached(text) if len(text) <= MAX_CACHED_TEXT else parse(text, folder=None)
    except ExpressionError as error:
        raise add_place(error, place) from None
    if len(text) > MAX_OPERANDS:  # a call may have many of them: all are not parsed before one is refused
        limit_operands([expr], {}, place)
    return expr


@lru_cache(maxsize=4_096)
def _parse_cached(text: str) -> Expr:
    return parse(text, folder=None)
