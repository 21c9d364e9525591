"""Import packages that take long when they are first used: a command that counts a few tags needs none of them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["LazyModule", "np"]


class LazyModule:
    """Module that is imported when one of its names is first used; from then on the name is found without a call.

    Several threads may ask at once: the import waits for the one that has begun.

    >>> LazyModule("math").isqrt(17)
    4
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)
        return value


if not TYPE_CHECKING:
    np = LazyModule("numpy")
