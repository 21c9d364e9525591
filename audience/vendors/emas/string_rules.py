"""What a schema says of texts, and a validator does not look at: their bytes, and the JSON that they hold.

`maxBytes` counts UTF-8; `contentMediaType` and `contentSchema` are the words of JSON Schema for a text that holds JSON.
https://json-schema.org/draft/2020-12/json-schema-validation#name-contentschema
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from audience.errors import Problem


def rule(file: Path) -> Callable[[Any], Iterator[Problem]]:
    """A rule for bodies of the schema in *file*."""
    schema = json.loads(file.read_text("utf-8"))
    return lambda body: _look(schema, body, "$")


def _look(schema: dict[str, Any], value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if key in value:
                yield from _look(inner, value[key], f"{path}.{key}")
    if isinstance(value, str):
        yield from _bytes(schema, value, path)
        yield from _content(schema, value, path)


def _bytes(schema: dict[str, Any], text: str, path: str) -> Iterator[Problem]:
    most, size = schema.get("maxBytes"), len(text.encode("utf-8", "surrogatepass"))
    if most is not None and size > most:
        yield Problem("too-long", f"{size} bytes; {most} is the most", path=path, hint=schema.get("description"))


def _content(schema: dict[str, Any], text: str, path: str) -> Iterator[Problem]:
    if "contentMediaType" not in schema:
        return
    try:
        held = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        yield Problem("bad-json", f"{error}", path=path, hint=schema.get("description"))
        return
    if not _holds(schema["contentSchema"], held):
        yield Problem("wrong-value", "is JSON of another kind", path=path, hint=schema.get("description"))


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _holds(schema: dict[str, Any], held: Any) -> bool:
    """Whether *held* is an object, or a list of texts that is not too long: the two that EMAS asks for."""
    if schema["type"] == "object":
        return isinstance(held, dict)
    return isinstance(held, list) and len(held) <= schema["maxItems"] and all(isinstance(item, str) for item in held)
