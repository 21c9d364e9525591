"""URLs of object stores.

Only the shape of a URL is known here: the bucket and the key. Credentials never stand in a URL.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from audience.errors import InvalidIndexError, Problem

SCHEMES = ("s3", "gs", "az")
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/{0,2}(?P<rest>[^/].*|)", re.DOTALL)
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SHOWN_URL = "s3://BUCKET/devices.index"
_S3_COMPATIBLE = ("oss", "cos", "cosn", "s3a", "s3n", "r2", "minio")
_OTHER_NAMES = {"gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az", "adl": "az"}


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """Place in an object store: `scheme://bucket/key`; the key has no slash at its ends."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_url(location: str | Path) -> bool:
    """Return whether *location* is a URL, also one that became a `Path`, which writes `s3:/bucket/key`.

    A file or folder of that name on this machine is not one.

    >>> is_url("s3://bucket/devices.index"), is_url(Path("s3://bucket/devices.index")), is_url("devices.index")
    (True, True, False)
    """
    text = str(location)
    is_named = text.removesuffix(":") in SCHEMES  # `Path("s3://")`
    return (_IS_URL.match(text) is not None or (text.endswith(":") and is_named)) and (
        "://" in text or not Path(location).exists()
    )


def parse_object_url(location: str | Path) -> ObjectUrl:
    """Return the place of an index in an object store.

    Raises:
        InvalidIndexError: *location* is no URL of a store that is known, or has no bucket or no key.

    >>> parse_object_url("s3://bucket/devices.index/")
    ObjectUrl(scheme='s3', bucket='bucket', key='devices.index')
    """
    match = _URL.fullmatch(str(location))
    scheme, rest = (match["scheme"].lower(), match["rest"]) if match else ("", "")
    if scheme not in SCHEMES:
        raise InvalidIndexError(Problem("bad-url", f"{scheme}:// is not an object store", hint=_name_scheme(scheme)))
    bucket, _, key = rest.partition("/")
    shown = f"{scheme}://{bucket.rpartition('@')[2]}/{key.partition('?')[0]}"  # what may be a secret is not repeated
    if "@" in bucket or "?" in key or "#" in key:
        message = f"{shown}: expected a bucket and a key, found credentials or options in the URL"
        hint = f"write {_SHOWN_URL}; credentials and the endpoint come from the environment"
        raise InvalidIndexError(Problem("bad-url", message, hint=hint))
    parts = key.rstrip("/").split("/")
    if not bucket or not all(part.strip() not in ("", ".", "..") for part in parts):
        message = f"{shown}: expected a bucket and a key, found {'no bucket' if not bucket else f'the key {key!r}'}"
        raise InvalidIndexError(Problem("bad-url", message, hint=f"write {_SHOWN_URL}"))
    return ObjectUrl(scheme, bucket, "/".join(parts))


def absolute_location(location: str | Path) -> str:
    """Return the absolute path of a folder, or the URL of an index as it is written in full.

    >>> absolute_location(Path("s3://bucket/devices.index"))
    's3://bucket/devices.index'
    """
    return str(parse_object_url(location)) if is_url(location) else str(Path(location).absolute())


def _name_scheme(scheme: str) -> str:
    if scheme in _S3_COMPATIBLE:
        return f"write {_SHOWN_URL}, and set AWS_ENDPOINT_URL to the address of the store"
    if scheme in _OTHER_NAMES:
        return f"write {_OTHER_NAMES[scheme]}://BUCKET/devices.index"
    return f"write {_SHOWN_URL}, gs://… or az://…, or the path of a folder"
