"""Sizes of the proofs that grow: small in every run, full with the Hypothesis profile `long`, as in `nox -s long`."""

import os
from collections.abc import Iterator
from itertools import count

from hypothesis import settings

FULL_EXAMPLES = 500
IS_FULL_SIZE = settings().max_examples >= FULL_EXAMPLES
IS_CI = bool(os.environ.get("CI")) and not IS_FULL_SIZE


def scale(small: int, full: int) -> int:
    """Return *small*, or *full* in a long run."""
    return full if IS_FULL_SIZE else small


def scale_examples(small: int) -> int:
    """Return how many examples a law of its own size gets: *small*, half of them in CI, in a long run as all laws."""
    return scale(-(-small // 2) if IS_CI else small, settings().max_examples)


def steps_of_death(after: bool) -> Iterator[int]:
    """Count the steps at which a process dies: all, but in CI odd ones before they are made, even ones after."""
    return count(2 if after else 1, 2) if IS_CI else count(1)
