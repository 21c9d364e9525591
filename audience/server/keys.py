"""File of keys: bearer tokens with their scopes, of which only the SHA-256 is kept."""

import hmac
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from audience._fs.atomic import atomic_write
from audience._fs.locks import try_lock
from audience._fs.private_files import PRIVATE_FOLDER_MODE, NotPrivateError, read_private_file
from audience.errors import Problem, ServiceError
from audience.language.suggest import did_you_mean
from audience.server.scopes import SCOPES, Caller, Scope

TOKEN_PREFIX = "aud_"  # lets scanners for secrets recognize a token
TOKEN_BYTES = 32
LOCK_SECONDS = 10
KEY_NAME = re.compile(r"[\w.@-]{1,64}")


@dataclass(frozen=True, slots=True)
class Key:
    """Key of a caller.

    Attributes:
        name: Its name.
        scopes: What it permits.
        digest: SHA-256 of its token, in hexadecimal digits.
        created: When it was made.
    """

    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created: str


class KeyRing:
    """Keys of a file by digest, read again when the file changes.

    A file that is gone, or that is no longer sound, permits nothing.
    """

    def __init__(self, path: Path):
        self.path = path
        self.problem: Problem | None = None
        self._callers: Mapping[str, tuple[str, Caller]] = {}
        self._state: tuple[int, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it was replaced."""
        state = _describe_file(self.path)
        if state == self._state:
            return
        try:
            keys, self.problem = read_keys(self.path), None
        except ServiceError as error:
            keys, self.problem = [], error.problems[0]
        self._callers = {key.digest: (key.digest, Caller(key.name, frozenset(key.scopes))) for key in keys}
        self._state = state

    def find_caller(self, token: str) -> Caller | None:
        """Return the caller with this token, None if there is no such key.

        What the time of the search depends on is a digest, from which no token follows.
        """
        digest = hash_token(token)
        stored, caller = self._callers.get(digest, ("", None))
        return caller if hmac.compare_digest(stored, digest) else None


def add_key(path: Path, name: str, scopes: Sequence[str]) -> str:
    """Add a key to the file *path*, which is created if there is none, and return its token.

    Raises:
        ServiceError: The name or a scope is invalid, a key has the name, or the file is not sound.
    """
    if not KEY_NAME.fullmatch(name):
        hint = "write letters, digits, . _ - and @, at most 64"
        raise ServiceError(Problem("bad-key-name", f"{name!r:.80} cannot be the name of a key", hint=hint))
    valid_scopes = read_scopes(scopes)
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with _locked(path):
        keys = read_keys(path) if path.exists() else []
        if any(key.name == name for key in keys):
            hint = f"choose another name, or drop it first: audience keys drop {name}"
            raise ServiceError(Problem("exists", f"a key {name!r} exists in {path}", hint=hint))
        _write_keys(path, [*keys, Key(name, valid_scopes, hash_token(token), created)])
    return token


def drop_key(path: Path, name: str) -> None:
    """Drop a key. Raises ServiceError if there is none of this name."""
    with _locked(path):
        keys = read_keys(path)
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            hint = did_you_mean(name, [key.name for key in keys])
            raise ServiceError(Problem("no-such-key", f"{path} has no key {name!r:.80}", hint=hint))
        _write_keys(path, kept)


def read_keys(path: Path) -> list[Key]:
    """Return the keys in a file.

    Raises:
        ServiceError: There is no such file, others may read it, or it is not a file of keys.
    """
    try:
        data = read_private_file(path)
    except NotPrivateError as error:
        raise ServiceError(Problem("open-keys", error.message, hint=error.hint)) from None
    except (OSError, ValueError) as error:
        hint = "make one: audience keys add NAME --scope count"
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(Problem("unreadable-keys", f"{path}: {reason}", hint=hint)) from None
    try:
        return [_parse_key(entry) for entry in json.loads(data)["keys"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        hint = "make a new one: audience keys add NAME --scope count"
        raise ServiceError(Problem("damaged-keys", f"{path} is not a file of keys", hint=hint)) from None


def read_scopes(texts: Sequence[str]) -> tuple[Scope, ...]:
    """Return the scopes in *texts*, each of which may hold several with commas.

    Raises:
        ServiceError: There is none, or one does not exist.

    >>> read_scopes(["ids,count"])
    ('count', 'ids')
    """
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    for word in words:
        if word not in SCOPES:
            hint = did_you_mean(word, SCOPES) or f"it is one of {', '.join(SCOPES)}"
            raise ServiceError(Problem("unknown-scope", f"there is no scope {word!r:.80}", hint=hint))
    if not words:
        raise ServiceError(Problem("no-scope", "a key needs a scope", hint=f"--scope {' or '.join(SCOPES)}"))
    return tuple(scope for scope in SCOPES if scope in words)


def hash_token(token: str) -> str:
    """Return the digest under which a token is kept."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _parse_key(entry: dict[str, Any]) -> Key:
    name, digest, created, scopes = entry["name"], entry["sha256"], entry["created"], entry["scopes"]
    if not (isinstance(name, str) and isinstance(created, str) and re.fullmatch("[0-9a-f]{64}", digest)):
        raise ValueError("not a key")
    try:
        return Key(name, read_scopes(scopes), digest, created)
    except ServiceError:
        raise ValueError("not a scope") from None


def _write_keys(path: Path, keys: Sequence[Key]) -> None:
    entries = [
        {"name": key.name, "scopes": list(key.scopes), "sha256": key.digest, "created": key.created} for key in keys
    ]
    try:
        atomic_write(path, json.dumps({"keys": entries}, indent=1).encode() + b"\n")
    except OSError as error:
        raise ServiceError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file of keys, which is a file beside it."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
            acquired = stack.enter_context(try_lock(path.with_name(f".{path.name}.lock"), LOCK_SECONDS))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ServiceError(Problem("cannot-write", f"{path}: {reason}")) from error
        if not acquired:
            raise ServiceError(Problem("locked", f"{path} is being changed by another process", hint="try again"))
        yield


def _describe_file(path: Path) -> tuple[int, ...]:
    try:
        state = path.stat()
    except OSError:
        return (0,)
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino, state.st_mode
