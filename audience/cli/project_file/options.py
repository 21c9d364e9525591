"""Options of commands as keys of a project file, and keys as words of a command line.

The keys of a section are the options of its command, read from its declaration. So every key is an option.
"""

from collections.abc import Container, Iterator, Mapping
from inspect import Parameter as FunctionParameter
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from audience.cli import registry
from audience.cli.declarations import Option
from audience.cli.project_file.reading import KeyPath, Section, unknown_key, wrong_type
from audience.errors import ConfigError, Problem

GENERAL_OPTIONS = {"config", "json", "log", "wait"}
# The command of each kind of section, and its options that are no keys: others decide them, or they are for one call.
SECTION_COMMANDS: dict[str, tuple[str, set[str]]] = {
    "devices": ("index build", {"out", "replace", "save-config"}),
    "update": ("index update", set()),
    "events": ("events add", {"run", "batch", "covers-to"}),
    "sync": (
        "sync",
        {"vendor", "catalog", "credentials", "host", "dry-run", "watch", "retry-after", "full", "from-vendor"},
    ),
}


def read_command_parameters(path: str) -> list[FunctionParameter]:
    """Return the parameters of the command whose function is at *path*."""
    return registry.read_parameters(registry.load_function(path))


def list_section_options(kind: str) -> dict[str, FunctionParameter]:
    """Return the options that are keys of a section of this *kind*, by the names of the keys."""
    command, left_out = SECTION_COMMANDS[kind]
    path, _ = registry.find_command(command.split()) or ("", [])
    options = {key: each for each in read_command_parameters(path) if (key := option_key(each))}
    return {key: each for key, each in options.items() if key not in left_out | GENERAL_OPTIONS}


def option_key(parameter: FunctionParameter) -> str:
    """Return the name of an option without its dashes; empty for an argument."""
    declared = parameter.annotation.__metadata__[0]
    names = declared.names if isinstance(declared, Option) else ()
    return next((name.removeprefix("--") for name in names if name.startswith("--")), "")


def make_section_words(section: Section, kind: str, given: Container[str] = ()) -> list[str]:
    """Return the options of *section* as words of a command line, but those that are *given* there.

    Raises:
        ConfigError: A key is no option of the command, or a value does not have its type.
    """
    options, problems, words = list_section_options(kind), list[Problem](), list[str]()
    for key, value in section.values.items():
        keys = (*section.keys, key)
        if key == "table" and kind != "sync":
            continue
        if key not in options:
            problems.append(unknown_key(section.source, keys, options))
            continue
        texts = _list_texts(value, options[key], section)
        if texts is None:
            problems.append(_wrong_value(section, keys, options[key], value))
        elif key not in given:
            words += [f"--{key}" if text is None else f"--{key}={text}" for text in texts]
    if problems:
        raise ConfigError(*problems)
    return words


def _wrong_value(section: Section, keys: KeyPath, option: FunctionParameter, value: Any) -> Problem:
    """Return the problem of a *value* that does not fit; in a table of pairs, that of the first wrong one."""
    if isinstance(value, dict) and _takes_pairs(option):
        name, each = next((name, each) for name, each in value.items() if not isinstance(each, str))
        return wrong_type(section.source, (*keys, name), str, each)
    return wrong_type(section.source, keys, value_type(option), value)


def _takes_pairs(option: FunctionParameter) -> bool:
    return value_type(option) is list and "=" in option.annotation.__metadata__[0].settings.get("metavar", "")


def _list_texts(value: Any, option: FunctionParameter, section: Section) -> list[str | None] | None:
    """Return the texts with which an option is written, None for a flag alone; or None if *value* does not fit."""
    type_ = value_type(option)
    match value:
        case bool():
            return ([None] if value else []) if type_ is bool else None
        case str():
            is_path = Path in _types(option)
            return [section.source.resolve(value) if is_path else value] if type_ in (str, list) else None
        case int() | float():
            return [str(value)] if type_ in (int, float) else None
        case list() if type_ is list:
            return [*value] if all(isinstance(each, str) for each in value) else None
        case dict() if _takes_pairs(option):
            return [*_list_pairs(value)] if all(isinstance(each, str) for each in value.values()) else None
    return None


def _list_pairs(table: Mapping[str, str]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{name}={value}"


def _types(option: FunctionParameter) -> list[Any]:
    declared = option.annotation.__origin__
    return [each for each in get_args(declared) if each is not NoneType] or [declared]


def value_type(option: FunctionParameter) -> type:
    """Return the type of the value of an option in a project file: a path is text."""
    type_ = _types(option)[0]
    if type_ in (str, bool, int, float):
        return type_  # type: ignore[no-any-return]
    return str if type_ is Path else list
