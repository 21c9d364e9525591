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
from audience.vendors.spec import SPACE, Limit, Payload

DEEPEST = 40  # levels of a tree: no page says how many there may be


def loaded(value: Any, path: str = "$") -> Payload:
    """The object that *value* is, or is the JSON text of.

    >>> loaded('{"to": "all"}') == loaded({"to": "all"})
    True
    """
    return mapping(load(value, path) if isinstance(value, str) else value, path)


def limited(limit: Limit, count: int, what: str, path: str, hint: str = "send several requests") -> None:
    """Refuse *count* of *what*, in the plural, where that is more than *limit*."""
    if limit.exceeded_by(count):
        refuse("too-many", f"{count} {what}; {limit.most} is the most", path, hint)


def listed(value: Any, path: str, limit: Limit, what: str = "ids") -> list[str]:
    """A list of ids, or of *what*: one at least, and no more than *limit* allows."""
    found = strings(value, path)
    if not found:
        refuse("empty-target", "an empty list names nobody", path)
    limited(limit, len(found), what, path)
    return found


def between_commas(value: Any, path: str) -> list[str]:
    """The ids that a text holds, white space beside its commas left out.

    >>> between_commas("u1, u2", "$.alias")
    ['u1', 'u2']
    """
    found = [name.strip(SPACE) for name in string(value, path).split(",")]
    if "" in found:
        refuse("empty-name", "nothing stands between two commas", path)
    return found


def one_or_several(value: Any, path: str) -> list[str]:
    """A text, or a list of texts that is not empty."""
    found = [string(value, path)] if isinstance(value, str) else strings(value, path)
    if not found:
        refuse("empty-target", "an empty list names nothing", path)
    return found


def elements(value: Any, path: str) -> list[tuple[Any, str]]:
    """The elements of a list that is not empty, each with its path.

    >>> elements(["a", "b"], "$.and")
    [('a', '$.and[0]'), ('b', '$.and[1]')]
    """
    if not isinstance(value, list):
        refuse("wrong-type", "expected a list", path)
    if not value:
        refuse("empty-target", "an empty list says nothing", path)
    return [(element, f"{path}[{at}]") for at, element in enumerate(value)]


def branch(value: Any, known: Iterable[str], path: str, depth: int) -> tuple[str, Any, str]:
    """The one key of an object *depth* levels down a tree, what it holds, and the path of that.

    >>> branch({"or": []}, ("and", "or"), "$.filter", 0)
    ('or', [], '$.filter.or')
    """
    if depth > DEEPEST:
        refuse("too-deep", f"more than {DEEPEST} levels", path)
    found = mapping(value, path)
    only(found, known, path)
    if len(found) != 1:
        names = ", ".join(found) or "nothing"
        refuse("unknown-key", f"expected one key; found {names}", path, "give each an object of its own")
    [(key, inner)] = found.items()
    return key, inner, f"{path}.{key}"


def word(holder: Payload, key: str, known: Collection[str], path: str) -> str:
    """The text under *key* of *holder*, one of those that are *known*."""
    found = string(holder.get(key), f"{path}.{key}")
    if found not in known:
        hint = did_you_mean(found, known)
        refuse("unknown-value", f"{found!r} is none of {', '.join(known)}", f"{path}.{key}", hint)
    return found


def number(value: Any, path: str) -> float:
    """A finite number; true and false are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    refuse("wrong-type", f"expected a number, found {value!r}", path)


def written(value: float) -> str:
    """The number *value* as a text, a whole one without a point.

    >>> written(2.0), written(2.5)
    ('2', '2.5')
    """
    return str(int(value)) if value == int(value) else repr(value)


def moment(value: Any, path: str) -> datetime:
    """A moment of ISO 8601 as tables of devices have it, without a zone: in UTC, and with a warning that it is."""
    text, hint = string(value, path), "like 2019-07-22T13:17:55Z"
    try:
        zoned = datetime.fromisoformat(text)
        found = zoned.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        refuse("unknown-value", f"{text!r} is no moment of ISO 8601", path, hint)
    if zoned.tzinfo is None:
        refuse("unknown-value", f"{text!r} has no zone", path, hint)
    warn("moments have no zone in a table of devices; this one is read in UTC", path)
    return found


def warn(message: str, path: str) -> None:
    """Say what is odd about the payload at *path*, which is read all the same."""
    warnings.warn(f"{message} at {path}", PayloadWarning, stacklevel=2)


def load(text: str, path: str = "$") -> Any:
    """Read *text* as JSON, with the `//` comments and trailing commas that vendors' pages print; *path* is its place.

    >>> load('{"to": "all", } // everyone')
    {'to': 'all'}
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
    except ValueError:
        pass  # not plain JSON; if it is none at all, the other reader says where it ends
    except RecursionError:
        refuse("bad-json", "nested too deep", path, "a payload is one JSON object")
    try:
        return json5.loads(text, allow_duplicate_keys=False, parse_int=_whole, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        refuse("bad-json", str(error) or "nested too deep", path, "a payload is one JSON object")


def _distinct(pairs: list[tuple[str, Any]]) -> Payload:
    """An object of *pairs*; a key that stands twice is left to the other reader, which says so."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _whole(digits: str, base: int = 10) -> int:
    """A whole number; ValueError where it could not be written again, as of very many digits to the base 16."""
    number = int(digits, base)
    str(number)
    return number


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def dump(payload: Any) -> str:
    """Write *payload* as compact JSON text, Chinese left as it is."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def refuse(code: str, message: str, path: str, hint: str | None = None) -> NoReturn:
    """Raise the PayloadError of one problem at *path*."""
    raise PayloadError(Problem(code, message, path=path, hint=hint))


def mapping(value: Any, path: str) -> Payload:
    """*value* if it is an object, or a PayloadError."""
    if not isinstance(value, dict):
        refuse("wrong-type", f"expected an object, found {_kind(value)}", path)
    return value


def strings(value: Any, path: str) -> list[str]:
    """*value* if it is a list of texts that are not empty, or a PayloadError."""
    if not isinstance(value, list):
        refuse("wrong-type", f"expected a list, found {_kind(value)}", path)
    return [string(item, f"{path}[{at}]") for at, item in enumerate(value)]


def string(value: Any, path: str) -> str:
    """*value* if it is a text that is not empty, or a PayloadError."""
    if not isinstance(value, str):
        refuse("wrong-type", f"expected a text, found {_kind(value)}", path)
    if not value:
        refuse("empty-name", "an empty text names nothing", path)
    if SURROGATE.search(value):
        refuse("bad-text", f"{value!r} holds half a character", path, "it cannot be written in UTF-8")
    return value


def only(payload: Payload, known: Iterable[str], path: str) -> None:
    """Refuse *payload* if it has a key that is not *known*: it might narrow or widen the audience."""
    known = list(known)
    for key in payload:
        if key not in known:
            refuse("unknown-key", f"unknown key {key!r}", f"{path}.{key}", f"known here: {', '.join(known)}")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
