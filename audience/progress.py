"""Progress callbacks of long-running steps."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]  # what is being done, and how far it is of how much


def ignore_progress(step: str, done: int, total: int) -> None:
    """Progress that nobody wants to hear of."""
