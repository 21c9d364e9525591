"""Files of a table in an object store: listed, and copied to this machine.

A copy has the bytes of one moment, also if the object is replaced while the table is read, and a table of any format is
read as one of this machine.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser, Error
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from audience.errors import Problem, TableError
from audience.index.ingest.locations.partitions import read_partitions
from audience.index.ingest.locations.source_files import SUFFIX_HINT, SourceFile, detect_format, is_visible
from audience.progress import Progress

EXTRA_HINT = "pip install 'audience[cloud]'"
COPYING_THREADS = 8
CHUNK_BYTES = 1 << 20
RETRIES = {"max_retries": 3}
TRUE_WORDS = ("1", "true", "yes", "on")
STATUS_PATTERN = re.compile(r"status code: (\d{3})")
METADATA_SERVICE_PATTERN = re.compile(r"169\.254\.169\.254|metadata\.google|/msi/token")
CREDENTIALS_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


def copy_object_files(url: str, folder: Path, progress: Progress) -> list[SourceFile]:
    """Copy the object at *url*, the visible objects below it, or the matches of a glob to *folder*.

    Args:
        url: URL of an object store, as s3://bucket/devices/*.parquet.
        folder: Folder for the copies.
        progress: Progress callback.

    Raises:
        TableError: There is none, the store refuses, or it cannot be reached.
    """
    scheme, bucket, key = _split_url(url)
    with _wrap_errors(url):
        store = _open_store(scheme, bucket)
        found, root = _list_keys(store, key)
    if not found:
        raise TableError(Problem("no-file", f"there is no table at {url}", hint=SUFFIX_HINT))
    base = f"{scheme}://{bucket}"
    for name in found:
        detect_format(name)  # before anything is copied
    endings = ["".join(PurePosixPath(name).suffixes[-2:]) for name in found]
    paths = [folder / f"{number:08}{ending}" for number, ending in enumerate(endings)]
    _copy_all(store, base, found, paths, progress)
    return [
        SourceFile(path, f"{base}/{name}", _partitions_below(root, name))
        for path, name in zip(paths, found, strict=True)
    ]


def storage_options(url: str) -> dict[str, str]:
    """Return the options by which other readers of object stores read *url*, besides what they find themselves."""
    if not url.startswith("s3://"):
        return {}
    address = _find_s3_address(urlsplit(url).netloc)
    names = {"endpoint": "aws_endpoint_url", "access_key_id": "aws_access_key_id", "region": "aws_region"}
    names |= {"secret_access_key": "aws_secret_access_key", "session_token": "aws_session_token"}
    options = {names[name]: str(value) for name, value in (address | _read_aws_profile()).items() if name in names}
    return options | ({"aws_allow_http": "true"} if _is_http_allowed() else {})


def _split_url(url: str) -> tuple[str, str, str]:
    """Return the scheme, the bucket and the key of *url*. Raises TableError if it has no bucket, or credentials."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket:
        found = "credentials in the URL" if bucket else "no bucket"
        message = f"{scheme}://{bucket.rpartition('@')[2]}/{key}: expected a bucket and a key, found {found}"
        hint = f"write {scheme.lower()}://BUCKET/KEY; {CREDENTIALS_HINTS[scheme.lower()]}"
        raise TableError(Problem("bad-url", message, hint=hint))
    return scheme.lower(), bucket, key


def _list_keys(store: Any, key: str) -> tuple[list[str], str]:
    """Return the keys of the objects that *key* names, sorted, and the folder below which Hive folders count."""
    if "*" in key or "?" in key:
        root = key[: re.search(r"[*?]", key).start()].rpartition("/")[0]  # type: ignore[union-attr] # there is one
        pattern = _glob_pattern(key)
        return sorted(each for each in _iter_keys(store, root) if pattern.fullmatch(each)), root
    if key and not key.endswith("/") and _exists(store, key):
        return [key], key.rpartition("/")[0]
    root = key.strip("/")
    below = [(each, PurePosixPath(each).relative_to(root).parts) for each in _iter_keys(store, root)]
    if any(parts[0] == "_delta_log" for _, parts in below):
        hint = "write delta: before the URL"
        raise TableError(Problem("unknown-format", f"{root} is a table of Delta, not a folder of files", hint=hint))
    visible = [(each, parts) for each, parts in below if is_visible(parts)]
    for each, parts in visible:
        if len(parts) > 1 and "=" not in parts[0]:
            folder = f"{root}/{parts[0]}".lstrip("/")
            message = f"{each}: {folder} is neither a file nor a folder of Hive, COLUMN=VALUE"
            raise TableError(Problem("unknown-format", message, hint=f"name it, or use a glob: {root}/**/*.parquet"))
    return sorted(each for each, _ in visible), root


def _iter_keys(store: Any, folder: str) -> Iterator[str]:
    for batch in store.list(folder or None):
        yield from (each["path"] for each in batch if not each["path"].endswith("/"))


def _exists(store: Any, key: str) -> bool:
    try:
        store.head(key)
    except FileNotFoundError:
        return False
    return True


def _glob_pattern(key: str) -> re.Pattern[str]:
    """Return the pattern of a glob: `*` and `?` stay within a folder, `**/` is any number of them.

    >>> pattern = _glob_pattern("devices/**/*.parquet")
    >>> [bool(pattern.fullmatch(key)) for key in ("devices/a.parquet", "devices/x/y/a.parquet", "devices/a.csv")]
    [True, True, False]
    """
    translations = {"**/": r"(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", key)
    return re.compile("".join(translations.get(part) or re.escape(part) for part in parts))


