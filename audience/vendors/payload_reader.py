"""What payloads of several vendors have in common: lists, ids between commas, one word of a few, moments.

Every reader takes a value and its path, and raises PayloadError where the value is something else.
"""

import json
import math
import warnings
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

import json5

from audience.errors import PayloadError, PayloadWarning, Problem
from audience.language.suggest import did_you_mean
from audience.language.validation import SURROGATE
from audience.vendors.spec import WHITESPACE, Limit, Payload

MAX_TREE_LEVELS = 40  # levels of a tree: no page says how many there may be


def read_json_object(value: Any, path: str = "$") -> Payload:
    """The object that *value* is, or is the JSON text of.

    >>> read_json_object('{"to": "all"}') == read_json_object({"to": "all"})
    True
    """
    return read_object(load_json(value, path) if isinstance(value, str) else value, path)


def check_limit(limit: Limit, count: int, noun: str, path: str, hint: str = "send several requests") -> None:
    """Refuse *count* of *what*, in the plural, where that is more than *limit*."""
    if limit.is_exceeded_by(count):
        fail("too-many", f"{count} {noun}; {limit.maximum} is the most", path, hint)


def read_list(value: Any, path: str, limit: Limit, noun: str = "ids") -> list[str]:
    """A list of ids, or of *what*: one at least, and no more than *limit* allows."""
    found = read_strings(value, path)
    if not found:
        fail("empty-target", "an empty list names nobody", path)
    check_limit(limit, len(found), noun, path)
    return found


def split_commas(value: Any, path: str) -> list[str]:
    """The ids that a text holds, white space beside its commas left out.

    >>> split_commas("u1, u2", "$.alias")
    ['u1', 'u2']
    """
    found = [name.strip(WHITESPACE) for name in read_string(value, path).split(",")]
    if "" in found:
        fail("empty-name", "nothing stands between two commas", path)
    return found


def read_one_or_many(value: Any, path: str) -> list[str]:
    """A text, or a list of texts that is not empty."""
    found = [read_string(value, path)] if isinstance(value, str) else read_strings(value, path)
    if not found:
        fail("empty-target", "an empty list names nothing", path)
    return found


def read_items(value: Any, path: str) -> list[tuple[Any, str]]:
    """The elements of a list that is not empty, each with its path.

    >>> read_items(["a", "b"], "$.and")
    [('a', '$.and[0]'), ('b', '$.and[1]')]
    """
    if not isinstance(value, list):
        fail("wrong-type", "expected a list", path)
    if not value:
        fail("empty-target", "an empty list says nothing", path)
    return [(element, f"{path}[{at}]") for at, element in enumerate(value)]


def read_single_key(value: Any, allowed_keys: Iterable[str], path: str, depth: int) -> tuple[str, Any, str]:
    """The one key of an object *depth* levels down a tree, what it holds, and the path of that.

    >>> read_single_key({"or": []}, ("and", "or"), "$.filter", 0)
    ('or', [], '$.filter.or')
    """
    if depth > MAX_TREE_LEVELS:
        fail("too-deep", f"more than {MAX_TREE_LEVELS} levels", path)
    found = read_object(value, path)
    reject_unknown_keys(found, allowed_keys, path)
    if len(found) != 1:
        names = ", ".join(found) or "nothing"
        fail("unknown-key", f"expected one key; found {names}", path, "give each an object of its own")
    [(key, inner)] = found.items()
    return key, inner, f"{path}.{key}"


def read_enum(payload: Payload, key: str, allowed_values: Collection[str], path: str) -> str:
    """The text under *key* of *holder*, one of those that are *known*."""
    found = read_string(payload.get(key), f"{path}.{key}")
    if found not in allowed_values:
        hint = did_you_mean(found, allowed_values)
        fail("unknown-value", f"{found!r} is none of {', '.join(allowed_values)}", f"{path}.{key}", hint)
    return found


