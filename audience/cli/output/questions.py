"""Text and JSON of the moment and the time zone of a question."""

from typing import Any

from audience.cli.output.writer import Output
from audience.errors import Problem
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.printer import render


def question_json(expr: Expr, bound: Expr, asked: AsOf) -> dict[str, Any]:
    """Return what was asked as a JSON object.

    Args:
        expr: Expression as it was written.
        bound: Expression with saved expressions for segments and absolute times for relative ones.
        asked: When and where it was asked.
    """
    return {
        "expression": render(expr),
        "bound": render(bound),
        "as_of": asked.local_time.isoformat(timespec="seconds"),
        "timezone": asked.timezone,
    }


def print_question(bound: Expr, asked: AsOf, output: Output) -> None:
    """Print when and where an expression was asked, and what it was then; JSON has it in its result."""
    if not output.as_json:
        output.print_notes([Problem("as-of", f"as of {asked}: {render(bound)}")])
