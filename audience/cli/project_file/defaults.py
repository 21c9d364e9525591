"""Add the values of the project file to a command line: what it does not give itself comes from the file.

This is the only place that does so. It works on words, before a command line is parsed, so that a value means the same
in the file and as an option.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter as FunctionParameter
from pathlib import Path

from audience.cli import registry
from audience.cli.declarations import Option
from audience.cli.project_file.finding import find_project_file
from audience.errors import Problem

REFRESH, BUILD = "refresh:run_refresh", "index:run_build"
# Keys that are options, and the commands that take them from the file: None is for all that have the option.
OPTION_KEYS: dict[str, frozenset[str] | None] = {
    "catalog": None,
    "credentials": None,
    "runs": frozenset({"serve:run_serve"}),  # that of `forget` decides which ids are deleted where
    "index": frozenset({REFRESH}),  # that of `send` is another index than the one of the requests
    "segments": frozenset({REFRESH}),
    "push": frozenset({REFRESH}),
}
HOST_METAVAR = "[VENDOR=]HOST"  # `--host` of `serve` is another
RESUME = "delivery:run_resume"


@dataclass(frozen=True, slots=True)
class ConfiguredLine:
    """Command line with the values of the project file, and a note of them if there are any."""

    words: list[str]
    note: Problem | None = None


@dataclass(frozen=True, slots=True)
class GivenWords:
    """Options of a command line with their values, by the names of their parameters, and the arguments."""

    options: Mapping[str, list[str]]
    arguments: Sequence[str]


def add_defaults(words: list[str]) -> ConfiguredLine:
    """Return the command line *words* with values from the project file for options that it does not have.

    Raises:
        ConfigError: The file is invalid.

    >>> add_defaults(["parse", "male"]).words
    ['parse', 'male']
    """
    found = registry.find_command(words)
    if found is None or "--help" in words:
        return ConfiguredLine(words)
    path, rest = found
    parameters = registry.read_parameters(registry.load_function(path))
    given = read_given(parameters, rest)
    wanted = [*_wanted_options(path, parameters)]
    is_named = "config" in given.options
    if not (wanted or is_named or (path == BUILD and not given.arguments)):
        return ConfiguredLine(words)
    file = find_project_file(next(iter(given.options.get("config", [])), None))
    if file is None or _resumes_syncs(path, given):
        return ConfiguredLine(words)
    added = _make_words(file, path, wanted, given)
    if not added:
        return ConfiguredLine(words)
    note = Problem("from-config", f"from {file}: {' '.join(added)}")
    return ConfiguredLine([*words[: len(words) - len(rest)], *added, *rest], note)


def read_given(parameters: Sequence[FunctionParameter], words: Sequence[str]) -> GivenWords:
    """Return which options and arguments *words* give. A word that follows an option with a value is that value.

    >>> read_given(registry.read_parameters(registry.load_function("plan:run_plan")), ["a", "--catalog", "--x", "b"])
    GivenWords(options={'catalog': ['--x']}, arguments=['a', 'b'])
    """
    named = {name: each for each in parameters if _is_option(each) for name in _names(each)}
    options: dict[str, list[str]] = {}
    arguments: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--":
            arguments += remaining
        elif word == "-" or not word.startswith("-"):
            arguments.append(word)
        else:
            name, separator, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
            parameter = named.get(name)
            if parameter is not None:
                is_flag = parameter.annotation.__origin__ is bool
                value = value if separator or is_flag else next(remaining, "")
                options.setdefault(parameter.name, []).append(value)
    return GivenWords(options, arguments)


def _wanted_options(path: str, parameters: Sequence[FunctionParameter]) -> Iterator[tuple[str, FunctionParameter]]:
    """Yield the key and the parameter of each option of a command that the file may give."""
    for parameter in parameters:
        for name in _names(parameter) if _is_option(parameter) else ():
            key = name.removeprefix("--")
            commands = OPTION_KEYS.get(key, frozenset[str]())
            if commands is None or path in commands:
                yield key, parameter
            elif parameter.annotation.__metadata__[0].settings.get("metavar") == HOST_METAVAR:
                yield "vendors", parameter


def _make_words(file: Path, path: str, wanted: Sequence[tuple[str, FunctionParameter]], given: GivenWords) -> list[str]:
    """Return the words that the project file adds to a command line."""
    from audience.cli.project_file.options import make_section_words, option_key  # only if there is a file
    from audience.cli.project_file.reading import read_project_file

    content = read_project_file(file)
    added = [
        f"--{key}={content.locations[key]}"
        for key, parameter in wanted
        if key in content.locations and parameter.name not in given.options
    ]
    for key, parameter in wanted:
        if key == "vendors":
            added += _host_words(f"--{option_key(parameter)}", content.hosts, given.options.get(parameter.name, []))
    if path == BUILD and not given.arguments and content.devices is not None:
        keys = {option_key(each) for each in _parameters_of(path) if each.name in given.options}
        added += make_section_words(content.devices, "devices", keys)
        if "out" not in given.options and "index" in content.locations:
            added.append(f"--out={content.locations['index']}")
        added += content.devices.tables
    return added


def _host_words(option: str, hosts: Mapping[str, str], given: Sequence[str]) -> list[str]:
    """Return the hosts of the vendors for which none is given; one that is given for all of them leaves none."""
    from audience.cli.options import parse_vendor_host

    vendors = {parse_vendor_host(text)[0] for text in given}
    return [f"{option}={vendor}={host}" for vendor, host in hosts.items() if not vendors & {vendor, None}]


def _resumes_syncs(path: str, given: GivenWords) -> bool:
    """Return whether a command goes on with syncs, which keep the host and the keys that they began with."""
    from audience.delivery.syncing.index_folder import is_index_folder

    return path == RESUME and any(is_index_folder(Path(each)) for each in given.arguments)


def _parameters_of(path: str) -> list[FunctionParameter]:
    return registry.read_parameters(registry.load_function(path))


def _is_option(parameter: FunctionParameter) -> bool:
    return hasattr(parameter.annotation, "__metadata__") and isinstance(parameter.annotation.__metadata__[0], Option)


def _names(parameter: FunctionParameter) -> tuple[str, ...]:
    names: tuple[str, ...] = parameter.annotation.__metadata__[0].names
    return names
