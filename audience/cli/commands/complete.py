"""Command that completes an expression."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from audience.cli.declarations import Argument, Option
from audience.cli.options import QuestionOptions
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.errors import InvalidIndexError, Problem
from audience.index.query.completion import complete_with_index
from audience.index.query.completion_counts import count_within
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.language.completion import Completion, complete


def run_complete(
    output: Output,
    text: Annotated[str, Argument(metavar="TEXT", help="Expression, complete or not.")],
    position: Annotated[
        int | None,
        Option("--position", min=0, metavar="N", help="Position in TEXT, in characters; its end by default."),
    ] = None,
    *,
    index: Annotated[
        Path | None, Option("--index", metavar="INDEX", help="Index whose names and values are completed.")
    ] = None,
    within: Annotated[
        bool,
        Option("--within", help="Also count the devices that the other conditions of TEXT select. Needs `--index`."),
    ] = False,
    question: QuestionOptions,
) -> None:
    """List what may come next in an expression."""
    at = len(text) if position is None else position
    completions = _complete(text, at, index, question if within else None)
    facts = [asdict(each) if within else _without_within(each) for each in completions]
    titles = ("text", "kind", "devices", *(["within"] if within else []))
    rows = [
        (each.text, each.kind, *map(_format_count, (each.devices, each.within)[: len(titles) - 2]))
        for each in completions
    ]
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(2, 3)) if rows else "nothing")


def _complete(text: str, at: int, index: Path | None, question: QuestionOptions | None) -> list[Completion]:
    """Return the completions, counted within the rest of the text if it is asked."""
    if index is None:
        if question is not None:
            raise InvalidIndexError(Problem("bad-option", "--within counts devices", hint="add --index INDEX"))
        return complete(text, at)
    snapshot = open_snapshot(open_storage(index), threads=None if question is None else question.threads)
    completions = complete_with_index(text, at, snapshot)
    return (
        completions
        if question is None
        else count_within(completions, text, at, snapshot, question.read(snapshot.timezone))
    )


def _without_within(completion: Completion) -> dict[str, Any]:
    return {name: value for name, value in asdict(completion).items() if name != "within"}


def _format_count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"
