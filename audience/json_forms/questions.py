"""JSON form of questions: what was asked, when and where."""

from datetime import datetime
from functools import lru_cache
from typing import NotRequired
from zoneinfo import ZoneInfo

from typing_extensions import TypedDict

from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.printer import render


class QuestionForm(TypedDict):
    """Question.

    Attributes:
        expression: Expression as it was written.
        bound: Expression with saved expressions for segments and absolute times for relative ones.
        as_of: Moment at which it was asked, as clocks of the zone show it.
        timezone: Name of the time zone whose days are meant.
        allow_gaps: Present if events were asked although some of their days are not covered.
    """

    expression: str
    bound: str
    as_of: str
    timezone: str
    allow_gaps: NotRequired[bool]


def question_json(expr: Expr, bound: Expr, asked: AsOf) -> QuestionForm:
    """Return the JSON form of a question.

    Args:
        expr: Expression as it was written.
        bound: Expression with saved expressions for segments and absolute times for relative ones.
        asked: When and where it was asked.
    """
    form: QuestionForm = {
        "expression": render(expr),
        "bound": render(bound),
        "as_of": format_as_of(asked),
        "timezone": asked.timezone,
    }
    if asked.allow_gaps:
        form["allow_gaps"] = True
    return form


def format_as_of(asked: AsOf) -> str:
    """Return the moment of a question as clocks of its zone show it, with the offset."""
    return _format_second(asked.moment.replace(microsecond=0), asked.zone)


@lru_cache(maxsize=64)  # a service is asked many times a second
def _format_second(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()
