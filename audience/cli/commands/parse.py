"""What an expression says."""

from typing import Annotated

import typer

from audience.cli.options import ExprArgument, JsonOption
from audience.cli.output.report import print_result
from audience.language.describe import expr_json, format_tree
from audience.language.parser import parse as parse_text
from audience.language.printer import render


def run_parse(
    expr: ExprArgument,
    tree: Annotated[bool, typer.Option("--tree", help="Draw the tree.")] = False,
    json: JsonOption = False,
) -> None:
    """Write an expression in its canonical form."""
    meant = parse_text(expr)
    print_result(expr_json(meant), json, "\n".join(format_tree(meant)) if tree else render(meant))