def _partitions_below(root: str, key: str) -> dict[str, str | None]:
    folders = PurePosixPath(key).relative_to(root).parts[:-1] if root else PurePosixPath(key).parts[:-1]
    return read_partitions(folders, key)


def _copy_all(store: Any, base: str, keys: Sequence[str], paths: Sequence[Path], progress: Progress) -> None:
    def copy(key: str, path: Path) -> None:
        with _wrap_errors(f"{base}/{key}"), path.open("wb") as file:
            for chunk in store.get(key).stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)

    with ThreadPoolExecutor(COPYING_THREADS) as executor:
        copies = [executor.submit(copy, key, path) for key, path in zip(keys, paths, strict=True)]
        try:
            for number, each in enumerate(copies):
                progress("fetching files", number, len(copies))
                each.result()
        finally:
            for each in copies:
                each.cancel()


def _open_store(scheme: str, bucket: str) -> Any:
    try:
        from obstore import store
    except ImportError:
        problem = Problem("no-extra", f"{scheme}:// needs the package obstore", hint=EXTRA_HINT)
        raise TableError(problem) from None
    options: dict[str, Any] = {"retry_config": RETRIES}
    if _is_http_allowed():
        options["client_options"] = {"allow_http": True}
    match scheme:
        case "s3":
            options |= {**_find_s3_address(bucket), **_read_aws_profile()}
            return store.S3Store(bucket, **options)
        case "gs":
            return store.GCSStore(bucket, **options)
    return store.AzureStore(bucket, **options)


def _is_http_allowed() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in TRUE_WORDS


def _find_s3_address(bucket: str) -> dict[str, Any]:
    """Return the endpoint of *bucket*, if it is not Amazon's; OSS and COS want the bucket in the name of the host."""
    endpoint = (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")
    if os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() not in TRUE_WORDS:
        return {"endpoint": endpoint} if endpoint else {}
    if not endpoint:
        return {"virtual_hosted_style_request": True}
    address = urlsplit(endpoint)
    host = address.netloc if address.netloc.startswith(f"{bucket}.") else f"{bucket}.{address.netloc}"
    return {"virtual_hosted_style_request": True, "endpoint": address._replace(netloc=host).geturl()}


def _read_aws_profile() -> dict[str, str]:
    """Return the keys of the profile in the files of the AWS command line, unless the environment has keys."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    profile = os.environ.get("AWS_PROFILE") or "default"
    home = Path.home() / ".aws"
    keys = _read_section(Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"), profile)
    section = profile if profile == "default" else f"profile {profile}"
    config = _read_section(Path(os.environ.get("AWS_CONFIG_FILE") or home / "config"), section)
    names = {"access_key_id": "aws_access_key_id", "secret_access_key": "aws_secret_access_key"}
    names |= {"session_token": "aws_session_token"}
    found = {name: (config | keys)[key] for name, key in names.items() if key in config | keys}
    is_placed = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return found | ({"region": config["region"]} if "region" in config and not is_placed else {})


def _read_section(file: Path, section: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(file, "utf-8")
    except (Error, OSError, UnicodeError):
        return {}
    return dict(parser[section]) if section in parser else {}


@contextmanager
def _wrap_errors(url: str) -> Iterator[None]:
    """Raise TableError in words for errors of the store, which may repeat what is secret."""
    try:
        yield
    except TableError:
        raise
    except FileNotFoundError as error:
        raise _describe_error(url, str(error), "no-file") from None
    except PermissionError as error:
        raise _describe_error(url, str(error), "cannot-fetch") from None
    except OSError as error:  # of the copy on this machine
        raise TableError(Problem("unreadable", f"{url} cannot be copied: {error.strerror or error}")) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "obstore":
            raise
        raise _describe_error(url, str(error), "cannot-fetch") from None


def _describe_error(url: str, text: str, code: str) -> TableError:
    scheme, bucket = url.partition("://")[0], url.partition("://")[2].partition("/")[0]
    status = STATUS_PATTERN.search(text)
    hint = CREDENTIALS_HINTS[scheme.lower()]
    if "NoSuchBucket" in text or "ContainerNotFound" in text or "bucket does not exist" in text:
        return TableError(
            Problem("no-file", f"{url}: there is no bucket {bucket!r}", hint="check the name of the bucket")
        )
    if code == "no-file":
        return TableError(Problem("no-file", f"there is no table at {url}", hint=SUFFIX_HINT))
    if METADATA_SERVICE_PATTERN.search(text):
        return TableError(Problem("cannot-fetch", f"{url}: no credentials were found", hint=hint))
    if status and status[1] in ("400", "401", "403"):
        message = f"{url}: the store refuses access (HTTP {status[1]})"
        return TableError(Problem("cannot-fetch", message, hint=f"check the credentials: {hint}"))
    if "BadScheme" in text or "scheme is not allowed" in text:
        message = f"{url}: the endpoint is not https"
        return TableError(Problem("cannot-fetch", message, hint="set AWS_ALLOW_HTTP=true if that is meant"))
    reason = f"the store answers HTTP {status[1]}" if status else "the store cannot be reached, or broke off"
    hint = "check the network and the endpoint, AWS_ENDPOINT_URL for s3://, and try again"
    return TableError(Problem("cannot-fetch", f"{url}: {reason}", hint=hint))
