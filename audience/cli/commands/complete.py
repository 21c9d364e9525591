"""Command that completes an expression."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.index.query.completion import complete_with_index
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.language.completion import complete


def run_complete(
    output: Output,
    text: Annotated[str, Argument(metavar="TEXT", help="Expression, complete or not.")],
    position: Annotated[
        int | None,
        Option("--position", min=0, metavar="N", help="Position in TEXT, in characters; its end by default."),
    ] = None,
    index: Annotated[
        Path | None, Option("--index", metavar="INDEX", help="Index whose names and values are completed.")
    ] = None,
) -> None:
    """List what may come next in an expression."""
    at = len(text) if position is None else position
    if index is None:
        completions = complete(text, at)
    else:
        completions = complete_with_index(text, at, open_snapshot(open_storage(index)))
    rows = [(each.text, each.kind, "" if each.devices is None else f"{each.devices:,}") for each in completions]
    titles = ("text", "kind", "devices")
    facts = [asdict(completion) for completion in completions]
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(2,)) if rows else "nothing")
