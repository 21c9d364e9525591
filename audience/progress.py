"""Progress callbacks of long-running steps."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]  # (step, done, total)


def ignore_progress(step: str, done: int, total: int) -> None:
    """Ignore progress."""
