"""Audience without one of its conditions."""

from typing_extensions import TypedDict

from audience.index.query.leave_one_out import LeaveOneOut, LeftOut, Path
from audience.language.printer import render


class LeftOutForm(TypedDict):
    """Audience without one of its conditions.

    Attributes:
        expr: Expression without the condition.
        count: Number of devices that match this expression.
    """

    expr: str
    count: int


def left_out_json(entry: LeftOut) -> LeftOutForm:
    """Return what an audience is without a condition as JSON data."""
    return {"expr": render(entry.expr), "count": entry.device_count}


def left_out_by_path(answer: LeaveOneOut) -> dict[Path, LeftOutForm]:
    """Return what an audience is without each condition as JSON data, by the path of its line in an explanation."""
    return {entry.path: left_out_json(entry) for entry in answer.left_out}
