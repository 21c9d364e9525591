"""Reading of payloads: JSON text, and a cursor that checks types and knows its JSON path."""

import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import json5

from audience.errors import PayloadError, PayloadWarning, Problem
from audience.language.suggest import did_you_mean
from audience.language.validation import SURROGATE
from audience.vendors.spec import WHITESPACE, Payload, VendorLimit

MAX_LENIENT_CHARACTERS = 20_000  # json5 takes a second for them, and hours for the largest texts
JSON5_PLACE = re.compile(r"^<string>:(\d+) ")
MAX_TREE_LEVELS = 40  # ours: no vendor documents how deep a tree may be
JSON_TYPE_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class PayloadCursor:
    """Part of a payload, together with its JSON path.

    Every reader returns the part as a value of one type, or raises PayloadError with the path.

    Attributes:
        value: The part itself; None also for a missing key.
        path: Its JSON path, for example `$.to.tag[1]`.

    >>> to = PayloadCursor('{"to": {"tag": ["a", "b"]}}').json_object()["to"]
    >>> to["tag"].strings()
    ['a', 'b']
    >>> [item.path for item in to["tag"].items()]
    ['$.to.tag[0]', '$.to.tag[1]']
    """

    value: Any
    path: str = "$"

    def __contains__(self, key: str) -> bool:
        return key in self.object()

    def __getitem__(self, key: str) -> "PayloadCursor":
        """Return the cursor of *key*; its value is None if the object has no such key."""
        return self.get(key)

    def get(self, key: str, default: Any = None) -> "PayloadCursor":
        """Return the cursor of *key*, with the value *default* if the object has no such key."""
        return PayloadCursor(self.object().get(key, default), f"{self.path}.{key}")

    def require(self, key: str, hint: str | None = None) -> "PayloadCursor":
        """Return the cursor of *key*, which must be present."""
        if key not in self:
            self.fail("missing-key", f"missing key {key!r}", hint)
        return self[key]

    def fail(self, code: str, message: str, hint: str | None = None) -> NoReturn:
        """Raise the PayloadError of one problem at this path."""
        raise PayloadError(Problem(code, message, path=self.path, hint=hint))

    @property
    def is_absent(self) -> bool:
        """Return whether the part counts as absent: a missing key, null, false, or an empty list or object.

        >>> [PayloadCursor(value).is_absent for value in (None, False, [], {}, "", 0)]
        [True, True, True, True, False, False]
        """
        return self.value is None or self.value is False or (isinstance(self.value, list | dict) and not self.value)

    def present_keys(self, keys: Iterable[str]) -> list[str]:
        """Return those of *keys* that are not absent; fail if there are none because one of them is empty.

        >>> PayloadCursor({"token": None, "topic": "a"}).present_keys(("token", "topic"))
        ['topic']
        """
        keys = list(keys)
        present = [key for key in keys if not self[key].is_absent]
        empty = [key for key in keys if self[key].value == []]
        if empty and not present:
            self[empty[0]].fail("empty-target", "an empty list matches no device")
        return present

    def warn(self, message: str) -> None:
        """Warn of a part that is read although it is suspicious."""
        warnings.warn(f"{message} at {self.path}", PayloadWarning, stacklevel=2)

    # Objects and lists. -------------------------------------------------------------------------------------------

    def object(self) -> Payload:
        """Return the value as an object."""
        if not isinstance(self.value, dict):
            self._fail_type("an object")
        return self.value

    def json_object(self) -> "PayloadCursor":
        """Return the cursor of an object, which may be written as JSON text.

        >>> PayloadCursor('{"to": "all"}').json_object()
        PayloadCursor(value={'to': 'all'}, path='$')
        """
        cursor = self.json_value()
        cursor.object()
        return cursor

    def json_value(self) -> "PayloadCursor":
        """Return the cursor of a value of any type, which may be written as JSON text."""
        return PayloadCursor(load_json(self.value, self.path), self.path) if isinstance(self.value, str) else self

    def only(self, allowed_keys: Iterable[str]) -> "PayloadCursor":
        """Return this cursor if its object has no other keys: an unknown key might narrow or widen the audience."""
        allowed_keys = list(allowed_keys)
        for key in self.object():
            if key not in allowed_keys:
                self[key].fail("unknown-key", f"unknown key {key!r}", f"known here: {', '.join(allowed_keys)}")
        return self

    def single_key(self, allowed_keys: Iterable[str], depth: int) -> tuple[str, "PayloadCursor"]:
        """Return the one key of an object *depth* levels down a tree, and its cursor.

        >>> PayloadCursor({"or": []}, "$.filter").single_key(("and", "or"), depth=0)
        ('or', PayloadCursor(value=[], path='$.filter.or'))
        """
        if depth > MAX_TREE_LEVELS:
            self.fail("too-deep", f"more than {MAX_TREE_LEVELS} levels")
        keys = list(self.only(allowed_keys).object())
        if len(keys) != 1:
            found = ", ".join(keys) or "none"
            self.fail("unknown-key", f"expected one key, found {found}", "give each an object of its own")
        return keys[0], self[keys[0]]

    def items(self) -> list["PayloadCursor"]:
        """Return the cursors of the items of a list, which must not be empty."""
        if not isinstance(self.value, list):
            self._fail_type("a list")
        if not self.value:
            self.fail("empty-target", "an empty list matches no device")
        return [PayloadCursor(item, f"{self.path}[{at}]") for at, item in enumerate(self.value)]

    def json_text(self) -> str:
        """Return the value as compact JSON text, the same whatever the order of keys: what a reference holds.

        >>> PayloadCursor({"b": [1, "é"], "a": None}).json_text()
        '{"a":null,"b":[1,"é"]}'
        """
        try:
            text = json.dumps(self.value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            self.fail("wrong-type", "expected JSON of ordinary depth")
        if SURROGATE.search(text):
            self.fail("bad-text", f"{text!r} is not valid Unicode", "it contains an unpaired surrogate")
        return text

    # Strings. -----------------------------------------------------------------------------------------------------

    def string(self) -> str:
        """Return the value as a string that is not empty."""
        return _require_string(self.value, self.path)

    def strings(self) -> list[str]:
        """Return the value as a list of strings, each of them not empty; the list may be empty."""
        if not isinstance(self.value, list):
            self._fail_type("a list")
        return [_require_string(item, f"{self.path}[{at}]") for at, item in enumerate(self.value)]

    def one_or_many(self) -> list[str]:
        """Return a string, or a list of strings that is not empty, as a list."""
        strings = [self.string()] if isinstance(self.value, str) else self.strings()
        if not strings:
            self.fail("empty-target", "an empty list matches no device")
        return strings

    def ids(self, limit: VendorLimit, noun: str = "ids") -> list[str]:
        """Return a list of ids, at least one and not more than *limit* allows; *noun* names them in errors."""
        strings = self.strings()
        if not strings:
            self.fail("empty-target", "an empty list matches no device")
        self.check_limit(limit, len(strings), noun)
        return strings

    def split_commas(self) -> list[str]:
        """Return the ids of a comma-separated string, without the white space around them.

        >>> PayloadCursor("u1, u2").split_commas()
        ['u1', 'u2']
        """
        names = [name.strip(WHITESPACE) for name in self.string().split(",")]
        if "" in names:
            self.fail("empty-name", "expected an id between commas, found none")
        return names

    def enum(self, allowed_values: Collection[str]) -> str:
        """Return the value as one of *allowed_values*."""
        string = self.string()
        if string not in allowed_values:
            message = f"expected one of {', '.join(allowed_values)}, found {string!r}"
            self.fail("unknown-value", message, did_you_mean(string, allowed_values))
        return string

    # Other types. -------------------------------------------------------------------------------------------------

    def boolean(self) -> bool:
        """Return the value as true or false."""
        if not isinstance(self.value, bool):
            self._fail_type("true or false")
        return self.value

    def number(self) -> float:
        """Return the value as a finite number; booleans are not numbers."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not math.isfinite(self.value):
            self.fail("wrong-type", f"expected a number, found {self.value!r}")
        return self.value

    def instant(self) -> str:
        """Return an ISO 8601 timestamp, which must have a zone, as expressions have instants: in UTC, with a Z."""
        string = self.string()
        hint = "write it like 2019-07-22T13:17:55Z"
        try:
            zoned = datetime.fromisoformat(string)
            instant = zoned.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            self.fail("unknown-value", f"expected an ISO 8601 timestamp, found {string!r}", hint)
        if zoned.tzinfo is None:
            self.fail("unknown-value", f"expected a timestamp with a zone, found {string!r}", hint)
        return f"{instant.isoformat()}Z"

    def check_limit(self, limit: VendorLimit, count: int, noun: str, hint: str = "send several requests") -> None:
        """Fail if *count* exceeds *limit*; *noun* is the counted thing, in the plural."""
        if limit.is_exceeded_by(count):
            self.fail("too-many", f"{count} {noun}; the maximum is {limit.maximum}", hint)

    def _fail_type(self, expected: str) -> NoReturn:
        self.fail("wrong-type", f"expected {expected}, found {_json_type_name(self.value)}")


def _require_string(value: Any, path: str) -> str:
    """Return *value* as a string; a function, as a list of ids would else make a cursor for each."""
    if not isinstance(value, str):
        PayloadCursor(value, path)._fail_type("a string")
    if not value:
        PayloadCursor(value, path).fail("empty-name", "expected a name, found an empty string")
    if SURROGATE.search(value):
        message = f"{value!r} is not valid Unicode"
        PayloadCursor(value, path).fail("bad-text", message, "it contains an unpaired surrogate")
    return value


def _json_type_name(value: Any) -> str:
    return JSON_TYPE_NAMES.get(type(value), type(value).__name__)


# JSON text. ---------------------------------------------------------------------------------------------------------


def load_json(text: str, path: str = "$") -> Any:
    """Parse JSON text, with the `//` comments and trailing commas that vendor docs print.

    Raises PayloadError at *path* if *text* is not JSON, repeats a key, or is nested too deep. A text of more than
    `MAX_LENIENT_CHARACTERS` has neither comments nor trailing commas.

    >>> load_json('{"to": "all", } // everyone')
    {'to': 'all'}
    """
    try:
        return json.loads(text, object_pairs_hook=reject_duplicate_keys, parse_constant=_reject_constant)
    except ValueError as error:  # not plain JSON: json5 reads it, or reports the position of the error
        if len(text) > MAX_LENIENT_CHARACTERS:
            _fail_json(str(error), path)
    except RecursionError:
        _fail_json("nested too deep", path)
    try:
        return json5.loads(text, allow_duplicate_keys=False, parse_int=_parse_int, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        _fail_json(JSON5_PLACE.sub(r"line \1: ", str(error)) or "nested too deep", path)


def _fail_json(message: str, path: str) -> NoReturn:
    PayloadCursor(None, path).fail("bad-json", message, "pass one JSON object")


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> Payload:
    """Return a JSON object; raise ValueError on a duplicate key, of which one value would be lost."""
    payload = dict(pairs)
    if len(payload) < len(pairs):
        duplicate = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"duplicate key {duplicate!r}")
    return payload


def _parse_int(digits: str, base: int = 10) -> int:
    """Parse an integer, or raise ValueError if it could not be printed again, as a very long hexadecimal one."""
    number = int(digits, base)
    str(number)
    return number


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def dump_json(payload: Any) -> str:
    """Format *payload* as compact JSON text; characters outside ASCII are not escaped."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"))


def format_number(value: float) -> str:
    """Format a number as text, a whole one without a decimal point.

    >>> format_number(2.0), format_number(2.5)
    ('2', '2.5')
    """
    return str(int(value)) if value == int(value) else repr(value)
