"""Credentials of vendor applications, read from environment variables or a private TOML file, never from arguments.

    [tpns]                           a vendor
    access_id = "1500000001"
    secret_key = "…"
    host = "shanghai"                name of a data centre, or a URL

A vendor that gives its keys in a file, such as the service account of Google, takes the path of that file instead.
If the file has a table for a vendor, the environment variables of that vendor, such as AUDIENCE_TPNS_ACCESS_ID, are
ignored. Error messages never contain values.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audience._fs.private_files import NotPrivateError, read_private_file
from audience.delivery.transport.http import is_loopback
from audience.errors import DeliveryError, Problem
from audience.language.suggest import did_you_mean
from audience.vendors.delivery_spec import Credentials, DeliverySpec

MAX_NUMERIC_KEY = 10**18  # exclusive; a key may be written as a number without quotes
CREDENTIALS_VARIABLE = "AUDIENCE_CREDENTIALS"


def load_credentials(
    vendor: str,
    delivery: DeliverySpec,
    *,
    host: str | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Credentials:
    """Load the credentials for *vendor* from a file or the environment.

    Args:
        vendor: Name of the vendor.
        delivery: Its delivery spec, which names the keys.
        host: Name of a data centre, or a URL; overrides the configured host.
        file: TOML file; by default the one that AUDIENCE_CREDENTIALS names.
        environment: Environment variables.

    Raises:
        DeliveryError: If a key is missing, unknown or malformed, or the file is not a private one of this user.
    """
    if file is None and environment.get(CREDENTIALS_VARIABLE):
        file = Path(environment[CREDENTIALS_VARIABLE])
    tables = {} if file is None else _load_vendor_tables(file)
    key_file = (delivery.key_file,) if delivery.key_file else ()
    names = (*delivery.required_keys, *key_file, *delivery.optional_keys, "host")
    if vendor in tables:
        values, sources = tables[vendor], {name: f"{file}: {vendor}.{name}" for name in names}
    else:
        sources = {name: env_variable(vendor, name) for name in names}
        values = {name: environment[variable] for name, variable in sources.items() if environment.get(variable)}
    from_file = _read_key_file(values, sources, delivery)
    problems = [*_key_problems(values, from_file, names, sources, delivery)]
    if problems:
        raise DeliveryError(*problems)
    keys = {name: choices[0] for name, choices in delivery.optional_keys.items()} | from_file
    keys |= {name: str(value) for name, value in values.items() if name not in ("host", *key_file)}
    if problems := [*delivery.check_keys(keys)]:
        raise DeliveryError(*problems)
    return Credentials(resolve_host(host or values.get("host"), delivery), keys)


def _read_key_file(values: Mapping[str, Any], sources: Mapping[str, str], delivery: DeliverySpec) -> dict[str, str]:
    """Return the required keys of the file that *values* name, without those that are given beside it."""
    if not delivery.key_file or not values.get(delivery.key_file):
        return {}
    path = Path(str(values[delivery.key_file]))
    try:
        path = path.expanduser()
        found = json.loads(read_private_file(path))
    except NotPrivateError as error:
        raise DeliveryError(Problem("open-credentials", error.message, hint=error.hint)) from None
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{path}: {error.strerror or error}")) from error
    except (ValueError, RuntimeError):  # it may quote a secret; the second is of a home folder or too many brackets
        found = None
    if not isinstance(found, dict):
        hint = f"{sources[delivery.key_file]} names a file with the keys {', '.join(delivery.required_keys)}"
        raise DeliveryError(Problem("bad-credentials", f"{path}: expected an object in JSON", hint=hint)) from None
    names = [name for name in delivery.required_keys if isinstance(found.get(name), str) and not values.get(name)]
    keys = {name: found[name] for name in names}
    if problems := [*_file_problems(path, keys, delivery)]:
        raise DeliveryError(*problems)
    return keys


def _file_problems(path: Path, keys: Mapping[str, str], delivery: DeliverySpec) -> Iterator[Problem]:
    """Yield a problem for each key of a file that no request can carry; a secret, such as a key in PEM, has lines."""
    for name, value in keys.items():
        lines = value.replace("\r\n", "\n").split("\n") if name in delivery.secret_keys else [value]
        if not all(line.isprintable() and line.isascii() for line in lines):
            yield Problem("bad-key", f"{path}: {name}: expected printable ASCII characters")


def env_variable(vendor: str, key: str) -> str:
    """Return the name of the environment variable for a key.

    >>> env_variable("emas_v2", "access_key_id")
    'AUDIENCE_EMAS_V2_ACCESS_KEY_ID'
    """
    return f"AUDIENCE_{vendor}_{key}".upper()


def resolve_host(host: str | None, delivery: DeliverySpec) -> str:
    """Return the base URL for *host*: the name of a data centre, a URL, or None for the default.

    Raises DeliveryError for an unknown name, a malformed URL, plain HTTP to another machine, or None without a default.
    """
    if host is None and not delivery.has_default_host:
        hint = f"write --host NAME or `host` beside the keys: one of {', '.join(delivery.base_urls)}, or a URL"
        raise DeliveryError(Problem("missing-key", "no data centre is named, and none is the default", hint=hint))
    if host is None:
        return next(iter(delivery.base_urls.values()))
    if "://" not in host:
        if host not in delivery.base_urls:
            hint = did_you_mean(host, delivery.base_urls) or f"use one of {', '.join(delivery.base_urls)}, or a URL"
            raise DeliveryError(Problem("unknown-host", f"unknown data centre {host!r}", hint=hint))
        return delivery.base_urls[host]
    if not _is_base_url(host):
        hint = "use https://NAME or https://NAME:PORT"
        raise DeliveryError(Problem("bad-host", "the host is not a valid URL", hint=hint))
    if urlsplit(host).scheme != "https" and not (urlsplit(host).scheme == "http" and is_loopback(host)):
        hint = "use https://; http:// is allowed only for this machine, such as a sandbox"
        raise DeliveryError(Problem("plain-http", f"{host}: keys would be sent unencrypted", hint=hint))
    return host.rstrip("/")


def _is_base_url(url: str) -> bool:
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\"):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is not a number
    except ValueError:
        return False
    return bool(parts.hostname) and not (parts.username or parts.query or parts.fragment)


def _key_problems(
    values: Mapping[str, Any],
    from_file: Mapping[str, str],
    names: Iterable[str],
    sources: Mapping[str, str],
    delivery: DeliverySpec,
) -> Iterable[Problem]:
    """Yield a problem for each key that is unknown, missing or malformed, without its value."""
    for name in values:
        if name not in sources:
            hint = did_you_mean(name, list(names)) or f"use one of {', '.join(names)}"
            yield Problem("unknown-key", f"unknown key {name!r}", hint=hint)
    for name in delivery.required_keys:
        if not values.get(name) and not from_file.get(name):
            hint = f"set {sources[delivery.key_file or name]}, or pass --credentials FILE"
            yield Problem("missing-key", f"{sources[name]} is not set", hint=hint)
    for name, value in values.items():
        if name in sources and not _is_valid_key(value):
            message = f"{sources[name]}: expected printable ASCII characters without blanks around them"
            yield Problem("bad-key", message)
        elif name in delivery.optional_keys and str(value) not in delivery.optional_keys[name]:
            choices = ", ".join(delivery.optional_keys[name])
            yield Problem("bad-key", f"{sources[name]}: expected one of {choices}")


def _is_valid_key(value: Any) -> bool:
    """Return whether *value* is a valid string, or a whole number; a boolean is neither."""
    if isinstance(value, str):
        return value.isprintable() and value.isascii() and value == value.strip()
    return type(value) is int and 0 <= value < MAX_NUMERIC_KEY


def _load_vendor_tables(file: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of *file* by vendor; raise DeliveryError if it is not a private file of this user."""
    try:
        tables = tomllib.loads(read_private_file(file).decode())
    except NotPrivateError as error:
        raise DeliveryError(Problem("open-credentials", error.message, hint=error.hint)) from None
    except OSError as error:
        raise DeliveryError(Problem("unreadable", f"{file}: {error.strerror or error}")) from error
    except (ValueError, RecursionError):  # TOMLDecodeError, or too many digits or brackets; it may quote a secret
        hint = 'write a [VENDOR] header, followed by lines of the form NAME = "VALUE"'
        raise DeliveryError(Problem("bad-credentials", f"{file}: invalid TOML", hint=hint)) from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            message = f"{file}: key {name!r} is outside a vendor section"
            raise DeliveryError(Problem("bad-credentials", message, hint="add a header such as [tpns] above it"))
    return tables