def read_number(value: Any, path: str) -> float:
    """A finite number; true and false are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    fail("wrong-type", f"expected a number, found {value!r}", path)


def format_number(value: float) -> str:
    """The number *value* as a text, a whole one without a point.

    >>> format_number(2.0), format_number(2.5)
    ('2', '2.5')
    """
    return str(int(value)) if value == int(value) else repr(value)


def read_timestamp(value: Any, path: str) -> datetime:
    """A moment of ISO 8601 as tables of devices have it, without a zone: in UTC, and with a warning that it is."""
    text, hint = read_string(value, path), "like 2019-07-22T13:17:55Z"
    try:
        zoned = datetime.fromisoformat(text)
        found = zoned.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        fail("unknown-value", f"{text!r} is no moment of ISO 8601", path, hint)
    if zoned.tzinfo is None:
        fail("unknown-value", f"{text!r} has no zone", path, hint)
    warn_payload("moments have no zone in a table of devices; this one is read in UTC", path)
    return found


def warn_payload(message: str, path: str) -> None:
    """Say what is odd about the payload at *path*, which is read all the same."""
    warnings.warn(f"{message} at {path}", PayloadWarning, stacklevel=2)


def load_json(text: str, path: str = "$") -> Any:
    """Read *text* as JSON, with the `//` comments and trailing commas that vendors' pages print; *path* is its place.

    >>> load_json('{"to": "all", } // everyone')
    {'to': 'all'}
    """
    try:
        return json.loads(text, object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant)
    except ValueError:
        pass  # not plain JSON; if it is none at all, the other reader says where it ends
    except RecursionError:
        fail("bad-json", "nested too deep", path, "a payload is one JSON object")
    try:
        return json5.loads(text, allow_duplicate_keys=False, parse_int=_parse_int, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        fail("bad-json", str(error) or "nested too deep", path, "a payload is one JSON object")


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> Payload:
    """An object of *pairs*; a key that stands twice is left to the other reader, which says so."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _parse_int(digits: str, base: int = 10) -> int:
    """A whole number; ValueError where it could not be written again, as of very many digits to the base 16."""
    number = int(digits, base)
    str(number)
    return number


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def dump_json(payload: Any) -> str:
    """Write *payload* as compact JSON text, Chinese left as it is."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def fail(code: str, message: str, path: str, hint: str | None = None) -> NoReturn:
    """Raise the PayloadError of one problem at *path*."""
    raise PayloadError(Problem(code, message, path=path, hint=hint))


def read_object(value: Any, path: str) -> Payload:
    """*value* if it is an object, or a PayloadError."""
    if not isinstance(value, dict):
        fail("wrong-type", f"expected an object, found {_json_type_name(value)}", path)
    return value


def read_strings(value: Any, path: str) -> list[str]:
    """*value* if it is a list of texts that are not empty, or a PayloadError."""
    if not isinstance(value, list):
        fail("wrong-type", f"expected a list, found {_json_type_name(value)}", path)
    return [read_string(item, f"{path}[{at}]") for at, item in enumerate(value)]


def read_string(value: Any, path: str) -> str:
    """*value* if it is a text that is not empty, or a PayloadError."""
    if not isinstance(value, str):
        fail("wrong-type", f"expected a text, found {_json_type_name(value)}", path)
    if not value:
        fail("empty-name", "an empty text names nothing", path)
    if SURROGATE.search(value):
        fail("bad-text", f"{value!r} holds half a character", path, "it cannot be written in UTF-8")
    return value


def reject_unknown_keys(payload: Payload, allowed_keys: Iterable[str], path: str) -> None:
    """Refuse *payload* if it has a key that is not *known*: it might narrow or widen the audience."""
    allowed_keys = list(allowed_keys)
    for key in payload:
        if key not in allowed_keys:
            fail("unknown-key", f"unknown key {key!r}", f"{path}.{key}", f"known here: {', '.join(allowed_keys)}")


def _json_type_name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
