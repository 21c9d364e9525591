"""Checks of the fields of a request, by a table of one line a field that an emulated vendor keeps beside its module.

A line is a path, a type and rules; a line that begins with `when` joins fields:

    Notification                     object required
    Notification.Title               text bytes<=200
    Notification.Ios.Badge           integer 0..
    Notification.Ios.Extras          json object
    Notification.Android.Style       text =0|1|2
    channels[].name                  text required =hw|xm
    makers.*.distribution            text nonempty
    when Notification.Ios.Silent=true need Notification.Ios.Mutable=true
    when Options.Url need Options.Type=URL or Options.Action
    when Options.Increment=true never Options.Badge

`*` is any key, `[]` any element of a list. A key that no line names is unknown, except in a `map` or `any` without
lines for its keys. Types are text, integer, number, boolean, object, map, list, any, and json, which has the type of
the value in the text behind it; `integer/text` takes both. Rules: `required`, `nonempty`, `=a|b` for the only values,
`0..99` for a range, `bytes<=`, `chars<=` and `items<=` for sizes, `https`, and `~` with a regular expression for the
whole text, last on its line.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

from audience.sandbox.http_types import JsonObject

ProblemKind: TypeAlias = Literal[
    "unknown", "missing", "type", "empty", "value", "pattern", "range", "bytes", "chars", "items", "json"
]
_RANGE = re.compile(r"(-?[0-9.]*)\.\.(-?[0-9.]*)")
_SIZE = re.compile(r"(bytes|chars|items)<=([0-9]+)")
_STEP = re.compile(r"[^.\[\]]+|\[\]")
_NUMBER_TEXT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_TYPE_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "json": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "map": lambda value: isinstance(value, dict),
    "list": lambda value: isinstance(value, list),
    "any": lambda value: True,
}


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """First rule that a request breaks.

    Attributes:
        kind: Kind of the rule.
        path: Path of the field.
        expected: The rule in words.
    """

    kind: ProblemKind
    path: str
    expected: str

    @property
    def name(self) -> str:
        """Last name of the path.

        >>> FieldProblem("type", "Options.Sms.DelaySecs", "integer").name
        'DelaySecs'
        """
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class FieldRule:
    """Rule of a field beside its type; *expected* is the rule in words."""

    kind: ProblemKind
    expected: str
    is_met: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a table; *steps* is its path, *rules* are its rules beside the type, in the order of the line."""

    steps: tuple[str, ...]
    types: tuple[str, ...]
    json_type: str
    is_required: bool
    rules: tuple[FieldRule, ...]


@dataclass(frozen=True, slots=True)
class Demand:
    """One field of a condition, with the text of its value or None for any."""

    path: str
    value: str | None

    def is_met(self, request: JsonObject) -> bool:
        """Return whether *request* has the field, with that value."""
        found = get_field(request, self.path)
        return found not in (None, "") and self.value in (None, _value_text(found))


@dataclass(frozen=True, slots=True)
class Condition:
    """One line that begins with `when`: with *cause*, one of *demands* is needed, or none of them allowed."""

    cause: Demand
    is_forbidden: bool
    demands: tuple[Demand, ...]


@dataclass(frozen=True)
class FieldTable:
    """Fields and conditions of one request."""

    fields: tuple[Field, ...]
    conditions: tuple[Condition, ...]

    @cached_property
    def children(self) -> Mapping[tuple[str, ...], Mapping[str, Field]]:
        """Fields below each path, by their last step."""
        children: dict[tuple[str, ...], dict[str, Field]] = {}
        for field in self.fields:
            children.setdefault(field.steps[:-1], {})[field.steps[-1]] = field
        return children


@cache
def load_field_table(file: Path) -> FieldTable:
    """Return the table in *file*.

    Raises:
        ValueError: A line cannot be read.
    """
    return parse_field_table(file.read_text("utf-8"))


