"""Command that demonstrates all others on generated devices."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from polars import DataFrame

from audience.cli.declarations import Option
from audience.cli.output.writer import Output
from audience.cli.tour import run_tour
from audience.sandbox import Population, Sandbox


def run_demo(
    output: Output,
    context: typer.Context,
    devices: Annotated[
        int, Option("--devices", min=1, max=10_000_000, metavar="N", help="Number of devices to generate.")
    ] = 100_000,
) -> None:
    """Generate devices, then build, query, translate and send, with each command shown."""
    program = context.find_root().command

    def run_command(arguments: list[str]) -> None:
        program.main(arguments, standalone_mode=False, obj=output)

    run_tour(run_command, _serve_sandbox, _print_line, devices, output.as_json)


@contextmanager
def _serve_sandbox(table: DataFrame) -> Iterator[str]:
    """Run a sandbox that knows the devices of *table* and yield its URL."""
    with Sandbox(Population(table)) as sandbox:
        yield sandbox.url


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
