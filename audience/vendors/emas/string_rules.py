"""Rules of a schema for strings that a validator skips: their bytes, and the JSON text in them.

`maxBytes` counts UTF-8. `contentMediaType` and `contentSchema` are JSON Schema keywords for a string of JSON text.
Source: https://json-schema.org/draft/2020-12/json-schema-validation#name-contentschema
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from audience.errors import Problem


def build_string_rule(file: Path) -> Callable[[Any], Iterator[Problem]]:
    """Build the rule of the schema in *file*."""
    schema = json.loads(file.read_text("utf-8"))
    return lambda body: _walk_schema(schema, body, "$")


def _walk_schema(schema: dict[str, Any], value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, inner in schema.get("properties", {}).items():
            if key in value:
                yield from _walk_schema(inner, value[key], f"{path}.{key}")
    if isinstance(value, str):
        yield from _byte_limit_problems(schema, value, path)
        yield from _json_content_problems(schema, value, path)


def _byte_limit_problems(schema: dict[str, Any], text: str, path: str) -> Iterator[Problem]:
    maximum, size = schema.get("maxBytes"), len(text.encode("utf-8", "surrogatepass"))
    if maximum is not None and size > maximum:
        yield Problem("too-long", f"{size} bytes; the maximum is {maximum}", path=path, hint=schema.get("description"))


def _json_content_problems(schema: dict[str, Any], text: str, path: str) -> Iterator[Problem]:
    if "contentMediaType" not in schema:
        return
    try:
        decoded = json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        yield Problem("bad-json", f"{error}", path=path, hint=schema.get("description"))
        return
    if not _matches_content_schema(schema["contentSchema"], decoded):
        yield Problem("wrong-value", "the JSON text has the wrong type", path=path, hint=schema.get("description"))


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _matches_content_schema(schema: dict[str, Any], decoded: Any) -> bool:
    """Return whether the value is an object, or a list of strings that is not too long: EMAS has no other types."""
    if schema["type"] == "object":
        return isinstance(decoded, dict)
    return (
        isinstance(decoded, list)
        and len(decoded) <= schema["maxItems"]
        and all(isinstance(item, str) for item in decoded)
    )
