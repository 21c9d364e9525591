"""JSON files with a checksum of themselves: a change of any byte is found when they are read."""

from typing import Any

import orjson

from audience._fs.checksums import hash128
from audience.index.storage.published import damaged_error


def serialize_checked(key: str, body: dict[str, Any]) -> bytes:
    """Return a JSON file with *body* below *key*, and its checksum.

    >>> read_checked(serialize_checked("index", {"number": 1}), "index", "manifest.json")
    {'number': 1}
    """
    return orjson.dumps({"checksum": hash128(orjson.dumps(body)), key: body}, option=orjson.OPT_INDENT_2)


def read_checked(data: bytes, key: str, path: str) -> dict[str, Any]:
    """Return the body of the JSON file at *path*. Raises DamagedError if any byte of *data* was changed."""
    try:
        document = orjson.loads(data)
        body: dict[str, Any] = document[key]
        is_intact = document["checksum"] == hash128(orjson.dumps(body))
    except (ValueError, KeyError, TypeError) as error:
        raise damaged_error(path) from error
    if not is_intact or data != orjson.dumps(document, option=orjson.OPT_INDENT_2):
        raise damaged_error(path)
    return body
