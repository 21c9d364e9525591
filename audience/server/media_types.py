"""Media types: which one a caller accepts, and which one a body has."""

import re
from collections.abc import Mapping, Sequence

from audience.errors import Problem
from audience.server.problems import HttpError

JSON_MEDIA_TYPE = "application/json"
QUALITY = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def choose_media_type(header: str | None, media_types: Sequence[str]) -> str:
    """Return the first of *media_types* that the header `Accept` prefers.

    Raises:
        HttpError: It accepts none of them.

    >>> choose_media_type("text/csv;q=0.5, application/*", ["text/csv", "application/json"])
    'application/json'
    """
    if header is None or header == "*/*" or header == media_types[0]:
        return media_types[0]
    ranges = _parse_accept(header.lower())
    best = max(media_types, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        message = f"this call answers {' or '.join(media_types)}, not {header!r:.80}"
        raise HttpError(406, Problem("not-acceptable", message, hint=f"send Accept: {media_types[0]}"))
    return best


def require_json_body(headers: Mapping[bytes, bytes]) -> None:
    """Raise HttpError unless the body is JSON in UTF-8, and not compressed."""
    header = headers.get(b"content-type", b"")
    if header != b"application/json":
        name, *parameters = (part.strip().lower() for part in header.decode("latin-1").split(";"))
        charsets = [part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")]
        if name != JSON_MEDIA_TYPE or any(charset not in ("utf-8", "utf8") for charset in charsets):
            raise _wrong_type_error(header.decode("latin-1") or "no Content-Type")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _wrong_type_error(f"the encoding {headers[b'content-encoding'].decode('latin-1')}")


def _parse_accept(header: str) -> list[tuple[str, float]]:
    """Return the ranges of the header with their qualities."""
    ranges = []
    for part in header.split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        qualities = [each[2:].strip() for each in parameters if each.startswith("q=")]
        valid = not qualities or QUALITY.fullmatch(qualities[0])
        ranges.append((name, float(qualities[0]) if qualities and valid else 1.0 if valid else 0.0))
    return ranges


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of a media type: that of the most specific range that it is in."""
    by_name = dict(reversed(ranges))
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in by_name:
            return by_name[name]
    return 0.0


def _wrong_type_error(found: str) -> HttpError:
    message = f"expected a body of JSON, got {found!r:.80}"
    return HttpError(415, Problem("wrong-media-type", message, hint="send Content-Type: application/json"))
