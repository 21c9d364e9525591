"""Command that parses an expression."""

from typing import Annotated

from audience.cli.declarations import Option
from audience.cli.options import ExprArgument
from audience.cli.output.writer import Output
from audience.language.describe import expr_json, format_tree
from audience.language.parser import parse
from audience.language.printer import render


def run_parse(
    output: Output,
    expr: ExprArgument,
    tree: Annotated[bool, Option("--tree", help="Print the syntax tree.")] = False,
) -> None:
    """Parse an expression and print its canonical form."""
    parsed = parse(expr)
    output.print_result(expr_json(parsed), "\n".join(format_tree(parsed)) if tree else render(parsed))
