"""Load a catalog from TOML and report each problem with its line."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from audience._fs.toml_text import TomlError, parse_toml
from audience.errors import CatalogError, Problem
from audience.index.schema.columns import Role
from audience.index.schema.value_types import value_type_of
from audience.language.platforms import PLATFORM_TYPE, canonical_platform
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute
from audience.planning.catalog.events import EVENTS_TABLE, find_event_problems, read_events
from audience.planning.catalog.positions import find_key_lines, find_reference_line, line_problem
from audience.planning.catalog.references import REFERENCES_TABLE, find_meaning_problems, read_meanings
from audience.planning.catalog.value_keys import value_keys_of

ATTRIBUTE_KEYS: dict[str, tuple[type, ...]] = {
    "values": (list,),
    "exclusive": (bool,),
    "exhaustive": (bool,),
    "order": (str,),
    "names": (dict,),
    "at": (list, dict),
    "builtin": (list,),
}
TOML_TYPE_NAMES = {list: "an array", bool: "true or false", str: "a string", dict: "a table"}
ORDERED_TYPES = ("number", "date", "version")


def read_catalog(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path* without validating its names.

    Raises:
        CatalogError: With the file and the line of each problem.
    """
    try:
        with name_file(path):
            return parse_catalog(Path(path).read_text("utf-8-sig"))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CatalogError(Problem("unreadable-file", f"{path}: {reason}", hint="name a UTF-8 TOML file")) from error


@contextmanager
def name_file(path: str | Path) -> Iterator[None]:
    """Put the name of the file of a catalog before the problems that are found in it."""
    try:
        yield
    except CatalogError as error:
        problems = (replace(problem, message=f"{path}: {problem.message}") for problem in error.problems)
        raise CatalogError(*problems) from error


def parse_catalog(text: str) -> Catalog:
    r"""Parse the *text* of a catalog without validating its names.

    >>> parse_catalog('[province]\nvalues = ["a", "b"]\nexclusive = true').constraints.values
    {'province': ('a', 'b')}
    """
    try:
        tables = parse_toml(text, parse_float=Decimal)  # a Decimal keeps the digits of 1.10
    except TomlError as error:
        raise CatalogError(Problem("bad-toml", str(error), hint=error.hint)) from error
    references, events = tables.pop(REFERENCES_TABLE, {}), tables.pop(EVENTS_TABLE, {})
    problems = [problem for name, table in tables.items() for problem in _table_problems(name, table, text)]
    problems += [*_reference_problems(references, text), *_event_problems(events, text)]
    if problems:
        raise CatalogError(*problems)
    attributes = {name: _build_attribute(name, table) for name, table in tables.items()}
    return Catalog(attributes, read_meanings(references), read_events(events), text)


def _build_attribute(name: str, table: Mapping[str, Any]) -> CatalogAttribute:
    values = table.get("values")
    if name == PLATFORM_TYPE and values is not None:
        values = list(dict.fromkeys(map(canonical_platform, values)))
    return CatalogAttribute(
        name,
        None if values is None else tuple(_sort_values(map(_value_text, values), table.get("order"))),
        table.get("exclusive", False),
        table.get("exhaustive", False),
        table.get("order"),
        {vendor: _spell_keys(naming, table) for vendor, naming in table.get("names", {}).items()},
        _read_at(table.get("at", [])),
        tuple(table.get("builtin", [])),
    )


def _read_at(at: list[str] | Mapping[str, list[str]]) -> dict[str, tuple[str, ...] | None]:
    """Return the patterns of values that each vendor has, or None for all values."""
    if isinstance(at, Mapping):
        return {vendor: tuple(patterns) for vendor, patterns in at.items()}
    return dict.fromkeys(at)


def _spell_keys(naming: str | Mapping[str, str], table: Mapping[str, Any]) -> str | Mapping[str, str]:
    """Return a table of names with its values spelled as `values` lists them."""
    if isinstance(naming, str):
        return naming
    key = value_keys_of(table.get("order")).tag
    spellings = {key(text): text for text in map(_value_text, table.get("values", ()))}
    return {spellings.get(key(value), value): name for value, name in naming.items()}


def _value_text(value: Any) -> str:
    """Return a value of `values` as text: TOML's strings, whole numbers, decimals and days.

    >>> _value_text(30), _value_text(Decimal("1.10")), _value_text(date(2020, 4, 8))
    ('30', '1.10', '2020-04-08')
    """
    return value.isoformat() if isinstance(value, date) else str(value)


def _sort_values(values: Iterable[str], order: Role | None) -> list[str]:
    return sorted(values, key=value_type_of(order).parse) if order else list(values)


def _table_problems(name: str, table: Any, text: str) -> Iterator[Problem]:
    """Yield the problems of one attribute, except those of its names at vendors."""
    if not name:
        hint = "write a name between the brackets"
        yield line_problem("empty-name", "the attribute has no name", text, name, hint=hint)
    if not isinstance(table, dict):
        yield line_problem("wrong-type", f"{name!r} is not a table", text, name, hint=f"write [{name}] above its keys")
        return
    yield from _key_problems(name, table, text)
    yield from _naming_problems(name, table.get("names"), table.get("order"), text)
    yield from _values_problems(name, table, text)
    yield from _vendor_list_problems(name, table, text)


