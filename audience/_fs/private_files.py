"""Files that nobody but their owner may read, such as those with ids, messages or keys."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE = 0o600, 0o700
PUBLIC_FILE_MODE = 0o666  # without what the umask takes away
ROOT = 0


class NotPrivateError(Exception):
    """File with secrets that is not its reader's alone; *hint* says how to change that."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


def create_file(path: Path, mode: int = PRIVATE_FILE_MODE) -> BinaryIO:
    """Create the file *path* and open it for writing; one that exists, or a link of that name, is an error.

    A private file has its mode whatever the umask. The umask takes permissions away from any other.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "ids"
    >>> with create_file(file) as stream:
    ...     stream.write(b"r1")
    2
    >>> f"{file.stat().st_mode & 0o777:o}"
    '600'
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    if mode == PRIVATE_FILE_MODE:
        os.fchmod(handle, mode)  # a umask such as 277 takes away too much
    return os.fdopen(handle, "wb")


def open_to_append(path: Path) -> int:
    """Open the file *path* to write at its end, and return its descriptor; a new one is private.

    Raises:
        OSError: It is no regular file, a link, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, PRIVATE_FILE_MODE)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return handle


def read_private_file(path: Path) -> bytes:
    """Return the content of the file *path*, which must be private and belong to this user, or to root.

    Its kind is looked at before it is opened: opening a pipe waits, and opening a device may do anything.

    Raises:
        NotPrivateError: It is no regular file, belongs to another user, or others may read or write it.
        OSError: It cannot be read.
    """
    _require_private(path, path.stat())
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        _require_private(path, os.fstat(handle))  # again, because another file may have taken its place
        return stream.read()


def _require_private(path: Path, state: os.stat_result) -> None:
    """Raise NotPrivateError unless *state* is that of a private file of this user."""
    if not stat.S_ISREG(state.st_mode):
        kind = _describe_kind(state.st_mode)
        raise NotPrivateError(f"{path} is {kind}, not a file", "name a regular file of mode 600")
    if state.st_uid not in (os.geteuid(), ROOT):
        message = f"{path} belongs to another user (uid {state.st_uid}, and this is uid {os.geteuid()})"
        raise NotPrivateError(message, f"make it your own: chown {os.geteuid()} {path}")
    if state.st_mode & 0o077:
        message = f"{path}: other users can read it (mode {stat.S_IMODE(state.st_mode):o}, expected 600)"
        raise NotPrivateError(message, f"run `chmod 600 {path}`")


def _describe_kind(mode: int) -> str:
    """Return what a file of *mode* is.

    >>> _describe_kind(stat.S_IFIFO), _describe_kind(stat.S_IFDIR)
    ('a pipe', 'a folder')
    """
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