def parse_field_table(text: str) -> FieldTable:
    r"""Parse the lines of a table; lines that are empty or begin with # are comments.

    >>> [field.types for field in parse_field_table("a object\na.b integer/text 0..9").fields]
    [('object',), ('integer', 'text')]
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return FieldTable(
        tuple(_parse_field(line) for line in lines if not line.startswith("when ")),
        tuple(_parse_condition(line) for line in lines if line.startswith("when ")),
    )


def find_field_problem(request: JsonObject, table: FieldTable) -> FieldProblem | None:
    r"""Return the first problem of *request*, or None.

    >>> table = parse_field_table("a object required\na.b integer 0..9\nwhen a.b=3 need a.c\na.c text")
    >>> find_field_problem({"a": {"b": 10}}, table)
    FieldProblem(kind='range', path='a.b', expected='0..9')
    >>> find_field_problem({"a": {"b": 3}}, table).path, find_field_problem({"a": {"x": 1}}, table).kind
    ('a.c', 'unknown')
    """
    return next(_find_problems(request, table), None)


def parse_field_texts(texts: Mapping[str, str], table: FieldTable) -> JsonObject:
    r"""Turn the texts of a query into the values that *table* expects, without those that are empty or not in it.

    A text that is no such value stays one, and fails the check of its type.

    >>> parse_field_texts({"n": "5", "b": "True", "x": "1"}, parse_field_table("n integer\nb boolean"))
    {'n': 5, 'b': True}
    """
    known = table.children.get((), {})
    return {name: _parse_text(text, known[name]) for name, text in texts.items() if text and name in known}


def get_field(request: Any, path: str) -> Any:
    """Return the field at a path of keys, or None."""
    for step in path.split("."):
        request = request.get(step) if isinstance(request, dict) else None
    return request


def _find_problems(request: JsonObject, table: FieldTable) -> Iterator[FieldProblem]:
    yield from _object_problems(request, (), "", table)
    for condition in table.conditions:
        if condition.cause.is_met(request):
            met = [demand for demand in condition.demands if demand.is_met(request)]
            if condition.is_forbidden and met:
                yield FieldProblem("value", met[0].path, f"none beside {condition.cause.path}")
            elif not condition.is_forbidden and not met:
                yield _unmet_problem(condition, request)


def _unmet_problem(condition: Condition, request: JsonObject) -> FieldProblem:
    demand, reason = condition.demands[0], f"needed beside {condition.cause.path}"
    if demand.value is not None and get_field(request, demand.path) is not None:
        return FieldProblem("value", demand.path, f"{demand.value}, {reason}")
    return FieldProblem("missing", demand.path, reason)


def _object_problems(value: Any, steps: tuple[str, ...], path: str, table: FieldTable) -> Iterator[FieldProblem]:
    """Find problems of the keys of an object, or of the elements of a list, at *steps*."""
    children = table.children.get(steps, {})
    prefix = f"{path}." if path else ""
    if isinstance(value, list):
        for number, element in enumerate(value if "[]" in children else ()):
            yield from _field_problems(element, children["[]"], f"{path}[{number}]", table)
        return
    for name, field in children.items():
        if field.is_required and value.get(name) is None:
            yield FieldProblem("missing", f"{prefix}{name}", "required")
    for name, inner in value.items():
        field_or_none = children.get(name, children.get("*"))
        if field_or_none is None:
            yield FieldProblem("unknown", f"{prefix}{name}", "not a field of the document")
        elif inner is not None:
            yield from _field_problems(inner, field_or_none, f"{prefix}{name}", table)


def _field_problems(value: Any, field: Field, path: str, table: FieldTable) -> Iterator[FieldProblem]:
    if not any(_TYPE_CHECKS[type_](value) for type_ in field.types):
        yield FieldProblem("type", path, " or ".join(field.types))
        return
    if field.json_type:
        value = _parse_json(value)
        if not _TYPE_CHECKS[field.json_type](value):
            yield FieldProblem("json", path, f"text with a JSON {field.json_type}")
            return
    for rule in field.rules:
        if not rule.is_met(value):
            yield FieldProblem(rule.kind, path, rule.expected)
            return
    has_lines = field.steps in table.children
    if isinstance(value, dict | list) and (has_lines or (field.types == ("object",) and not field.json_type)):
        yield from _object_problems(value, field.steps, path, table)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _parse_text(text: str, field: Field) -> Any:
    match field.types[0]:
        case "boolean" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "integer" if _NUMBER_TEXT.fullmatch(text) and "." not in text:
            return int(text)
        case "number" if _NUMBER_TEXT.fullmatch(text):
            return float(text)
    return text


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# Lines of a table. ----------------------------------------------------------------------------------------------------


def _parse_field(line: str) -> Field:
    head, tilde, pattern = line.partition(" ~ ")
    path, type_text, *words = head.split()
    types = tuple(type_text.split("/"))
    json_type = words.pop(0) if types == ("json",) else ""
    if unknown := {*types, json_type} - {*_TYPE_CHECKS, ""}:
        raise ValueError(f"unknown type {min(unknown)!r} in {line!r}")
    rules = [_parse_rule(word, line) for word in words if word != "required"]
    if tilde:
        rules.append(FieldRule("pattern", pattern.strip(), _matches(pattern.strip())))
    return Field(tuple(_STEP.findall(path)), types, json_type, "required" in words, tuple(rules))


def _parse_rule(word: str, line: str) -> FieldRule:
    if word == "nonempty":
        return FieldRule("empty", "not empty", bool)
    if word == "https":
        return FieldRule("pattern", "a URL of https", _matches("https://.+"))
    if word.startswith("="):
        values = word[1:].split("|")
        return FieldRule("value", f"one of {', '.join(values)}", lambda value: _value_text(value) in values)
    if match := _SIZE.fullmatch(word):
        measure, maximum = match[1], int(match[2])
        kind: ProblemKind = "bytes" if measure == "bytes" else "chars" if measure == "chars" else "items"
        return FieldRule(kind, word, lambda value: _measure_size(value, measure) <= maximum)
    if match := _RANGE.fullmatch(word):
        low, high = (
            float(end) if end else sign * float("inf") for end, sign in zip(match.groups(), (-1, 1), strict=True)
        )
        return FieldRule("range", word, lambda value: not isinstance(value, int | float) or low <= value <= high)
    raise ValueError(f"unknown rule {word!r} in {line!r}")


def _measure_size(value: Any, measure: str) -> int:
    if measure == "bytes":
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return len(text.encode(errors="replace"))
    return len(value)


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _parse_condition(line: str) -> Condition:
    _, cause, verb, *rest = line.split()
    if verb not in ("need", "never") or not rest:
        raise ValueError(f"expected need or never in {line!r}")
    return Condition(_parse_demand(cause), verb == "never", tuple(_parse_demand(word) for word in rest if word != "or"))


def _parse_demand(word: str) -> Demand:
    path, equals, value = word.partition("=")
    return Demand(path, value if equals else None)
