"""Read a project file: its keys, each with its line, and its sections, which hold options of one command.

    index = "devices.index"           catalog, credentials, runs, segments and push are written alike
    [devices]                         table, and options of `index build`
    [devices.update]                  table, and options of `index update`
    [events.NAME]                     table, and options of `events add`
    [vendors.VENDOR]                  host
    [vendors.VENDOR.sync]             options of `sync`

Keys of a section are checked when its command is to run, as this loads the command. Values are never shown: one of
them may be a password that has no place in this file.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from audience._fs.object_urls import is_url
from audience._fs.toml_text import TomlError, parse_toml
from audience.errors import ConfigError, Problem
from audience.index.ingest.locations.location_names import TABLE_SCHEMES, WEB_SCHEMES, find_secrets
from audience.language.suggest import did_you_mean
from audience.planning.catalog.positions import find_key_lines
from audience.vendors import vendor_names

KeyPath: TypeAlias = tuple[str | int, ...]

PATH_KEYS = ("index", "catalog", "credentials", "runs", "segments", "push")
TABLE_KEYS = ("devices", "events", "vendors")
SECRET_KEY = re.compile(r"secret|passw|credential|(?:access|api|app|master|private|auth)_?(?:id|key|token)", re.I)
SECRET_HINT = "put keys in the file of --credentials, of mode 600, and passwords in the environment, as PGPASSWORD"
TYPE_NAMES = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "an array", dict: "a table"}


@dataclass(frozen=True, slots=True)
class ConfigText:
    """Text of a project file and where it is; says where a key is."""

    path: Path
    text: str

    def problem(self, code: str, message: str, keys: KeyPath, hint: str | None = None) -> Problem:
        """Return a problem of the key at *keys*, with its line."""
        lines = find_key_lines(self.text)
        line = next((lines[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in lines), 1)
        return Problem(code, f"{self.path}, line {line}: {message}", hint=hint)

    def resolve(self, location: str) -> str:
        """Return *location* with a path relative to the folder of the file; a URL stays as it is, and ~ is a home."""
        scheme, colon, rest = location.partition(":")
        if colon and scheme in TABLE_SCHEMES:
            return location if scheme == "iceberg" else f"{scheme}:{self.resolve(rest)}"
        if "://" in location or is_url(location):
            return location
        found = Path(location).expanduser() if location.startswith("~/") else location
        path = str(self.path.parent / found)
        return f"./{path}" if path.startswith("-") else path  # or it would be read as an option


@dataclass(frozen=True, slots=True)
class Section:
    """Options of one command, by their names without dashes; `table` is its tables."""

    source: ConfigText
    keys: KeyPath
    values: Mapping[str, Any]

    @property
    def tables(self) -> list[str]:
        """Return where the tables of the section are. Raises ConfigError if there is none."""
        value = self.values.get("table")
        tables = [value] if isinstance(value, str) else value
        if not isinstance(tables, list) or not tables or not all(isinstance(each, str) and each for each in tables):
            name, hint = ".".join(map(str, self.keys)), 'write table = "devices.parquet"'
            message = f"{name}.table: expected a file, folder, glob or URL, or an array of them"
            raise ConfigError(self.source.problem("wrong-type", message, (*self.keys, "table"), hint))
        return [self.source.resolve(each) for each in tables]


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """Content of a project file.

    Attributes:
        source: Its text.
        locations: Paths and URLs by their keys.
        devices: How the index is built, and from what.
        update: How it is updated, and from what.
        events: Tables of events by a name of their own.
        hosts: Data centers or URLs by vendor.
        syncs: Options of the syncs of tags by vendor.
    """

    source: ConfigText
    locations: Mapping[str, str]
    devices: Section | None
    update: Section | None
    events: Mapping[str, Section]
    hosts: Mapping[str, str]
    syncs: Mapping[str, Section]


def read_project_file(path: Path) -> ProjectFile:
    """Read the project file *path*.

    Raises:
        ConfigError: It cannot be read, or has problems; each is named with its line.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(Problem("unreadable-file", f"{path}: {reason}", hint="name a UTF-8 TOML file")) from error
    return parse_project_file(path, text)


