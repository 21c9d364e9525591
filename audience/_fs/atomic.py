"""Files and folders that appear complete or not at all, and that nobody but their owner reads.

Nearly all that is written here holds ids, messages or attributes of people. So a file has the mode 600 and a folder
700, whatever the umask, unless the caller says that everybody may read it: `mode=PUBLIC_FILE_MODE`.
"""

import ctypes
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import mkdtemp

from audience._fs.locks import try_lock
from audience._fs.private_files import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, create_file
from audience.errors import OutputError, Problem

TEMP_SUFFIX = ".tmp"
URL_PATTERN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # a letter alone is a drive
MAX_SYNCS = 8  # at once
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # constants of renameat2 in Linux


@contextmanager
def atomic_folder(path: Path, *, owned_patterns: frozenset[str], replace: bool = False) -> Iterator[Path]:
    """Yield a new folder to write to, which becomes *path* on success and is removed on an error.

    Its files are fsynced before it is renamed, so *path* is complete or absent after a crash, too. Only the owner may
    read it, also the folders above it that are new, and the files in it, whatever permissions they were written with.

    Args:
        path: Folder to create.
        owned_patterns: Patterns of the files that an older *path* may contain, relative to it.
        replace: Replace an older *path*. It is kept until the new folder is complete.

    Raises:
        OutputError: *path* exists and may not be replaced, contains foreign files, cannot be written, or is being
            written by another process.
    """
    reject_url(path)
    path = path.absolute()
    new_parents = _make_parents(path)
    try:
        with _wrap_os_errors(path), _lock_for_writing(path):
            _require_writable(path, owned_patterns, replace)
            temp_folder = Path(mkdtemp(prefix=f".{path.name}.", suffix=TEMP_SUFFIX, dir=path.parent))
            try:
                yield temp_folder
                files = list(temp_folder.rglob("*"))
                for file in files:
                    _make_private(file)
                _sync_together(files)
                temp_folder.chmod(PRIVATE_FOLDER_MODE)
                fsync_path(temp_folder)
                _require_writable(path, owned_patterns, replace)  # again, because files may have been added
                _move_into_place(temp_folder, path, replace)
            finally:
                shutil.rmtree(temp_folder, ignore_errors=True)
    finally:
        for folder in new_parents:
            with suppress(OSError):  # not empty: the write succeeded
                folder.rmdir()


def _make_private(file: Path) -> None:
    """Give *file* the mode of private ones. One that has it already, and is on disk, needs no other sync then."""
    mode = PRIVATE_FOLDER_MODE if file.is_dir() else PRIVATE_FILE_MODE
    if stat.S_IMODE(file.stat().st_mode) != mode:
        file.chmod(mode)


def _sync_together(files: Sequence[Path]) -> None:
    """Wait until *files* are on disk; the system syncs several at once about as fast as one."""
    if len(files) < 2:
        for file in files:
            fsync_path(file)
        return
    from concurrent.futures import ThreadPoolExecutor  # what only reads needs none

    with ThreadPoolExecutor(min(len(files), MAX_SYNCS)) as executor:
        for _ in executor.map(fsync_path, files):
            pass


def reject_url(path: Path) -> None:
    """Raise OutputError if *path* is a URL, which would become a folder that is called `s3:`.

    >>> reject_url(Path("s3://bucket/devices.index"))
    Traceback (most recent call last):
    audience.errors.OutputError: url-output: s3://bucket/devices.index is a URL, expected a path of this machine
       = hint: write to a folder or file here, and copy it there
    """
    matched = URL_PATTERN.match(str(path))
    if matched:
        scheme, rest = matched.groups()
        message = f"{scheme}://{rest.rpartition('@')[2]} is a URL, expected a path of this machine"
        raise OutputError(Problem("url-output", message, hint="write to a folder or file here, and copy it there"))


def remove_stale_temp_files(path: Path) -> None:
    """Remove the temporary files and folders of *path* that dead processes have left. The caller holds the lock."""
    temp_name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(TEMP_SUFFIX)}")
    for entry in path.parent.iterdir():
        if temp_name.fullmatch(entry.name) and entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        elif temp_name.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


@contextmanager
def lock_output(path: Path) -> Iterator[None]:
    """Let no other process write *path* until the block ends, and remove what dead ones have left of it.

    Raises:
        OutputError: *path* is being written by another process, or its folder cannot be written.
    """
    with _wrap_os_errors(path), _lock_for_writing(path):
        yield


