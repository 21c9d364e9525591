"""Validation of bodies by a JSON Schema in the vendor's folder: types, ranges, required and excluded fields."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audience.errors import MessageError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.payload_reader import dump_json

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError


def schema_validator(file: Path, *rules: Callable[[Any], Iterable[Problem]]) -> Callable[[Any], None]:
    """Build a validator of bodies; it raises MessageError with every problem and its path.

    Args:
        file: Schema. A `description` in it is the hint for a body that breaks the rule next to it.
        rules: Rules that a schema cannot express. They are called for every body, whatever types its fields have.
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
    """Build the validator of *file* when the first body is checked: most commands check none."""
    from jsonschema import Draft202012Validator  # slow to import
    from jsonschema.validators import extend

    integers = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: type(value) is int
    )  # 1.0 is not one
    schema = json.loads(file.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    keywords = {"pattern": _find_pattern_errors}
    return extend(Draft202012Validator, keywords, type_checker=integers)(schema)  # type: ignore[no-untyped-call]


def _find_pattern_errors(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator["ValidationError"]:
    r"""Find a text that does not match: `$` is its end, not before a line break, and `\d` is 0 to 9, as in ECMA-262."""
    from jsonschema.exceptions import ValidationError  # slow to import

    whole = rf"{pattern[:-1]}\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(whole, value, re.ASCII):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def get_in(body: Any, *keys: str) -> dict[str, Any]:
    """Return the object at a path of keys, or an empty one if there is none.

    >>> get_in({"a": {"b": {"c": 1}}}, "a", "b"), get_in({"a": 1}, "a", "b")
    ({'c': 1}, {})
    """
    for key in keys:
        body = body.get(key) if isinstance(body, dict) else None
    return body if isinstance(body, dict) else {}


def json_nbytes(*values: Any) -> int:
    """Count the bytes of *values* as compact JSON in UTF-8.

    >>> json_nbytes({"a": "时"})
    11
    """
    return sum(len(dump_json(value).encode()) for value in values)


def _encoding_problems(body: Any) -> list[Problem]:
    """Find why *body* cannot be written as JSON: an unpaired surrogate, NaN, or a value of another type."""
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        return [Problem("unwritable", f"cannot be written as JSON: {error}", path="$")]
    return []


def _schema_problems(error: "ValidationError") -> list[Problem]:
    """Translate an error of the validator."""
    value: Any = error.instance
    schema: Any = error.schema
    rule: Any = error.validator_value
    path, hint = error.json_path, schema.get("description")
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", ()))
            return [_unknown_key_problem(key, known, path, hint) for key in value if key not in known]
        case "required":
            missing = [key for key in rule if key not in value]
            return [Problem("missing-key", f"{key!r} is required", path=path, hint=hint) for key in missing]
        case "type":
            return [Problem("wrong-type", f"expected {rule}, found {_shorten_json(value)}", path=path, hint=hint)]
        case "enum":
            message = f"expected one of {', '.join(map(str, rule))}, found {_shorten_json(value)}"
            return [Problem("wrong-value", message, path=path, hint=hint)]
        case "const":
            message = f"expected {_shorten_json(rule)}, found {_shorten_json(value)}"
            return [Problem("wrong-value", message, path=path, hint=hint)]
        case "not" if "required" in rule:
            keys = " with ".join(map(repr, rule["required"]))
            return [Problem("wrong-value", f"{keys} is not allowed here", path=path, hint=hint)]
        case "anyOf" if all("required" in option for option in rule):
            keys = " or ".join(repr(key) for option in rule for key in option["required"])
            return [Problem("wrong-value", f"{keys} is required", path=path, hint=hint)]
    return [Problem("wrong-value", f"{_shorten_json(value)} breaks {error.validator} {rule!r}", path=path, hint=hint)]


def _unknown_key_problem(key: str, known_keys: list[str], path: str, hint: str | None) -> Problem:
    return Problem(
        "unknown-key", f"unknown key {key!r}", path=f"{path}.{key}", hint=did_you_mean(key, known_keys) or hint
    )


def _shorten_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
