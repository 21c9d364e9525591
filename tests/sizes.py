"""Sizes of the proofs that grow: small in every run, full with the Hypothesis profile `long`, as in `nox -s long`."""

from hypothesis import settings

FULL_EXAMPLES = 500
IS_FULL_SIZE = settings().max_examples >= FULL_EXAMPLES


def scale(small: int, full: int) -> int:
    """Return *small*, or *full* in a long run."""
    return full if IS_FULL_SIZE else small


def scale_examples(small: int) -> int:
    """Return how many examples a slow law gets: *small*, or in a long run as many as every other law."""
    return scale(small, settings().max_examples)
