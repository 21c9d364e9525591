"""Packages whose public names are loaded when they are first asked for."""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType


def late(package: str, homes: Mapping[str, str]) -> None:
    """Let *package* have each name in *homes* from its module there, which is imported when the name is asked for.

    *homes* has the names by their modules, white space between them. A name stays what it is where a module of the
    package is called the same: `audience.plan` is the function, though Python sets it to the module on import.
    https://docs.python.org/3/reference/datamodel.html#customizing-module-attribute-access

    >>> import audience.vendors
    >>> "fcm" in audience.vendors()
    True
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    class Late(ModuleType):
        def __getattr__(self, name: str) -> object:
            if name not in home:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            found = getattr(import_module(home[name]), name)
            super().__setattr__(name, found)
            return found

        def __setattr__(self, name: str, value: object) -> None:
            if name not in home or not isinstance(value, ModuleType):
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*vars(self), *home})

    sys.modules[package].__class__ = Late
