"""Completion of expressions on a command line of the shell."""

import typer

from audience.errors import AudienceError
from audience.language.completion import complete


def complete_expr(context: typer.Context, incomplete: str) -> list[str]:
    """Return the texts that an expression on the command line may become, for completion in the shell.

    Names and values are those of the index that the command line names before it, if there is one.
    """
    from audience.index.query.completion import complete_with_index  # imports Polars
    from audience.index.storage.published import open_storage
    from audience.index.storage.snapshot import open_snapshot

    index = context.params.get("index")
    try:
        completions = (
            complete(incomplete, len(incomplete))
            if index is None
            else complete_with_index(incomplete, len(incomplete), open_snapshot(open_storage(index)))
        )
    except AudienceError:  # the index cannot be read: the command will say so
        completions = complete(incomplete, len(incomplete))
    return [incomplete[: each.start] + each.text for each in completions]


def complete_event(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of events of the index on the command line that begin with *incomplete*."""
    from audience.index.storage.published import open_storage
    from audience.index.storage.snapshot import open_snapshot

    index = context.params.get("index")
    try:
        names = [] if index is None else open_snapshot(open_storage(index)).events.names()
    except AudienceError:  # the index cannot be read: the command will say so
        names = []
    return [name for name in names if name.startswith(incomplete)]
