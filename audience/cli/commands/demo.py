"""A walk through all commands on generated devices."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from polars import DataFrame

from audience.cli.options import JsonOption
from audience.cli.tour import run_tour
from audience.sandbox import Population, Sandbox


def run_demo(
    context: typer.Context,
    devices: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many to generate.")] = 100_000,
    json: JsonOption = False,
) -> None:
    """Build an index from generated devices and walk through all of it."""
    command = context.find_root().command
    run_tour(lambda words: command.main(words, standalone_mode=False), _serve_sandbox, _print_line, devices, json)


@contextmanager
def _serve_sandbox(table: DataFrame) -> Iterator[str]:
    """The URL of vendors that know the devices of *table*."""
    with Sandbox(Population(table)) as running:
        yield running.url


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
