"""What an expression says."""

from typing import Annotated

import typer

from audience.cli.options import ExprText, Json
from audience.cli.output.report import result
from audience.language.describe import as_json, outline
from audience.language.parser import parse as parse_text
from audience.language.printer import render


def parse(
    expr: ExprText,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree.")] = False,
    json: Json = False,
) -> None:
    """Write an expression in its canonical form."""
    meant = parse_text(expr)
    result(as_json(meant), json, "\n".join(outline(meant)) if tree else render(meant))
