"""The keys of applications: from the environment, or from a file that nobody else can read; never from arguments.

    [tpns]                           a vendor
    access_id = "1500000001"
    secret_key = "…"
    host = "shanghai"                a data centre by name, or a URL

A vendor that has a table in the file is known by that table alone; any other by AUDIENCE_TPNS_ACCESS_ID and so on.
Secrets are not shown, wherever they turn up: what a vendor says is written down without them.
"""

import json
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from audience.delivery.transport.http import ReplyParser, is_loopback
from audience.errors import DeliveryError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.delivery_spec import Accepted, Credentials, DeliverySpec, Request, Response, VendorReply

REDACTED = "***"
MAX_NUMERIC_KEY = 10**18  # a number that is a key
MIN_SECRET_LENGTH = 6  # characters; a shorter text may be a part of what a reply means
CREDENTIALS_VARIABLE = "AUDIENCE_CREDENTIALS"


def load_credentials(
    vendor: str,
    delivery: DeliverySpec,
    *,
    host: str | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """The application at *vendor* that *file*, or the one that AUDIENCE_CREDENTIALS names, or the *environment* knows.

    *host* is a data centre by name, or a URL. Raises DeliveryError for what is missing, unknown, or readable by others.
    """
    named = file or (Path(environment[CREDENTIALS_VARIABLE]) if environment.get(CREDENTIALS_VARIABLE) else None)
    tables = {} if named is None else _load_vendor_tables(named)
    names = (*delivery.required_keys, *delivery.optional_keys, "host")
    if vendor in tables:
        said, where = tables[vendor], {name: f"{named}: {vendor}.{name}" for name in names}
    else:
        where = {name: env_variable(vendor, name) for name in names}
        said = {name: environment[variable] for name, variable in where.items() if environment.get(variable)}
    problems = [*_key_problems(said, names, where, delivery)]
    if problems:
        raise DeliveryError(*problems)
    keys = {name: values[0] for name, values in delivery.optional_keys.items()}
    keys |= {name: str(value) for name, value in said.items() if name != "host"}
    return Credentials(resolve_host(host or said.get("host"), delivery), keys)


def env_variable(vendor: str, key: str) -> str:
    """The name of the variable that holds a key.

    >>> env_variable("emas_v2", "access_key_id")
    'AUDIENCE_EMAS_V2_ACCESS_KEY_ID'
    """
    return f"AUDIENCE_{vendor}_{key}".upper()


def resolve_host(host: str | None, delivery: DeliverySpec) -> str:
    """The URL of a data centre by name, or of another place; plain HTTP goes to this machine alone."""
    if host is None:
        return next(iter(delivery.base_urls.values()))
    if "://" not in host:
        if host not in delivery.base_urls:
            hint = did_you_mean(host, delivery.base_urls) or f"one of {', '.join(delivery.base_urls)}, or a URL"
            raise DeliveryError(Problem("unknown-host", f"no data centre is called {host!r}", hint=hint))
        return delivery.base_urls[host]
    try:
        parts = urlsplit(host)
        plain = host.isascii() and host.isprintable() and not set(host) & set(" \\")
        good = plain and bool(parts.hostname) and not parts.username and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise DeliveryError(Problem("bad-host", "this is no URL of a host", hint="https://NAME, or https://NAME:PORT"))
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        hint = "https://…; http:// only to this machine, for a sandbox"
        raise DeliveryError(Problem("plain-http", f"{host}: keys would be readable on the way", hint=hint))
    return host.rstrip("/")


def redact_secrets(
    parse_reply: ReplyParser, request: Request, credentials: Credentials, delivery: DeliverySpec
) -> ReplyParser:
    """*read*, but of replies without the secrets of *to*, and without what the signed *request* showed of them.

    They are gone before anything is cut off or quoted, however the reply may write them.
    """
    secrets = {value for name, value in credentials.keys.items() if name in delivery.secret_keys}
    for value in (value for name, value in request.headers.items() if name.lower() in ("authorization", "sign")):
        secrets |= {value, value.rpartition(" ")[2]}
    secrets |= {value for name, value in request.query.items() if name.lower() == "signature"}
    written = {form for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for form in _encoded_forms(secret)}

    def parse_redacted(response: Response) -> VendorReply:
        content = response.content.decode("utf-8", "surrogateescape")
        hidden = _redact_text(content, written).encode("utf-8", "surrogateescape")
        return _redact_reply(parse_reply(replace(response, content=hidden)), secrets)

    return parse_redacted


def _encoded_forms(secret: str) -> Iterable[str]:
    """*secret* as it is, and as it stands in JSON, in a URL and on a page."""
    quoted = json.dumps(secret)[1:-1]
    return secret, quoted, quoted.replace("/", "\\/"), quote(secret, safe=""), quote_plus(secret), escape(secret)


def _redact_reply(reply: VendorReply, secrets: Iterable[str]) -> VendorReply:
    if isinstance(reply, Accepted):
        return replace(reply, message_id=_redact_text(reply.message_id, secrets))
    problem = reply.problem
    hint = None if problem.hint is None else _redact_text(problem.hint, secrets)
    return replace(reply, problem=replace(problem, message=_redact_text(problem.message, secrets), hint=hint))


def _redact_text(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text


def _key_problems(
    values: Mapping[str, Any], names: Iterable[str], sources: Mapping[str, str], delivery: DeliverySpec
) -> Iterable[Problem]:
    """What is missing, unknown or of the wrong kind; values are never shown."""
    for name in values:
        if name not in sources:
            hint = did_you_mean(name, list(names)) or f"one of {', '.join(names)}"
            yield Problem("unknown-key", f"{name!r} is no key of this vendor", hint=hint)
    for name in delivery.required_keys:
        if not values.get(name):
            hint = f"set {sources[name]}, or give --credentials FILE"
            yield Problem("missing-key", f"{sources[name]} is not given", hint=hint)
    for name, value in values.items():
        if name in sources and not _is_valid_key(value):
            yield Problem("bad-key", f"{sources[name]} is no key: it is no text of printable ASCII characters")
        elif name in delivery.optional_keys and str(value) not in delivery.optional_keys[name]:
            choices = ", ".join(delivery.optional_keys[name])
            yield Problem("bad-key", f"{sources[name]} is none of {choices}")


def _is_valid_key(value: Any) -> bool:
    """Whether *value* is a text, or a number written without quotes; true is neither."""
    if isinstance(value, str):
        return value.isprintable() and value.isascii() and value == value.strip()
    return type(value) is int and 0 <= value < MAX_NUMERIC_KEY


def _load_vendor_tables(file: Path) -> dict[str, dict[str, Any]]:
    """The tables of *file*, by vendor; DeliveryError where others could read it too."""
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode) or mode & 0o077:
                message = f"{file} can be read by others: its mode is {stat.S_IMODE(mode):o}"
                raise DeliveryError(Problem("open-credentials", message, hint=f"chmod 600 {file}"))
            tables = tomllib.load(stream)
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}")) from error
    except (ValueError, RecursionError):  # too many digits, or brackets, are told otherwise than by TOMLDecodeError
        hint = '[VENDOR], and below it lines of NAME = "VALUE"'
        raise DeliveryError(Problem("bad-credentials", f"{file} is no TOML", hint=hint)) from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise DeliveryError(Problem("bad-credentials", f"{file}: {name} stands below no vendor", hint="[VENDOR]"))
    return tables
