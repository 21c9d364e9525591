"""Object stores, opened with the endpoint, the region and the credentials of the environment.

The only module that imports obstore.
"""

import os
import re
from collections.abc import Mapping
from configparser import ConfigParser, Error
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from audience.errors import InvalidIndexError, Problem

EXTRA_HINT = "pip install 'audience[cloud]'"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
KEY_VARIABLES = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
TRUE_WORDS = ("1", "true", "yes", "on")
CREDENTIALS_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def open_store(
    scheme: str, bucket: str, retries: Mapping[str, Any], timeouts: Mapping[str, timedelta] | None = None
) -> Any:
    """Return the bucket of an object store. Raises ImportError if obstore is not installed."""
    from obstore import store

    options: dict[str, Any] = {"retry_config": dict(retries)}
    if client_options := {**(timeouts or {}), **({"allow_http": True} if is_http_allowed() else {})}:
        options["client_options"] = client_options
    match scheme:
        case "s3":
            options |= {**find_s3_address(bucket, os.environ), **read_aws_profile()}
            return store.S3Store(bucket, **options)
        case "gs":
            return store.GCSStore(bucket, **options)
    return store.AzureStore(bucket, **options)


def load_exceptions() -> Any:
    """Return the module of obstore's exceptions. Raises ImportError if obstore is not installed."""
    from obstore import exceptions

    return exceptions


def is_http_allowed() -> bool:
    """Return whether an endpoint without TLS is meant."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in TRUE_WORDS


def find_s3_address(bucket: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the endpoint of *bucket*, if it is not Amazon's; OSS and COS want the bucket in the name of the host.

    >>> find_s3_address("devices", {"AWS_ENDPOINT_URL": "https://oss-cn-hangzhou.aliyuncs.com",
    ...                             "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"})
    {'virtual_hosted_style_request': True, 'endpoint': 'https://devices.oss-cn-hangzhou.aliyuncs.com'}
    """
    for name in ENDPOINT_VARIABLES:
        _require_endpoint(name, environment.get(name))
    endpoint = (environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or "").rstrip("/")
    if environment.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() not in TRUE_WORDS:
        return {"endpoint": endpoint} if endpoint else {}
    if not endpoint:
        return {"virtual_hosted_style_request": True}
    address = urlsplit(endpoint)
    host = address.netloc if address.netloc.startswith(f"{bucket}.") else f"{bucket}.{address.netloc}"
    return {"virtual_hosted_style_request": True, "endpoint": address._replace(netloc=host).geturl()}


def _require_endpoint(name: str, value: str | None) -> None:
    """Raise InvalidIndexError for a variable that is set, but to no address: the client would panic over it."""
    if value is not None and not re.fullmatch(r"https?://[^/\s]+\S*", value):
        message = f"{name} is not the address of a store"
        raise InvalidIndexError(Problem("bad-url", message, hint=f"write {name}=https://HOST, or unset it"))


def read_aws_profile() -> dict[str, str]:
    """Return the keys of the profile in the files of the AWS command line, unless the environment has keys.

    Raises:
        InvalidIndexError: One key of a pair is given, and the other is not.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        _require_both_keys(os.environ, KEY_VARIABLES, "the environment")
        return {}
    profile = os.environ.get("AWS_PROFILE") or "default"
    home = Path.home() / ".aws"
    keys = _read_section(Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"), profile)
    section = profile if profile == "default" else f"profile {profile}"
    config = _read_section(Path(os.environ.get("AWS_CONFIG_FILE") or home / "config"), section)
    values = {name: value for name, value in (config | keys).items() if value}
    pair = "aws_access_key_id", "aws_secret_access_key"
    _require_both_keys(values, pair, f"the profile {profile!r} of AWS")
    if pair[0] not in values:
        _require_both_keys(os.environ, KEY_VARIABLES, "the environment")
    names = (*pair, "aws_session_token")
    found = {name.removeprefix("aws_"): values[name] for name in names if name in values}
    is_placed = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return found | ({"region": config["region"]} if "region" in config and not is_placed else {})


def _require_both_keys(values: Mapping[str, str], pair: tuple[str, str], place: str) -> None:
    """Raise InvalidIndexError if *values* have one key of a *pair* alone: the client would not say which is missing.

    >>> _require_both_keys({"AWS_ACCESS_KEY_ID": "AKIA"}, KEY_VARIABLES, "this")
    Traceback (most recent call last):
    audience.errors.InvalidIndexError: bad-credentials: this has AWS_ACCESS_KEY_ID without AWS_SECRET_ACCESS_KEY
       = hint: set AWS_SECRET_ACCESS_KEY too, or unset AWS_ACCESS_KEY_ID and name a profile by AWS_PROFILE
    """
    missing = [name for name in pair if not values.get(name)]
    if len(missing) != 1 or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in TRUE_WORDS:
        return
    [given] = set(pair) - set(missing)
    message = f"{place} has {given} without {missing[0]}"
    other = f"unset {given} and name a profile by AWS_PROFILE" if pair == KEY_VARIABLES else "set both variables"
    raise InvalidIndexError(Problem("bad-credentials", message, hint=f"set {missing[0]} too, or {other}"))


def _read_section(file: Path, section: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, "utf-8")
    except (Error, OSError, UnicodeError):
        return {}
    return dict(parser[section]) if section in parser else {}