@contextmanager
def _lock_for_writing(path: Path) -> Iterator[None]:
    """Lock *path* and remove stale temporary files. Raises OutputError if it is locked."""
    lock = path.with_name(f".{path.name}.lock")
    with try_lock(lock) as acquired:
        if not acquired:
            hint = "wait for it to finish, or choose another path"
            raise OutputError(Problem("locked", f"{path} is being written by another process", hint=hint))
        try:
            remove_stale_temp_files(path)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _make_parents(path: Path) -> list[Path]:
    """Create the folders above *path* and return the new ones, the lowest first."""
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # raises ValueError for an invalid name
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(PRIVATE_FOLDER_MODE, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(Problem("cannot-write", f"{path}: {getattr(error, 'strerror', None) or error}")) from error
    return missing


@contextmanager
def _wrap_os_errors(path: Path) -> Iterator[None]:
    """Raise OutputError for errors of the operating system."""
    try:
        yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


def write_new_file(path: Path, data: bytes, mode: int = PRIVATE_FILE_MODE) -> None:
    """Write *data* atomically to the new file *path*. Raises OutputError if *path* exists."""
    with atomic_new_file(path, mode) as temp_file:
        temp_file.write_bytes(data)


@contextmanager
def atomic_new_file(path: Path, mode: int = PRIVATE_FILE_MODE) -> Iterator[Path]:
    """Yield a temporary file that becomes *path* on success and is removed on an error.

    Raises:
        OutputError: *path* exists or cannot be written.
    """
    reject_url(path)
    try:
        with _temporary_file(path, mode) as temp_file:
            yield temp_file
            fsync_path(temp_file)
            path.hardlink_to(temp_file)  # unlike a rename, this never replaces a file
            fsync_path(path.absolute().parent)
    except FileExistsError as error:
        raise OutputError(Problem("exists", f"{path} already exists", hint="choose another path")) from error
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


@contextmanager
def atomic_replaced_file(path: Path, mode: int = PRIVATE_FILE_MODE) -> Iterator[Path]:
    """Yield a temporary file that becomes *path* on success, in place of an older file, and is removed on an error.

    Raises:
        OutputError: *path* is a folder, or cannot be written.
    """
    reject_url(path)
    with _wrap_os_errors(path), _temporary_file(path, mode) as temp_file:
        yield temp_file
        commit_file(temp_file, path.absolute())


@contextmanager
def _temporary_file(path: Path, mode: int) -> Iterator[Path]:
    """Yield a new file beside *path* with a name of its own, which is removed at the end if it is still there."""
    temp_file = path.absolute().with_name(f".{path.name}.{os.urandom(4).hex()}{TEMP_SUFFIX}")
    create_file(temp_file, mode).close()
    try:
        yield temp_file
    finally:
        temp_file.unlink(missing_ok=True)


def _require_writable(path: Path, owned_patterns: frozenset[str], replace: bool) -> None:
    """Raise OutputError if *path* exists and may not be replaced."""
    if not path.exists():
        return
    if not replace:
        raise OutputError(Problem("exists", f"{path} already exists", hint="choose another path, or add --replace"))
    foreign = [path.name] if not path.is_dir() else _find_foreign_files(path, Path(), owned_patterns)
    if foreign:
        hint = "choose another path; only folders that this command has written are replaced"
        raise OutputError(Problem("not-ours", f"{path} contains a foreign file, {min(foreign)!r}", hint=hint))


def _find_foreign_files(path: Path, subfolder: Path, owned_patterns: frozenset[str]) -> list[str]:
    """Return the files below *subfolder* of *path* that match no pattern. An empty folder counts as a file."""
    foreign: list[str] = []
    for entry in (path / subfolder).iterdir():
        name = subfolder / entry.name
        if any(fnmatchcase(name.as_posix(), pattern) for pattern in owned_patterns):
            continue
        has_files = entry.is_dir() and not entry.is_symlink() and any(entry.iterdir())
        foreign += _find_foreign_files(path, name, owned_patterns) if has_files else [name.as_posix()]
    return foreign


def _move_into_place(temp_folder: Path, path: Path, replace: bool) -> None:
    """Rename *temp_folder* to *path*, exchanging it with an older folder of that name.

    If the system cannot exchange folders, the older one is moved aside first, and back if the rename fails.
    """
    if not (replace and path.exists()):
        temp_folder.rename(path)  # fails if another process has written there
    elif not _exchange_folders(temp_folder, path):
        old_parent = Path(mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(old_parent / path.name)
        try:
            temp_folder.rename(path)
        except OSError:
            (old_parent / path.name).rename(path)
            raise
        finally:
            if path.exists():
                shutil.rmtree(old_parent, ignore_errors=True)
    fsync_path(path.parent)


def _exchange_folders(first: Path, second: Path) -> bool:
    """Exchange the names of two folders atomically, and return whether the system could."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0)


def atomic_write(path: Path, data: bytes | memoryview, mode: int = PRIVATE_FILE_MODE) -> None:
    """Write *data* to *path*, replacing it atomically. Readers see the old or the new content, never a mixture."""
    temp_file = temp_path(path)
    with suppress(FileNotFoundError):
        temp_file.unlink()  # one that an interrupted process has left
    with create_file(temp_file, mode) as file:
        file.write(data)
    commit_file(temp_file, path)


def temp_path(path: Path) -> Path:
    """Return the path of the temporary file that `commit_file` renames to *path*."""
    return path.with_name(f".{path.name}{TEMP_SUFFIX}")


def commit_file(temp_file: Path, path: Path) -> None:
    """Commit *temp_file* as *path*: fsync, rename, fsync the folder."""
    fsync_path(temp_file)
    temp_file.replace(path)
    fsync_path(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the file *source* the second name *target*; where that is impossible, copy it."""
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def fsync_path(path: Path) -> None:
    """Wait until the file or folder *path* is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
