"""Parser of plain command lines: without typer, which loads more slowly than most commands run.

It takes a command with its arguments in order and its options by their full names, each at most once. Whatever else a
command line holds, and every mistake, is left to typer: help, numbers, lists, choices, `--`, values that start with -.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter as FunctionParameter
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from audience.cli import registry
from audience.cli.declarations import Option

WORD_TYPES = (str, Path)  # read from one word as it is
DEFAULT_TYPES = (str, Path, bool, int, float)
PLAIN_SETTINGS = {"metavar", "help", "autocompletion", "show_default", "min", "max"}


@dataclass(frozen=True, slots=True)
class CommandCall:
    """Call of the function of a command, with the values of all of its parameters."""

    function: Callable[..., None]
    values: dict[str, Any]


def read_call(words: list[str]) -> CommandCall | None:
    """Return the call that a command line asks for, or None if typer has to read it."""
    found = registry.find_command(words)
    if found is None or any(word in ("--", "--help", "") for word in words):
        return None
    function = registry.load_function(found[0])
    if "typer" in vars(sys.modules[function.__module__]):  # it takes typer's context, or asks with it
        return None
    values = parse_plain(registry.read_parameters(function), found[1])
    return None if values is None else CommandCall(function, values)


def parse_plain(parameters: list[FunctionParameter], words: list[str]) -> dict[str, Any] | None:
    """Return the value of each parameter, or None for words that typer has to read."""
    options, arguments = _index_options(parameters), [each for each in parameters if not _is_option(each)]
    values: dict[str, Any] = {}
    remaining = iter(words)
    for word in remaining:
        name, separator, text = word.partition("=")
        if word == "-" or not word.startswith("-"):
            parameter, given = (arguments.pop(0) if arguments else None), word
        else:
            parameter = options.pop(name, None)
            is_flag = parameter is not None and _plain_type(parameter) is bool
            given = text if separator or is_flag else next(remaining, "-")
            if (is_flag and separator) or (not is_flag and (not given or given.startswith("-"))):
                return None
        type_ = None if parameter is None else _plain_type(parameter)
        if parameter is None or type_ is None:
            return None
        values[parameter.name] = True if type_ is bool else type_(given)
    return _add_defaults(parameters, values)


def _add_defaults(parameters: list[FunctionParameter], values: dict[str, Any]) -> dict[str, Any] | None:
    """Return *values* with the defaults of the other parameters, or None if typer has to make one."""
    defaults = {each.name: each.default for each in parameters if each.name not in values}
    if not all(_is_plain_default(each) for each in parameters if each.name in defaults):
        return None
    return {each.name: values.get(each.name, each.default) for each in parameters}


def _is_plain_default(parameter: FunctionParameter) -> bool:
    """Return whether typer passes the default of a parameter as it is."""
    type_ = _single_type(parameter)
    is_of_type = parameter.default is None or (type_ in DEFAULT_TYPES and isinstance(parameter.default, type_))
    return bool(is_of_type) and parameter.default is not FunctionParameter.empty and _has_plain_settings(parameter)


def _index_options(parameters: list[FunctionParameter]) -> dict[str, FunctionParameter]:
    """Return the options by their names that begin with two dashes."""
    named = [(name, each) for each in parameters if _is_option(each) for name in _declaration(each).names]
    return {name: parameter for name, parameter in named if name.startswith("--")}


def _plain_type(parameter: FunctionParameter) -> Any:
    """Return the type that reads a parameter's value from one word, bool for a flag, or None if typer has to."""
    type_ = _single_type(parameter)
    is_flag = type_ is bool and parameter.default is False and len(_declaration(parameter).names) == 1
    return type_ if _has_plain_settings(parameter) and (is_flag or type_ in WORD_TYPES) else None


def _single_type(parameter: FunctionParameter) -> Any:
    """Return the type of a parameter without None; None for several types."""
    declared = parameter.annotation.__origin__
    types = [each for each in get_args(declared) if each is not NoneType] if isinstance(declared, UnionType) else []
    return types[0] if len(types) == 1 else None if types else declared


def _has_plain_settings(parameter: FunctionParameter) -> bool:
    """Return whether a value is that of its word: no callback, no variable of the environment, no check of a path."""
    return PLAIN_SETTINGS.issuperset(_declaration(parameter).settings)


def _is_option(parameter: FunctionParameter) -> bool:
    return isinstance(_declaration(parameter), Option)


def _declaration(parameter: FunctionParameter) -> Any:
    """Return the declaration of a parameter, the first in its annotation."""
    return parameter.annotation.__metadata__[0]
