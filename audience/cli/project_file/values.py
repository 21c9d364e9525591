"""Check values of a project file as their commands do, before the first command runs. A path is not looked at."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, get_args

from audience.cli.project_file.reading import KeyPath, ProjectFile, Section
from audience.delivery.transport.credentials import resolve_host
from audience.errors import AudienceError, ConfigError, Problem, TableError
from audience.index.changes.events.event_frames import Unknown
from audience.index.changes.events.ranges import parse_keep
from audience.index.ingest.read_options import ReadOptions
from audience.index.ingest.replacement import parse_losses
from audience.index.ingest.text.dates import parse_format
from audience.index.ingest.text.dialect import parse_delimiter
from audience.vendors import get_vendor

Check: TypeAlias = Callable[[Any], object]


def check_values(file: ProjectFile) -> None:
    """Raise ConfigError, with the line of each, for values that a command of `audience refresh` would refuse.

    >>> from pathlib import Path
    >>> from audience.cli.project_file.reading import parse_project_file
    >>> check_values(parse_project_file(Path("audience.toml"), 'devices = {on-bad-row = "skip"}'))
    Traceback (most recent call last):
    audience.errors.ConfigError: bad-option: audience.toml, line 1: on_bad_row is 'skip', expected stop or reject
       = hint: use one of stop, reject
    """
    sections = [each for each in (file.devices, file.update, *file.events.values()) if each is not None]
    problems = [problem for section in sections for problem in _check_section(section)]
    problems += [problem for vendor in file.syncs for problem in _check_host(file, vendor)]
    if problems:
        raise ConfigError(*problems)


def _check_section(section: Section) -> Iterator[Problem]:
    for key, value in section.values.items():
        if key in CHECKS:
            for text in _list_texts(value):
                yield from _check(section, (*section.keys, key), CHECKS[key], text)


def _check_host(file: ProjectFile, vendor: str) -> Iterator[Problem]:
    delivery = get_vendor(vendor).delivery
    if vendor in file.hosts and delivery is not None:
        section = Section(file.source, ("vendors", vendor), {})
        yield from _check(
            section, ("vendors", vendor, "host"), lambda host: resolve_host(host, delivery), file.hosts[vendor]
        )


def _check(section: Section, keys: KeyPath, check: Check, text: str) -> Iterator[Problem]:
    try:
        check(text)
    except AudienceError as error:
        for each in error.problems:
            yield section.source.problem(each.code, each.message, keys, each.hint)


def _list_texts(value: Any) -> list[str]:
    """Return the texts of a value; its type was checked before."""
    match value:
        case list():
            return value
        case dict():
            return [*value.values()]
    return [value]


def _check_unknown(name: str) -> None:
    if name not in get_args(Unknown):
        message = f"unknown is {name!r}, expected {' or '.join(get_args(Unknown))}"
        raise TableError(Problem("bad-option", message, hint=f"use one of {', '.join(get_args(Unknown))}"))


CHECKS: Mapping[str, Check] = {
    "timezone": lambda name: ReadOptions(timezone=name),
    "duplicates": lambda name: ReadOptions(duplicates=name),
    "on-bad-row": lambda name: ReadOptions(on_bad_row=name),
    "date-format": lambda text: parse_format(text.rpartition("=")[2]),
    "delimiter": parse_delimiter,
    "allow-loss": parse_losses,
    "keep": parse_keep,
    "unknown": _check_unknown,
}
