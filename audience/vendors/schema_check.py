"""The fields of a vendor's body, as a JSON Schema beside its file: types, ranges, required and excluded ones."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience.errors import MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import dump_json

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def schema_validator(file: Path, *rules: Callable[[Any], Iterable[Problem]]) -> Callable[[Any], None]:
    """A check of bodies by the schema in *file*; it raises MessageError with every problem and its path.

    A `description` in the schema says what to do where a body breaks the rule beside it. *rules* find what a schema
    cannot say; they are asked of every body, whatever the types of its fields are.
    """

    def validate_body(body: Any) -> None:
        problems = _encoding_problems(body)
        if not problems:
            problems = [
                problem for error in _load_validator(file).iter_errors(body) for problem in _schema_problems(error)
            ]
            problems += [problem for rule in rules for problem in rule(body)]
        if problems:
            raise MessageError(*dict.fromkeys(problems))

    return validate_body


@cache
def _load_validator(file: Path) -> Any:
    """The validator of the schema in *file*, made when the first body is checked: most commands send none."""
    from jsonschema import Draft202012Validator  # here, as it takes long to load and most commands send no body
    from jsonschema.validators import extend

    integers = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)  # 1.0 is none
    schema = json.loads(file.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return extend(Draft202012Validator, type_checker=integers)(schema)  # type: ignore[no-untyped-call]


def get_in(body: Any, *keys: str) -> dict[str, Any]:
    """The object under *keys* of *body*; an empty one where there is none.

    >>> get_in({"a": {"b": {"c": 1}}}, "a", "b"), get_in({"a": 1}, "a", "b")
    ({'c': 1}, {})
    """
    for key in keys:
        body = body.get(key) if isinstance(body, dict) else None
    return body if isinstance(body, dict) else {}


def json_nbytes(*values: Any) -> int:
    """How many bytes *values* take as compact JSON in UTF-8.

    >>> json_nbytes({"a": "时"})
    11
    """
    return sum(len(dump_json(value).encode()) for value in values)


def _encoding_problems(body: Any) -> list[Problem]:
    """Why *body* is no JSON in UTF-8: half a character, a number that is none, a value of another kind."""
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        return [Problem("unwritable", f"cannot be written as JSON: {error}", path="$")]
    return []


def _schema_problems(error: "ValidationError") -> list[Problem]:
    """The problems that *error* stands for, each in our words."""
    found: Any = error.instance
    schema: Any = error.schema
    rule: Any = error.validator_value
    path, hint = error.json_path, schema.get("description")
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", ()))
            return [_unknown_key_problem(key, known, path, hint) for key in found if key not in known]
        case "required":
            missing = [key for key in rule if key not in found]
            return [Problem("missing-key", f"{key!r} is required", path=path, hint=hint) for key in missing]
        case "type":
            return [Problem("wrong-type", f"expected {rule}, found {_shorten_json(found)}", path=path, hint=hint)]
        case "enum":
            listed = ", ".join(map(str, rule))
            return [Problem("wrong-value", f"{_shorten_json(found)} is none of {listed}", path=path, hint=hint)]
        case "const":
            return [
                Problem(
                    "wrong-value", f"expected {_shorten_json(rule)}, found {_shorten_json(found)}", path=path, hint=hint
                )
            ]
        case "not" if "required" in rule:
            excluded = " beside ".join(map(repr, rule["required"]))
            return [Problem("wrong-value", f"{excluded} cannot stand here", path=path, hint=hint)]
        case "anyOf" if all("required" in each for each in rule):
            wanted = " or ".join(repr(key) for each in rule for key in each["required"])
            return [Problem("wrong-value", f"{wanted} is required", path=path, hint=hint)]
    return [Problem("wrong-value", f"{_shorten_json(found)} breaks {error.validator} {rule!r}", path=path, hint=hint)]


def _unknown_key_problem(key: str, known_keys: list[str], path: str, hint: str | None) -> Problem:
    return Problem(
        "unknown-key", f"unknown key {key!r}", path=f"{path}.{key}", hint=did_you_mean(key, known_keys) or hint
    )


def _shorten_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
