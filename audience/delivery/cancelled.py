"""Words about a cancelled run: why it does not go on, and how to reach whom it did not reach."""

from pathlib import Path

from audience.errors import Problem


def rest_advice(folder: Path) -> str:
    """Return how to reach whom a cancelled run did not reach."""
    return (
        f"list them with `audience delivered {folder} --state not-sent | tail -n +2 | cut -d, -f1 > rest.txt`, emit "
        "`… AND registration_id(@rest.txt)` into another folder, and send that"
    )


def cancelled_problem(folder: Path) -> Problem:
    """Return why a cancelled run does not go on, and how to reach whom it did not reach."""
    hint = f"a cancelled run stays so; to reach the others, {rest_advice(folder)}"
    return Problem("cancelled", f"{folder}: the run was cancelled", hint=hint)
