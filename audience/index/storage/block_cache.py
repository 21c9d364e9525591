"""Cache on disk of blocks of files in object stores, within a bound, shared by all processes of one user.

A block is a file of its own, which appears by rename. Nothing in the cache is trusted: a block is compared with the
checksums of the index after it was read. The name of a file in a store is that of its content, so that a block never
belongs to another version of it. If the cache cannot be read or written, the store is asked.
"""

import os
import secrets
import stat
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock

from platformdirs import user_cache_path

from audience._fs.private_files import PRIVATE_FOLDER_MODE, create_file
from audience.errors import InvalidIndexError, Problem

FOLDER_VARIABLE, BYTES_VARIABLE = "AUDIENCE_CACHE_DIR", "AUDIENCE_CACHE_BYTES"
DEFAULT_MAX_BYTES = 10 << 30
KEPT_FRACTION = 0.875  # of the bound, when blocks are deleted
CHECKS_PER_BOUND = 32  # how often the size is looked at while as many bytes as the bound are written
TEMP_SUFFIX = ".tmp"


class BlockCache:
    """Blocks of files in a private folder.

    >>> import tempfile
    >>> blocks = BlockCache(Path(tempfile.mkdtemp()) / "blocks", 1 << 20)
    >>> blocks.write("s3://bucket/file", 7, b"block")
    >>> blocks.read("s3://bucket/file", 7), blocks.read("s3://bucket/file", 8)
    (b'block', None)
    """

    def __init__(self, folder: Path, max_bytes: int):
        self.folder = folder
        self._max_bytes = max_bytes
        self._unchecked_bytes = max_bytes  # the size is looked at before the first block is written
        self._lock = Lock()
        self._is_private = _make_private(folder)
        self._is_usable = self._is_private and max_bytes > 0

    def disabled(self) -> "BlockCache":
        """Return a cache in the same folder that reads and keeps nothing."""
        return BlockCache(self.folder, 0)

    @property
    def scratch_folder(self) -> Path | None:
        """Return the folder for temporary files without a name; None is that of the system."""
        return self.folder if self._is_private and _make_private(self.folder) else None  # also after it was deleted

    def read(self, file: str, block: int) -> bytes | None:
        """Return a block of *file*, or None if it is not there."""
        if not self._is_usable:
            return None
        path = self._path(file, block)
        try:
            data = path.read_bytes()
            os.utime(path)  # the blocks that were used last are kept longest
        except OSError:
            return None
        return data

    def write(self, file: str, block: int, data: bytes | memoryview) -> None:
        """Keep a block of *file*."""
        if not self._is_usable:
            return
        path = self._path(file, block)
        draft = path.with_name(f"{secrets.token_hex(8)}{TEMP_SUFFIX}")
        try:
            if not path.parent.is_dir():
                _make_private(self.folder)
                path.parent.mkdir(PRIVATE_FOLDER_MODE, exist_ok=True)
            with create_file(draft) as stream:
                stream.write(data)
            draft.replace(path)
        except OSError:  # the disk is full, or another process has deleted the folder
            with suppress(OSError):
                draft.unlink()
        self._keep_bound(len(data))

    def _path(self, file: str, block: int) -> Path:
        return self.folder / sha256(file.encode()).hexdigest()[:32] / f"{block:x}"

    def _keep_bound(self, nbytes: int) -> None:
        with self._lock:
            self._unchecked_bytes += nbytes
            if self._unchecked_bytes * CHECKS_PER_BOUND < self._max_bytes:
                return
            self._unchecked_bytes = 0
        delete_oldest_blocks(self.folder, self._max_bytes)


def delete_oldest_blocks(folder: Path, max_bytes: int) -> None:
    """Delete the blocks that were not used for longest until those in *folder* take less room than *max_bytes*."""
    blocks: list[tuple[float, int, Path]] = []
    for group in _scan(folder):
        for entry in _scan(group.path):
            with suppress(OSError):
                state = entry.stat(follow_symlinks=False)
                blocks.append((state.st_mtime, max(state.st_size, state.st_blocks * 512), Path(entry)))
    size = sum(nbytes for _, nbytes, _ in blocks)
    if size <= max_bytes:
        return
    for _, nbytes, path in sorted(blocks):
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            path.parent.rmdir()  # only if it is empty
        size -= nbytes
        if size <= max_bytes * KEPT_FRACTION:
            return


def _scan(folder: "Path | str") -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _make_private(folder: Path) -> bool:
    """Create *folder*. Return whether it is a folder of this user that nobody else can read or write."""
    try:
        folder.mkdir(PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o077


def open_block_cache() -> BlockCache:
    """Return the cache of this user; `AUDIENCE_CACHE_DIR` and `AUDIENCE_CACHE_BYTES` say where it is, and its bound.

    Raises:
        InvalidIndexError: The bound is not a number of bytes.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    text = os.environ.get(BYTES_VARIABLE, "")
    if text and not text.isdecimal():
        hint = "write a number of bytes; 0 keeps none"
        raise InvalidIndexError(Problem("bad-option", f"{BYTES_VARIABLE} is {text!r:.40}", hint=hint))
    max_bytes = int(text) if text else DEFAULT_MAX_BYTES
    return _open_cache(Path(folder) if folder else user_cache_path("audience"), max_bytes)


@cache
def _open_cache(folder: Path, max_bytes: int) -> BlockCache:
    return BlockCache(folder / "blocks", max_bytes)
