"""Read a catalog from TOML, and report each problem with its line."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from audience.errors import CatalogError, Problem
from audience.index.schema.value_types import parse_value
from audience.language.suggest import did_you_mean
from audience.planning.catalog.catalog import Catalog, CatalogAttribute, _can_parse

ATTRIBUTE_KEYS = {"values": list, "exclusive": bool, "exhaustive": bool, "order": str, "names": dict}
ORDERED_TYPES = ("number", "date", "version")


def read_catalog(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path*; CatalogError with the line of each problem."""
    try:
        text = Path(path).read_text("utf-8")
        return parse_catalog(text)
    except (OSError, UnicodeError) as error:
        raise CatalogError(
            Problem("unreadable-file", f"{path}: {getattr(error, 'strerror', None) or error}")
        ) from error


def parse_catalog(text: str) -> Catalog:
    """Read a catalog from the *text* of a TOML file.

    >>> parse_catalog('[province]\\nvalues = ["a", "b"]\\nexclusive = true').constraints.values
    {'province': ('a', 'b')}
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(Problem("bad-toml", str(error))) from error
    problems = [problem for name, table in tables.items() for problem in _table_problems(name, table, text)]
    if problems:
        raise CatalogError(*problems)
    return Catalog({name: _build_attribute(name, table) for name, table in tables.items()}, text)


def _build_attribute(name: str, table: Mapping[str, Any]) -> CatalogAttribute:
    values = table.get("values")
    return CatalogAttribute(
        name,
        None if values is None else tuple(_sort_values(values, table.get("order"))),
        table.get("exclusive", False),
        table.get("exhaustive", False),
        table.get("order"),
        table.get("names", {}),
    )


def _sort_values(values: Iterable[str], order: Any) -> list[str]:
    return sorted(values, key=lambda value: parse_value(order, value)) if order else list(values)


def _table_problems(name: str, table: Any, text: str) -> Iterator[Problem]:
    """What is wrong with one attribute, before names are looked at."""
    if not name:
        yield line_problem("empty-name", "an attribute has no name", text, name)
    if not isinstance(table, dict):
        yield line_problem("wrong-type", f"{name!r} is no table of an attribute", text, name)
        return
    for key, value in table.items():
        if key not in ATTRIBUTE_KEYS:
            yield line_problem(
                "unknown-key", f"{name}.{key} is not known", text, name, key, did_you_mean(key, ATTRIBUTE_KEYS)
            )
        elif not isinstance(value, ATTRIBUTE_KEYS[key]):
            yield line_problem("wrong-type", f"{name}.{key} is of the wrong type", text, name, key)
    names = table.get("names")
    for vendor, naming in names.items() if isinstance(names, dict) else ():
        if not _is_valid_naming(naming):
            message = f"{name}.names.{vendor} is no pattern in quotes, and no table of them"
            yield line_problem("wrong-type", message, text, name, vendor)
    values, order = table.get("values"), table.get("order")
    if order is not None and order not in ORDERED_TYPES:
        yield line_problem("unknown-order", f"{name}.order is none of {', '.join(ORDERED_TYPES)}", text, name, "order")
    elif isinstance(values, list):
        yield from (
            line_problem("bad-value", why, text, name, "values") for why in _value_problems(name, values, order)
        )
    elif table.get("exhaustive"):
        hint = "list its values"
        yield line_problem("not-closed", f"{name} is exhaustive, but not closed", text, name, "exhaustive", hint)


def _is_valid_naming(naming: Any) -> bool:
    found = [*naming, *naming.values()] if isinstance(naming, dict) else [naming]
    return all(isinstance(text, str) and text for text in found)


def _value_problems(name: str, values: list[Any], order: str | None) -> Iterator[str]:
    for at, value in enumerate(values):
        if not isinstance(value, str) or not value:
            yield f"{name}.values holds {value!r}; values are texts in quotes"
        elif value in values[:at]:
            yield f"{name}.values holds {value!r} twice"
        elif order and not _can_parse(order, value):
            yield f"{name}.values holds {value!r}, which is no {order}"


def line_problem(code: str, message: str, text: str, table: str, key: str = "", hint: str | None = None) -> Problem:
    """The problem of one line of a catalog."""
    return Problem(code, f"line {_find_line(text, table, key)}: {message}", hint=hint)


def _find_line(text: str, table: str, key: str) -> int:
    """The line where *key* of *table* stands; TOML readers keep no places, so it is looked for."""
    inside, header = False, 1
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            inside = re.match(rf"\s*\[+\s*[\"']?{re.escape(table)}[\"'.\s\]]", line) is not None
            header = number if inside and header == 1 else header
        if inside and key and re.match(rf"\s*(names\.)?[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return header
