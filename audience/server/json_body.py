"""Read the JSON body and the query of a call, and name the place of what is wrong in them."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from audience.errors import Problem
from audience.language.suggest import did_you_mean
from audience.server.problems import HttpError

MAX_QUERY_FIELDS = 100
MAX_SHOWN = 60  # characters of a value in an error
MAX_SHOWN_ERRORS = 20
JSON_HINT = "send one JSON object, in UTF-8"
EXPECTED = {
    "string_type": "a string",
    "string_unicode": "a string of valid Unicode",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def parse_body(data: bytes, model: type[BaseModel]) -> BaseModel:
    """Return the body *data* as an instance of *model*.

    Raises:
        HttpError: The body is not JSON, names a field twice, or does not fit the model.
    """
    try:
        value = DECODER.decode(data.decode())
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # fails for an unpaired surrogate, which JSON can escape
    except UnicodeEncodeError:
        problem = Problem(
            "bad-text", "a string of the body contains an unpaired surrogate", path="body", hint=JSON_HINT
        )
        raise HttpError(400, problem) from None
    except UnicodeDecodeError as error:
        raise _body_error(f"the body is not valid UTF-8 at byte {error.start:,}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,}"
        message = "the body is empty" if not data.strip() else f"the body is not JSON: {error.msg} at {where}"
        raise _body_error(message) from None
    except RecursionError:
        raise _body_error("the body nests too deep") from None
    except ValueError as error:  # a whole number of too many digits
        raise _body_error(f"the body is not JSON: {error!s:.80}") from None
    return validate_fields(value, model, "body")


def parse_query(query_string: bytes, model: type[BaseModel] | None) -> BaseModel | None:
    """Return the query of a call as an instance of *model*; None without a model, which takes no parameters.

    Raises:
        HttpError: A parameter is unknown, given twice, or invalid.
    """
    if not query_string and model is None:
        return None
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERY_FIELDS,
        )
    except ValueError:
        message = "the query of the address is not valid"
        raise HttpError(
            400, Problem("invalid-query", message, path="query", hint="write name=value&name=value")
        ) from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise HttpError(400, Problem("same-field", f"{name!r:.80} is given twice", path=f"query.{name:.80}"))
        values[name] = value
    if model is not None:
        return validate_fields(values, model, "query")
    for name in values:
        message = f"this call has no parameter {name!r:.80}"
        raise HttpError(400, Problem("unknown-field", message, path=f"query.{name:.80}"))
    return None


def validate_fields(value: Any, model: type[BaseModel], place: str) -> BaseModel:
    """Return *value* as an instance of *model*.

    Raises:
        HttpError: It does not fit the model; the paths of the problems begin with *place*.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise HttpError(400, *_describe_errors(error, model, place)) from None


def _describe_errors(error: ValidationError, model: type[BaseModel], place: str) -> Iterator[Problem]:
    for detail in error.errors(include_url=False, include_context=True)[:MAX_SHOWN_ERRORS]:
        kind, value = detail["type"], detail["input"]
        path = ".".join([place, *(str(part)[:80] for part in detail["loc"])])
        name = str(detail["loc"][-1]) if detail["loc"] else ""
        if kind == "missing":
            yield Problem("missing-field", f"{path} is missing", path=path)
        elif kind == "extra_forbidden":
            hint = did_you_mean(name, model.model_fields) or f"it is one of {', '.join(model.model_fields)}"
            yield Problem("unknown-field", f"{name!r:.80} is not a field of {place}", path=path, hint=hint)
        elif kind in EXPECTED:
            yield Problem("wrong-type", f"expected {EXPECTED[kind]}, got {_show(value)}", path=path)
        else:
            yield Problem("bad-field", f"{path}: {detail['msg']}", path=path)


def _show(value: Any) -> str:
    """Return a value as JSON shows it, cut short; only the kind of a list or an object."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise HttpError(400, Problem("same-field", f"the field {twice!r:.80} is given twice", path="body"))
    return built


def _refuse_constant(name: str) -> Any:
    raise _body_error(f"the body is not JSON: {name} is not a number of JSON")


def _body_error(message: str) -> HttpError:
    return HttpError(400, Problem("bad-body", message, path="body", hint=JSON_HINT))


DECODER = json.JSONDecoder(object_pairs_hook=_build_object, parse_constant=_refuse_constant)
