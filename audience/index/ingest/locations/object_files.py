"""Files of a table in an object store: listed, and copied to this machine.

A copy has the bytes of one moment, also if the object is replaced while the table is read, and a table of any format is
read as one of this machine.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from audience._fs.object_stores import (
    CREDENTIALS_HINTS,
    EXTRA_HINT,
    find_s3_address,
    is_http_allowed,
    open_store,
    read_aws_profile,
)
from audience.errors import Problem, TableError
from audience.index.ingest.locations.partitions import read_partitions
from audience.index.ingest.locations.source_files import SUFFIX_HINT, SourceFile, detect_format, is_visible
from audience.index.ingest.locations.stamps import ObjectStamp
from audience.progress import Progress

COPYING_THREADS = 8
CHUNK_BYTES = 1 << 20
RETRIES = {"max_retries": 3}
STATUS_PATTERN = re.compile(r"status code: (\d{3})")
UNREADABLE_KEY_PATTERN = re.compile(r"//|/\.{1,2}(?:/|$)|[\x00-\x1f\x7f]")  # the client would take another key, or fail
METADATA_SERVICE_PATTERN = re.compile(r"169\.254\.169\.254|metadata\.google|/msi/token")


def list_object_stamps(url: str) -> list[ObjectStamp]:
    """Return the states of the objects that `copy_object_files` would copy.

    Raises:
        TableError: There is none, the store refuses, or it cannot be reached.
    """
    scheme, bucket, key = _split_url(url)
    with _wrap_errors(url):
        found, _ = _find_objects(_open_store(scheme, bucket), f"{scheme}://{bucket}", key)
    if not found:
        raise _no_table_error(url)
    return [
        ObjectStamp(f"{scheme}://{bucket}/{each['path']}", each["size"], str(each["last_modified"]), each["e_tag"])
        for each in found
    ]


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
    base = f"{scheme}://{bucket}"
    with _wrap_errors(url):
        store = _open_store(scheme, bucket)
        objects, root = _find_objects(store, base, key)
    if not objects:
        raise _no_table_error(url)
    found = [each["path"] for each in objects]
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
    address = find_s3_address(urlsplit(url).netloc, os.environ)
    names = {"endpoint": "aws_endpoint_url", "access_key_id": "aws_access_key_id", "region": "aws_region"}
    names |= {"secret_access_key": "aws_secret_access_key", "session_token": "aws_session_token"}
    options = {names[name]: str(value) for name, value in (address | read_aws_profile()).items() if name in names}
    return options | ({"aws_allow_http": "true"} if is_http_allowed() else {})


def _split_url(url: str) -> tuple[str, str, str]:
    """Return the scheme, the bucket and the key of *url*. Raises TableError if it has no bucket, or credentials."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or "@" in bucket:
        found = "credentials in the URL" if bucket else "no bucket"
        message = f"{scheme}://{bucket.rpartition('@')[2]}/{key}: expected a bucket and a key, found {found}"
        hint = f"write {scheme.lower()}://BUCKET/KEY; {CREDENTIALS_HINTS[scheme.lower()]}"
        raise TableError(Problem("bad-url", message, hint=hint))
    if key and UNREADABLE_KEY_PATTERN.search(f"/{key}"):
        message = f"{url!r}: a key with an empty part, the part . or .., or a control character cannot be read"
        raise TableError(Problem("bad-url", message, hint="copy the object to another key"))
    return scheme.lower(), bucket, key


def _no_table_error(url: str) -> TableError:
    return TableError(Problem("no-file", f"there is no table at {url}", hint=SUFFIX_HINT))


def _find_objects(store: Any, base: str, key: str) -> tuple[list[Any], str]:
    """Return the objects that *key* names, sorted by their keys, and the folder below which Hive folders count."""
    if "*" in key or "?" in key:
        root = key[: re.search(r"[*?]", key).start()].rpartition("/")[0]  # type: ignore[union-attr] # there is one
        pattern = _glob_pattern(key)
        return _sort(each for each in _list_objects(store, root) if pattern.fullmatch(each["path"])), root
    if key and not key.endswith("/") and (found := _find_object(store, key)):
        return [found], key.rpartition("/")[0]
    root = key.strip("/")
    below = [(each, PurePosixPath(each["path"]).relative_to(root).parts) for each in _list_objects(store, root)]
    place = f"{base}/{root}".rstrip("/")
    if any(parts[0] == "_delta_log" for _, parts in below):
        hint = "write delta: before the URL"
        raise TableError(Problem("unknown-format", f"{place} is a table of Delta, not a folder of files", hint=hint))
    visible = [(each, parts) for each, parts in below if is_visible(parts)]
    for each, parts in visible:
        if len(parts) > 1 and "=" not in parts[0]:
            message = f"{base}/{each['path']}: {place}/{parts[0]} is neither a file nor a folder of Hive, COLUMN=VALUE"
            hint = f"name it, or use a glob: {place}/**/*.parquet"
            raise TableError(Problem("unknown-format", message, hint=hint))
    return _sort(each for each, _ in visible), root


def _list_objects(store: Any, folder: str) -> list[Any]:
    """Return the objects below *folder*, without empty ones that only stand for folders."""
    found = [each for batch in store.list(folder or None) for each in batch]
    folders = {str(parent) for each in found for parent in PurePosixPath(each["path"]).parents} | {folder.strip("/")}
    return [each for each in found if each["size"] or not (each["path"] in folders or _has_no_format(each["path"]))]


def _has_no_format(name: str) -> bool:
    try:
        detect_format(name)
    except TableError:
        return True
    return False


def _sort(objects: Iterable[Any]) -> list[Any]:
    return sorted(objects, key=lambda each: str(each["path"]))


def _find_object(store: Any, key: str) -> Any:
    """Return what the store says of the object *key*; None if there is none."""
    try:
        return store.head(key)
    except FileNotFoundError:
        return None


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
        return open_store(scheme, bucket, RETRIES)
    except ImportError:
        problem = Problem("no-extra", f"{scheme}:// needs the package obstore", hint=EXTRA_HINT)
        raise TableError(problem) from None


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
        return _no_table_error(url)
    if METADATA_SERVICE_PATTERN.search(text):
        return TableError(Problem("cannot-fetch", f"{url}: no credentials were found", hint=hint))
    if status and status[1] in ("400", "401", "403"):
        message = f"{url}: the store refuses access (HTTP {status[1]})"
        return TableError(Problem("cannot-fetch", message, hint=f"check the credentials: {hint}"))
    if "path segment" in text:
        message = f"{url}: an object there has a key with an empty part, the part . or .., or a control character"
        return TableError(Problem("cannot-fetch", message, hint="name the other objects, or a folder below"))
    if "BadScheme" in text or "scheme is not allowed" in text:
        message = f"{url}: the endpoint is not https"
        return TableError(Problem("cannot-fetch", message, hint="set AWS_ALLOW_HTTP=true if that is meant"))
    reason = f"the store answers HTTP {status[1]}" if status else "the store cannot be reached, or broke off"
    hint = "check the network and the endpoint, AWS_ENDPOINT_URL for s3://, and try again"
    return TableError(Problem("cannot-fetch", f"{url}: {reason}", hint=hint))
