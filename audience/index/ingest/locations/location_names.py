"""Names of places where tables are: paths and URLs, without what is secret in them."""

import re
from urllib.parse import unquote

from audience.errors import Problem, TableError
from audience.language.suggest import did_you_mean

OBJECT_SCHEMES = ("s3", "gs", "az")
WEB_SCHEMES = ("http", "https")
DATABASE_SCHEMES = ("postgresql", "postgres", "sqlite", "snowflake", "grpc", "grpc+tls")
SCHEMES = (*OBJECT_SCHEMES, *WEB_SCHEMES, *DATABASE_SCHEMES)
TABLE_SCHEMES = ("delta", "iceberg")  # before a path, a URL, or a table of a catalog
REDACTED = "***"
SECRET_PARAMETERS = ("password", "passwd", "sslpassword", "token", "secret", "key")


def find_scheme(text: str) -> str | None:
    """Return the scheme of a URL; None for a path.

    Raises:
        TableError: It is a URL whose scheme is unknown.

    >>> find_scheme("s3://devices/part-0.parquet"), find_scheme("C:/devices.csv")
    ('s3', None)
    """
    matched = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if matched is None:
        return None
    scheme = matched[1].lower()
    if scheme not in SCHEMES:
        hint = did_you_mean(scheme, SCHEMES) or f"URLs begin with {', '.join(f'{each}://' for each in SCHEMES)}"
        raise TableError(Problem("unknown-scheme", f"{redact_url(text)}: unknown scheme {scheme!r}", hint=hint))
    return scheme


def redact_url(url: str) -> str:
    """Return *url* without its password, and without a query of a web address, which may be a signature.

    >>> redact_url("postgresql://me:hidden@host/devices?password=hidden")
    'postgresql://me:***@host/devices?password=***'
    >>> redact_url("https://host/devices.csv?signature=hidden")
    'https://host/devices.csv'
    """
    scheme = url.partition("://")[0].lower()
    if scheme in WEB_SCHEMES:
        url = url.partition("?")[0].partition("#")[0]
    for secret in sorted(find_secrets(url), key=len, reverse=True):
        url = url.replace(f":{secret}@", f":{REDACTED}@").replace(f"={secret}", f"={REDACTED}")
    return url


def find_secrets(url: str) -> set[str]:
    """Return the passwords in *url*, as they are written there and as they are meant."""
    authority = url.partition("://")[2].partition("?")[0]
    user, at, _ = authority.rpartition("@")
    secrets = {user.partition(":")[2]} if at else set[str]()
    query = url.partition("?")[2].partition("#")[0]
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if any(word in name.lower() for word in SECRET_PARAMETERS):
            secrets.add(value)
    return {form for secret in secrets for form in (secret, unquote(secret)) if form}


def redact_text(text: str, url: str) -> str:
    """Return *text*, such as an error of a driver, without the secrets of *url*."""
    text = text.replace(url, redact_url(url))
    for secret in sorted(find_secrets(url), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text
