"""Iteration in which the next item is computed while the one before it is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def iter_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield *items*; another thread computes each while the one before it is used.

    >>> list(iter_ahead(iter([1, 2])))
    [1, 2]
    """
    with ThreadPoolExecutor(1) as executor:
        pending = executor.submit(list, islice(items, 1))
        while taken := pending.result():
            pending = executor.submit(list, islice(items, 1))
            yield from taken
