"""Requests for the objects of an index.

Errors become those of the operating system, in words without URLs and headers, which may hold what is secret.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from audience._fs.object_stores import CREDENTIALS_HINTS, EXTRA_HINT, load_exceptions, open_store
from audience._fs.object_urls import ObjectUrl
from audience.errors import InvalidIndexError, OutputError, Problem
from audience.index.storage.published import VersionedBytes, damaged_error

REQUEST_SECONDS, CONNECT_SECONDS, RETRY_SECONDS = 60, 10, 60
MAX_RETRIES = 5
JOINED_GAP, WORTHWHILE_GAP = 1 << 20, 1 << 17  # bytes between ranges: obstore joins them; a request costs as much
_TIMEOUT = re.compile(r"timed out|TimedOut|kind: Timeout")
_STATUS = re.compile(r"status code: (\d{3})")
_SHORT_OBJECT = re.compile(r"status code: 416|Wanted range|only \d+ bytes|Requested range", re.IGNORECASE)
_METADATA_SERVICE = re.compile(r"169\.254\.169\.254|metadata\.google|fd00:ec2::254|/msi/token")
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist|InvalidBucketName")


class StoredObject(NamedTuple):
    """Object of a store: its key below the place of the client, its size, and when it was written."""

    key: str
    nbytes: int
    modified: datetime


class ObjectClient:
    """Requests for the objects below one place of an object store.

    Credentials, the region and the endpoint come from the environment, as other programs for the store read them.
    """

    def __init__(self, url: ObjectUrl):
        self.url = url
        self._process = os.getpid()
        timeouts = {
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        }
        retries = {"max_retries": MAX_RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
        try:
            self._errors = load_exceptions()
            with self._wrap_errors(""):
                self._store = open_store(url.scheme, url.bucket, retries, timeouts)
        except ImportError:
            message = f"{url.scheme}:// needs the package obstore"
            raise OutputError(Problem("no-extra", message, hint=EXTRA_HINT)) from None

    def path_of(self, key: str) -> str:
        """Return the URL of an object, for messages."""
        return f"{self.url}/{key}"

    def get(self, key: str, known_etag: str | None = None) -> VersionedBytes | None:
        """Return an object; None if it still has *known_etag*."""
        options = {"if_none_match": known_etag} if known_etag else None
        with self._wrap_errors(key):
            try:
                found = self._store.get(self._key(key), options=options)
                return VersionedBytes(bytes(found.bytes()), found.meta["e_tag"] or found.meta["version"] or "")
            except self._errors.NotModifiedError:
                return None

    def measure(self, key: str) -> int:
        """Return the size of an object."""
        with self._wrap_errors(key):
            return int(self._store.head(self._key(key))["size"])

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return ranges of an object, given by start and stop, which rise; those near each other are one request."""
        groups = _group_ranges(ranges)
        with self._wrap_errors(key):
            if len(groups) < 2:
                return self._get_group(key, ranges)
            with ThreadPoolExecutor(len(groups)) as executor:
                calls = [executor.submit(self._get_group, key, [ranges[at] for at in group]) for group in groups]
                found = [
                    dict(zip(group, call.result(), strict=True)) for group, call in zip(groups, calls, strict=True)
                ]
        by_number = {at: data for each in found for at, data in each.items()}
        return [by_number[at] for at in range(len(ranges))]

    def _get_group(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        starts, stops = [start for start, _ in ranges], [stop for _, stop in ranges]
        found = self._store.get_ranges(self._key(key), starts=starts, ends=stops)
        return [memoryview(each) for each in found]

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object as a whole, in place of an older one."""
        with self._wrap_errors(key):
            self._store.put(self._key(key), data)

    def swap(self, key: str, data: bytes, expected: str | None) -> str:
        """Replace an object if its etag is *expected*, or create it if that is None. Return the new etag.

        Raises:
            FileExistsError: Another object is there.
        """
        mode: Any = "create" if expected is None else {"e_tag": expected}
        with self._wrap_errors(key):
            written = self._store.put(self._key(key), data, mode=mode, use_multipart=False)
        return written["e_tag"] or written["version"] or ""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Iterate over the objects whose keys begin with the folder *prefix*."""
        start = len(self.url.key) + 1
        with self._wrap_errors(prefix):
            for batch in self._store.list(self._key(prefix).rstrip("/")):
                for each in batch:
                    yield StoredObject(each["path"][start:], each["size"], each["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects."""
        paths = [self._key(key) for key in keys]
        if paths:
            with self._wrap_errors(""):
                self._store.delete(paths)

    def _key(self, key: str) -> str:
        if os.getpid() != self._process:  # its threads are those of the parent, and a request would never end
            message = f"{self.url} was opened before this process was forked"
            hint = "open the index in the process that asks, or start processes with `spawn`"
            raise InvalidIndexError(Problem("opened-before-fork", message, hint=hint))
        return f"{self.url.key}/{key}"

    @contextmanager
    def _wrap_errors(self, key: str) -> Iterator[None]:
        """Raise errors of obstore as those of the operating system."""
        errors = self._errors
        try:
            yield
        except FileNotFoundError as error:
            if _NO_BUCKET.search(str(error)):
                raise OSError(errno.ENXIO, f"there is no bucket {self.url.bucket!r}", self.path_of(key)) from None
            raise FileNotFoundError(errno.ENOENT, "there is no such object", self.path_of(key)) from None
        except (errors.AlreadyExistsError, errors.PreconditionError):
            raise FileExistsError(errno.EEXIST, "another object is there", self.path_of(key)) from None
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise PermissionError(errno.EACCES, _describe_refusal(str(error)), self.path_of(key)) from None
        except (errors.BaseError, ValueError) as error:
            if _SHORT_OBJECT.search(str(error)):
                raise damaged_error(self.path_of(key)) from None
            raise OSError(errno.EIO, self._describe(str(error)), self.path_of(key)) from None

    def _describe(self, text: str) -> str:
        """Return what an error of obstore says, in words."""
        status = _STATUS.search(text)
        if _METADATA_SERVICE.search(text):
            return f"no credentials for {self.url.scheme}:// were found; {CREDENTIALS_HINTS[self.url.scheme]}"
        if _NO_BUCKET.search(text):
            return f"there is no bucket {self.url.bucket!r}"
        if "BadScheme" in text or "URL scheme is not allowed" in text:
            return "the endpoint is not https; set AWS_ALLOW_HTTP=true if that is meant"
        if status and status[1] in ("429", "503"):
            return f"the store asks for fewer requests (HTTP {status[1]}), also after {MAX_RETRIES} repetitions"
        if status:
            return f"the store answers HTTP {status[1]}"
        if _TIMEOUT.search(text):
            return "the store did not answer in time"
        if "error sending request" in text or "connect" in text.lower():
            return "the store cannot be reached"
        return "the store refuses the settings, or answers what cannot be read"


def _group_ranges(ranges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the numbers of *ranges* that are asked for in one call of obstore each, all calls at once.

    A call joins ranges that are less than a mebibyte apart, and reads what is between them for nothing. That pays if
    they are as near as `WORTHWHILE_GAP`; others are in different calls.

    >>> _group_ranges([(0, 1 << 16), (1 << 17, 1 << 18), (3 << 18, 1 << 20), (1 << 22, 1 << 23)])
    [[0, 1, 3], [2]]
    """
    groups: list[list[int]] = []
    for number, (start, _) in enumerate(ranges):
        for group in groups:
            if not WORTHWHILE_GAP < start - ranges[group[-1]][1] <= JOINED_GAP:
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _describe_refusal(text: str) -> str:
    status = _STATUS.search(text)
    return f"access is denied{f' (HTTP {status[1]})' if status else ''}: these credentials may not do that"
