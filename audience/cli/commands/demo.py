"""Command that demonstrates all others on generated devices."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from polars import DataFrame

from audience.cli.commands.serve import require_serve_extra
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
    serve: Annotated[bool, Option("--serve", help="Open the console on the devices instead, until Ctrl-C.")] = False,
    port: Annotated[
        int, Option("--port", min=0, max=65_535, metavar="N", help="Port of the console; 0 picks a free one.")
    ] = 8780,
) -> None:
    """Generate devices, then build, query, translate and send, with each command shown."""
    if serve:
        _serve_console(output, devices, port)
        return
    program = context.find_root().command

    def run_command(arguments: list[str]) -> None:
        program.main(arguments, standalone_mode=False, obj=output)

    run_tour(run_command, _serve_sandbox, _print_line, devices, output.as_json)


def _serve_console(output: Output, devices: int, port: int) -> None:
    require_serve_extra()
    from audience.cli.served_demo import serve_demo  # needs the extra

    def announce(url: str) -> None:
        output.print_result({"url": url}, url)
        sys.stdout.flush()  # a parent process may wait for the URL
        if not output.as_json:
            sys.stderr.write("open it in a browser; runs are sent to a sandbox; press Ctrl-C to stop\n")

    serve_demo(devices, port, announce)


@contextmanager
def _serve_sandbox(table: DataFrame) -> Iterator[str]:
    """Run a sandbox that knows the devices of *table* and yield its URL."""
    with Sandbox(Population(table)) as sandbox:
        yield sandbox.url


def _print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
