"""Declarations of the arguments and options of commands: what typer takes, without importing typer."""

from typing import Any


class Parameter:
    """Names and settings of a parameter of a command, as `typer.Option` and `typer.Argument` take them."""

    def __init__(self, *names: str, **settings: Any):
        self.names = names
        self.settings = settings


class Option(Parameter):
    """Option, by name."""


class Argument(Parameter):
    """Argument, by position."""