def _reference_problems(table: Any, text: str) -> Iterator[Problem]:
    for key, problem in find_meaning_problems(table):
        yield replace(problem, message=f"line {find_reference_line(text, key)}: {problem.message}")


def _event_problems(table: Any, text: str) -> Iterator[Problem]:
    lines = find_key_lines(text)
    for keys, problem in find_event_problems(table):
        paths = [(EVENTS_TABLE, *keys[:length]) for length in range(len(keys), -1, -1)]
        line = next((lines[path] for path in paths if path in lines), 1)
        yield replace(problem, message=f"line {line}: {problem.message}")


def _key_problems(name: str, table: Mapping[str, Any], text: str) -> Iterator[Problem]:
    for key, value in table.items():
        if key not in ATTRIBUTE_KEYS:
            hint = did_you_mean(key, ATTRIBUTE_KEYS) or f"use one of {', '.join(ATTRIBUTE_KEYS)}"
            yield line_problem("unknown-key", f"unknown key {name}.{key}", text, name, key, hint)
        elif not isinstance(value, ATTRIBUTE_KEYS[key]):
            expected = " or ".join(TOML_TYPE_NAMES[type_] for type_ in ATTRIBUTE_KEYS[key])
            message = f"{name}.{key}: expected {expected}, got {value!r:.60}"
            is_vendor = key in ("at", "builtin") and isinstance(value, str)
            list_hint = f'write {key} = ["{value}"]' if is_vendor else None
            yield line_problem("wrong-type", message, text, name, key, list_hint)


def _naming_problems(name: str, names: Any, order: Any, text: str) -> Iterator[Problem]:
    for vendor, naming in names.items() if isinstance(names, dict) else ():
        strings = [*naming, *naming.values()] if isinstance(naming, dict) else [naming]
        if not all(isinstance(string, str) and string for string in strings):
            message = f"{name}.names.{vendor}: expected a pattern or a table of names, got {naming!r:.60}"
            yield line_problem("wrong-type", message, text, name, vendor)
        elif isinstance(naming, dict):
            yield from _repeated_key_problems(name, vendor, naming, order, text)


def _repeated_key_problems(
    name: str, vendor: str, naming: Iterable[str], order: Role | None, text: str
) -> Iterator[Problem]:
    """Yield a problem for each value that a table of names spells in two ways."""
    spellings: dict[Hashable, str] = {}
    for value in naming:
        first = spellings.setdefault(value_keys_of(order).tag(value), value)
        if first != value:
            message = f"{name}.names.{vendor}: {first!r} and {value!r} are the same {order}"
            yield line_problem("bad-value", message, text, name, vendor, "name each value once")


def _vendor_list_problems(name: str, table: Mapping[str, Any], text: str) -> Iterator[Problem]:
    """Yield the problems of the types in `at` and `builtin`."""
    for key in ("at", "builtin"):
        vendors = table.get(key)
        if isinstance(vendors, list) and not _are_names(vendors):
            message = f"{name}.{key}: expected an array of vendors, got {vendors!r:.60}"
            yield line_problem("wrong-type", message, text, name, key)
    at = table.get("at")
    for vendor, patterns in at.items() if isinstance(at, dict) else ():
        if not isinstance(patterns, list) or not patterns or not _are_names(patterns):
            message = f"{name}.at.{vendor}: expected an array of values, got {patterns!r:.60}"
            hint = f'write at = {{ {vendor} = ["vip", "vip_*"] }}, or at = ["{vendor}"] for all values'
            yield line_problem("wrong-type", message, text, name, "at", hint)


def _are_names(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _values_problems(name: str, table: Mapping[str, Any], text: str) -> Iterator[Problem]:
    """Yield the problems of `values`, `order` and `exhaustive`, which depend on each other."""
    values, order = table.get("values"), table.get("order")
    if order is not None and order not in ORDERED_TYPES:
        hint = f"use one of {', '.join(ORDERED_TYPES)}"
        yield line_problem("unknown-order", f"{name}.order: unknown order {order!r}", text, name, "order", hint)
    elif isinstance(values, list):
        for message in _value_problems(values, order):
            yield line_problem("bad-value", f"{name}.values: {message}", text, name, "values")
    elif table.get("exhaustive"):
        message = f"{name} is exhaustive, but has no values"
        yield line_problem("not-closed", message, text, name, "exhaustive", "list its values")


def _value_problems(values: list[Any], order: Role | None) -> Iterator[str]:
    spellings: dict[Hashable, str] = {}
    for value in values:
        text = _value_text(value)
        if not _is_value(value):
            yield f"expected a string, a whole number, a decimal or a day, got {value!r:.60}; put it in quotes"
        elif order and not value_type_of(order).accepts(text):
            yield f"{text!r} is not a valid {order}"
        elif (key := value_keys_of(order).tag(text)) in spellings:
            first = spellings[key]
            yield f"{text!r} is listed twice" if first == text else f"{first!r} and {text!r} are the same {order}"
        else:
            spellings[key] = text


def _is_value(value: Any) -> bool:
    """Return whether *value* can be listed: its text is then the one in the file."""
    match value:
        case bool() | datetime():
            return False
        case Decimal():
            return value.is_finite() and "E" not in str(value)
        case str():
            return value != ""
    return isinstance(value, int | date)