def parse_project_file(path: Path, text: str) -> ProjectFile:
    r"""Parse the *text* of the project file *path*, whose folder its paths are relative to.

    Raises:
        ConfigError: With the line of each problem.

    >>> file = parse_project_file(Path("crm/audience.toml"), 'index = "devices.index"\n[devices]\ntable = "d.csv"')
    >>> file.locations["index"], file.devices.tables
    ('crm/devices.index', ['crm/d.csv'])
    """
    source = ConfigText(path, text)
    try:
        tables = parse_toml(text)
    except TomlError as error:
        raise ConfigError(Problem("bad-toml", f"{path}: {error}", hint=error.hint)) from None
    problems = [*_find_problems(source, tables), *_find_secret_values(source, (), tables)]
    if problems:
        raise ConfigError(*problems)
    vendors, devices = tables.get("vendors", {}), dict(tables.get("devices", {}))
    update = devices.pop("update", None)
    return ProjectFile(
        source,
        {key: source.resolve(tables[key]) for key in PATH_KEYS if key in tables},
        Section(source, ("devices",), devices) if devices else None,
        None if update is None else Section(source, ("devices", "update"), update),
        {name: Section(source, ("events", name), values) for name, values in tables.get("events", {}).items()},
        {vendor: values["host"] for vendor, values in vendors.items() if "host" in values},
        {
            vendor: Section(source, ("vendors", vendor, "sync"), values["sync"])
            for vendor, values in vendors.items()
            if "sync" in values
        },
    )


def _find_problems(source: ConfigText, tables: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each key that is unknown, and each value of the wrong type, outside of options."""
    yield from _find_unknown(source, (), tables, (*PATH_KEYS, *TABLE_KEYS))
    for key in PATH_KEYS:
        yield from _check(source, (key,), tables, str)
    for key in TABLE_KEYS:
        yield from _check(source, (key,), tables, dict)
    if isinstance(devices := tables.get("devices"), dict):
        yield from _check(source, ("devices", "update"), devices, dict)
    if isinstance(events := tables.get("events"), dict):
        for name in events:
            yield from _check(source, ("events", name), events, dict)
    if isinstance(vendors := tables.get("vendors"), dict):
        yield from _find_vendor_problems(source, vendors)


def _find_vendor_problems(source: ConfigText, vendors: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _find_unknown(source, ("vendors",), vendors, vendor_names())
    for name, values in vendors.items():
        yield from _check(source, ("vendors", name), vendors, dict)
        if isinstance(values, dict):
            yield from _find_unknown(source, ("vendors", name), values, ("host", "sync"))
            yield from _check(source, ("vendors", name, "host"), values, str)
            yield from _check(source, ("vendors", name, "sync"), values, dict)


def _check(source: ConfigText, keys: KeyPath, table: Mapping[str, Any], type_: type) -> Iterator[Problem]:
    """Yield a problem if *table* has the last of *keys* with a value that is not of *type_*, or that is empty."""
    value = table.get(str(keys[-1]))
    if value is not None and not isinstance(value, type_):
        yield wrong_type(source, keys, type_, value)
    elif value == "":
        yield source.problem(
            "wrong-type", f"{'.'.join(map(str, keys))} is empty", keys, "remove it, or give it a value"
        )


def wrong_type(source: ConfigText, keys: KeyPath, type_: type, value: Any) -> Problem:
    """Return the problem of a *value* that is not of *type_*; the value is not shown."""
    found = TYPE_NAMES.get(type(value), "a day or a time")
    message = f"{'.'.join(map(str, keys))}: expected {TYPE_NAMES[type_]}, found {found}"
    return source.problem("wrong-type", message, keys)


def _find_unknown(
    source: ConfigText, keys: KeyPath, table: Mapping[str, Any], known: Iterable[str]
) -> Iterator[Problem]:
    known = list(known)
    for key in table:
        if key not in known:
            yield unknown_key(source, (*keys, key), known)


def unknown_key(source: ConfigText, keys: KeyPath, known: Iterable[str]) -> Problem:
    """Return the problem of a key that is none of the *known* ones, or that is a secret."""
    name, key, known = ".".join(map(str, keys)), str(keys[-1]), list(known)
    if SECRET_KEY.search(key):
        return source.problem("secret-in-config", f"{name} is a secret, and this file holds none", keys, SECRET_HINT)
    hint = did_you_mean(key, known) or f"use one of {', '.join(known)}"
    return source.problem("unknown-key", f"unknown key {name}", keys, hint)


def _find_secret_values(source: ConfigText, keys: KeyPath, value: Any) -> Iterator[Problem]:
    """Yield a problem for each text with a URL that has a password, or the signature of a web address."""
    match value:
        case str() if "://" in value and _has_secret(value):
            message = f"{'.'.join(map(str, keys))} has a password or a signature, and this file holds none"
            yield source.problem("secret-in-config", message, keys, SECRET_HINT)
        case dict():
            for key, each in value.items():
                yield from _find_secret_values(source, (*keys, key), each)
        case list():
            for position, each in enumerate(value):
                yield from _find_secret_values(source, (*keys, position), each)


def _has_secret(text: str) -> bool:
    scheme = text.partition("://")[0].lower()
    return bool(find_secrets(text)) or (scheme in WEB_SCHEMES and "?" in text)
