"""Guards of the sandbox: pages of other sites may not call it, although any key may.

A page that a browser shows can send requests to this machine. The names that a request uses for the sandbox, and the
page that it comes from, show them: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from audience.errors import Problem

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
FOREIGN_SITES = frozenset({"cross-site", "same-site"})


def find_foreign_caller(headers: Mapping[str, str]) -> Problem | None:
    """Return why a request with these lower-case *headers* is not from this machine, or None.

    >>> find_foreign_caller({"host": "127.0.0.1:8080"})
    >>> find_foreign_caller({"host": "evil.example"}).code
    'wrong-host'
    >>> find_foreign_caller({"host": "localhost:8080", "origin": "https://evil.example"}).code
    'wrong-origin'
    """
    host = headers.get("host", "")
    if _host_name(f"//{host}") not in LOOPBACK_NAMES:
        names = "127.0.0.1, localhost or [::1]"
        return Problem("wrong-host", f"the request is for {host[:100]!r}", hint=f"call the sandbox as {names}")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        return Problem("wrong-origin", f"the request is from a page of {origin[:100]!r}", hint="call it from a program")
    if headers.get("sec-fetch-site", "") in FOREIGN_SITES:
        return Problem("wrong-origin", "the request is from a page of another site", hint="call it from a program")
    return None


def _host_name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is not one
        return parts.hostname if parts.username is None and not (parts.path or parts.query or parts.fragment) else None
    except ValueError:
        return None
