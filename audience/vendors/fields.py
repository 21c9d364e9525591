"""The fields of a vendor's body, as a JSON Schema beside its file: types, ranges, required and excluded ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from audience.errors import MessageError, Problem
from audience.language.suggest import did_you_mean


def checker(file: Path) -> Callable[[Any], None]:
    """A check of bodies by the schema in *file*; it raises MessageError with every problem and its path.

    A `description` in the schema says what to do where a body breaks the rule beside it.
    """
    schema = json.loads(file.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    def check(body: Any) -> None:
        problems = [problem for error in validator.iter_errors(body) for problem in _problems(error)]
        if problems:
            raise MessageError(*dict.fromkeys(problems))

    return check


def _problems(error: ValidationError) -> list[Problem]:
    """The problems that *error* stands for, each in our words."""
    found: Any = error.instance
    schema: Any = error.schema
    rule: Any = error.validator_value
    path, hint = error.json_path, schema.get("description")
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", ()))
            return [_unknown(key, known, path, hint) for key in found if key not in known]
        case "required":
            missing = [key for key in rule if key not in found]
            return [Problem("missing-key", f"{key!r} is required", path=path, hint=hint) for key in missing]
        case "type":
            return [Problem("wrong-type", f"expected {rule}, found {_short(found)}", path=path, hint=hint)]
        case "enum":
            listed = ", ".join(map(str, rule))
            return [Problem("wrong-value", f"{_short(found)} is none of {listed}", path=path, hint=hint)]
    return [Problem("wrong-value", f"{_short(found)} breaks {error.validator} {rule!r}", path=path, hint=hint)]


def _unknown(key: str, known: list[str], path: str, hint: str | None) -> Problem:
    return Problem("unknown-key", f"unknown key {key!r}", path=f"{path}.{key}", hint=did_you_mean(key, known) or hint)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
