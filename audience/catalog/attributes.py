"""The user's table of attributes: what is known of them, and what each vendor calls them.

    [province]                             an attribute
    values = ["guangdong", "hunan"]        closed: there are no other values
    exclusive = true                       a device has at most one of them
    exhaustive = true                      a device has at least one
    order = "version"                      or "number" or "date": it answers < and > where it is closed

    [province.names]                       what vendors call it: a pattern, or a table
    engagelab = "{type}_{value}"
    tpns = "xg_auto_province.{value}"      a type of the vendor's own stands before the first dot
    braze = "home.{type}:{value}"          and where it has types of any name, before the first colon
    emas = { guangdong = "省份_广东", hunan = "省份_湖南" }

Names can be read back, so no two tags share one; a catalog in which they do is refused.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

from audience.algebra.facts import Facts
from audience.errors import CatalogError, Problem
from audience.index.columns import Role
from audience.index.values import Texts, read, stretch
from audience.language.expr import Atom, Compare, Expr, Tag, Within, any_of, rewritten
from audience.language.suggest import did_you_mean

KEYS = {"values": list, "exclusive": bool, "exhaustive": bool, "order": str, "names": dict}
ORDERS = ("number", "date", "version")
MOST_DAYS = 31  # a longer stretch of days is not written out


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a catalog; *names* has a pattern or a table for each vendor that calls it something."""

    name: str
    values: tuple[str, ...] | None = None
    exclusive: bool = False
    exhaustive: bool = False
    order: str | None = None
    names: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Attributes by their names, and the text they were read from."""

    attributes: Mapping[str, Attribute]
    text: str = field(default="", repr=False)

    @property
    def facts(self) -> Facts:
        """What follows for every device."""
        found = self.attributes.values()
        return Facts(
            frozenset(each.name for each in found if each.exclusive),
            frozenset(each.name for each in found if each.exhaustive),
            {each.name: each.values for each in found if each.values},
        )


def load(path: str | Path) -> Catalog:
    """Read the catalog in the TOML file *path*; CatalogError with the line of each problem."""
    try:
        text = Path(path).read_text("utf-8")
        return loads(text)
    except (OSError, UnicodeError) as error:
        raise CatalogError(
            Problem("unreadable-file", f"{path}: {getattr(error, 'strerror', None) or error}")
        ) from error


def loads(text: str) -> Catalog:
    """Read a catalog from the *text* of a TOML file.

    >>> loads('[province]\\nvalues = ["a", "b"]\\nexclusive = true').facts.values
    {'province': ('a', 'b')}
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(Problem("bad-toml", str(error))) from error
    problems = [problem for name, table in tables.items() for problem in _table_problems(name, table, text)]
    if problems:
        raise CatalogError(*problems)
    return Catalog({name: _attribute(name, table) for name, table in tables.items()}, text)


def _attribute(name: str, table: Mapping[str, Any]) -> Attribute:
    values = table.get("values")
    return Attribute(
        name,
        None if values is None else tuple(_sorted(values, table.get("order"))),
        table.get("exclusive", False),
        table.get("exhaustive", False),
        table.get("order"),
        table.get("names", {}),
    )


def _sorted(values: Iterable[str], order: Any) -> list[str]:
    return sorted(values, key=lambda value: read(order, value)) if order else list(values)


def _table_problems(name: str, table: Any, text: str) -> Iterator[Problem]:
    """What is wrong with one attribute, before names are looked at."""
    if not name:
        yield place("empty-name", "an attribute has no name", text, name)
    if not isinstance(table, dict):
        yield place("wrong-type", f"{name!r} is no table of an attribute", text, name)
        return
    for key, value in table.items():
        if key not in KEYS:
            yield place("unknown-key", f"{name}.{key} is not known", text, name, key, did_you_mean(key, KEYS))
        elif not isinstance(value, KEYS[key]):
            yield place("wrong-type", f"{name}.{key} is of the wrong type", text, name, key)
    names = table.get("names")
    for vendor, naming in names.items() if isinstance(names, dict) else ():
        if not _is_naming(naming):
            message = f"{name}.names.{vendor} is no pattern in quotes, and no table of them"
            yield place("wrong-type", message, text, name, vendor)
    values, order = table.get("values"), table.get("order")
    if order is not None and order not in ORDERS:
        yield place("unknown-order", f"{name}.order is none of {', '.join(ORDERS)}", text, name, "order")
    elif isinstance(values, list):
        yield from (place("bad-value", why, text, name, "values") for why in _value_problems(name, values, order))
    elif table.get("exhaustive"):
        hint = "list its values"
        yield place("not-closed", f"{name} is exhaustive, but not closed", text, name, "exhaustive", hint)


def _is_naming(naming: Any) -> bool:
    found = [*naming, *naming.values()] if isinstance(naming, dict) else [naming]
    return all(isinstance(text, str) and text for text in found)


def _value_problems(name: str, values: list[Any], order: str | None) -> Iterator[str]:
    for at, value in enumerate(values):
        if not isinstance(value, str) or not value:
            yield f"{name}.values holds {value!r}; values are texts in quotes"
        elif value in values[:at]:
            yield f"{name}.values holds {value!r} twice"
        elif order and not _readable(order, value):
            yield f"{name}.values holds {value!r}, which is no {order}"


def _readable(order: Any, value: str) -> bool:
    try:
        read(order, value)
    except ValueError:
        return False
    return True


def resolved(expr: Expr, catalog: Catalog | None) -> Expr:
    """*expr* with comparisons of closed attributes, and stretches of days, written out as lists of tags.

    >>> from audience.language.render import render
    >>> catalog = loads('[version]\\nvalues = ["1.0", "1.2", "1.10"]\\norder = "version"')
    >>> render(resolved(Compare("version", ">=", "1.2"), catalog))
    'version:1.2 OR version:1.10'
    """
    if catalog is None:
        return expr
    return rewritten(expr, lambda atom: _written_out(atom, catalog.attributes.get(getattr(atom, "type", ""))))


def _written_out(query: Atom, attribute: Attribute | None) -> Expr:
    if not isinstance(query, Compare | Within) or attribute is None or attribute.order is None:
        return query
    if attribute.values:
        order = cast(Role, attribute.order)
        start, stop = stretch(query, order, Texts(order, attribute.values))
        return any_of(Tag(query.type, value, span=query.span) for value in attribute.values[start:stop])
    if (
        isinstance(query, Within)
        and attribute.order == "date"
        and query.days <= MOST_DAYS
        and _readable("date", query.day)
    ):
        last = date.fromisoformat(query.day)
        days = [last - timedelta(days=query.days - 1 - ago) for ago in range(query.days)]
        return any_of(Tag(query.type, day.isoformat(), span=query.span) for day in days)
    return query


def place(code: str, message: str, text: str, table: str, key: str = "", hint: str | None = None) -> Problem:
    """The problem of one line of a catalog."""
    return Problem(code, f"line {_line(text, table, key)}: {message}", hint=hint)


def _line(text: str, table: str, key: str) -> int:
    """The line where *key* of *table* stands; TOML readers keep no places, so it is looked for."""
    inside, header = False, 1
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("["):
            inside = re.match(rf"\s*\[+\s*[\"']?{re.escape(table)}[\"'.\s\]]", line) is not None
            header = number if inside and header == 1 else header
        if inside and key and re.match(rf"\s*(names\.)?[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return header
