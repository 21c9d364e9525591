"""Files and folders that appear complete or not at all."""

import ctypes
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp

from audience._fs.locks import try_lock
from audience.errors import OutputError, Problem

TEMP_SUFFIX = ".draft"  # ends the name of what is being written
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def atomic_folder(path: Path, *, owned_patterns: frozenset[str], replace: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes *path* at the end, synced and renamed, or vanishes on an error.

    Raises OutputError where *path* exists, unless it may be replaced and holds nothing but what we wrote there,
    files whose paths within it match one of *marks*; what it held stays until the new is whole. Another process that
    writes *path* is not disturbed: OutputError too.
    """
    path = path.absolute()
    made = _make_parents(path)
    try:
        with _wrap_os_errors(path), _lock_for_writing(path):
            _require_writable(path, owned_patterns, replace)
            draft = Path(mkdtemp(prefix=f".{path.name}.", suffix=TEMP_SUFFIX, dir=path.parent))
            try:
                yield draft
                draft.chmod(0o777 & ~_read_umask())
                for file in draft.rglob("*"):
                    fsync_path(file)
                fsync_path(draft)
                _require_writable(path, owned_patterns, replace)  # it may hold more by now
                _move_into_place(draft, path, replace)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    finally:
        for folder in made:
            with suppress(OSError):  # it holds what we have written
                folder.rmdir()


def remove_stale_temp_files(path: Path) -> None:
    """Remove what processes that died had begun to write as *path*; nobody else may be writing it."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(TEMP_SUFFIX)}")
    for draft in path.parent.iterdir():
        if ours.fullmatch(draft.name) and draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        elif ours.fullmatch(draft.name):
            draft.unlink(missing_ok=True)


@contextmanager
def _lock_for_writing(path: Path) -> Iterator[None]:
    """Nobody else writes *path* meanwhile, and what those who died have left of it is gone; or OutputError."""
    lock = path.with_name(f".{path.name}.lock")
    with try_lock(lock) as mine:
        if not mine:
            raise OutputError(Problem("locked", f"{path} is being written by another process", hint="choose another"))
        try:
            remove_stale_temp_files(path)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _make_parents(path: Path) -> list[Path]:
    """Make the folders above *path*; those that were not there, the lowest first."""
    try:
        with suppress(FileNotFoundError):
            path.lstat()  # it can be a name at all
        missing = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(Problem("cannot-write", f"{path}: {getattr(error, 'strerror', None) or error}")) from error
    return missing


@contextmanager
def _wrap_os_errors(path: Path) -> Iterator[None]:
    """What the system says while *path* is written, in our words."""
    try:
        yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


def write_new_file(path: Path, data: bytes) -> None:
    """Write *data* to the new file *path*, under another name first; OutputError where it exists."""
    with atomic_new_file(path) as draft:
        draft.write_bytes(data)


@contextmanager
def atomic_new_file(path: Path) -> Iterator[Path]:
    """A file to write that becomes *path* at the end, or vanishes on an error; OutputError where *path* exists."""
    try:
        with NamedTemporaryFile(
            dir=path.absolute().parent, prefix=f".{path.name}.", suffix=TEMP_SUFFIX, delete=False
        ) as file:
            draft = Path(file.name)
        try:
            yield draft
            draft.chmod(0o666 & ~_read_umask())
            fsync_path(draft)
            path.hardlink_to(draft)  # unlike a rename, it never replaces what is there
            fsync_path(path.absolute().parent)
        finally:
            draft.unlink()
    except FileExistsError as error:
        raise OutputError(Problem("exists", f"{path} exists already", hint="choose another")) from error
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


def _require_writable(path: Path, owned_patterns: frozenset[str], replace: bool) -> None:
    """Raise OutputError where *path* is there and may not be replaced."""
    if not path.exists():
        return
    if not replace:
        raise OutputError(Problem("exists", f"{path} exists already", hint="choose another, or say --replace"))
    foreign = [path.name] if not path.is_dir() else _find_foreign_files(path, Path(), owned_patterns)
    if foreign:
        hint = "only what was written by this command is replaced"
        raise OutputError(Problem("not-ours", f"{path} holds {sorted(foreign)[0]!r}, which is not ours", hint=hint))


def _find_foreign_files(path: Path, subfolder: Path, owned_patterns: frozenset[str]) -> list[str]:
    """What lies in *path*, in its folder *within*, and matches no mark; a folder does where all in it does."""
    found: list[str] = []
    for entry in (path / subfolder).iterdir():
        name = subfolder / entry.name
        if any(fnmatchcase(name.as_posix(), mark) for mark in owned_patterns):
            continue
        inside = entry.is_dir() and not entry.is_symlink() and any(entry.iterdir())
        found += _find_foreign_files(path, name, owned_patterns) if inside else [name.as_posix()]
    return found


def _move_into_place(temp_folder: Path, path: Path, replace: bool) -> None:
    """Rename *draft* to *path*, in exchange with an older folder of that name.

    Where the system cannot, that is moved aside first, and back should the other fail.
    """
    if not (replace and path.exists()):
        temp_folder.rename(path)  # fails where another has written there meanwhile
    elif not _exchange_folders(temp_folder, path):
        aside = Path(mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(aside / path.name)
        try:
            temp_folder.rename(path)
        except OSError:
            (aside / path.name).rename(path)
            raise
        finally:
            if path.exists():
                shutil.rmtree(aside, ignore_errors=True)
    fsync_path(path.parent)


def _exchange_folders(first: Path, second: Path) -> bool:
    """Give two folders each other's name, both at once; whether the system could."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0)


def atomic_write(path: Path, data: bytes) -> None:
    """Write *data* to *path*, in place of what is there; whoever looks finds the old or the new, whole."""
    draft = temp_path(path)
    with draft.open("wb") as file:
        file.write(data)
    commit_file(draft, path)


def temp_path(path: Path) -> Path:
    """Where a file is written before it is `settle`d as *path*."""
    return path.with_name(f".{path.name}.draft")


def commit_file(temp_file: Path, path: Path) -> None:
    """Sync *draft*, rename it to *path*, and sync the folder."""
    fsync_path(temp_file)
    temp_file.replace(path)
    fsync_path(path.parent)


def fsync_path(path: Path) -> None:
    """Wait until what was written to the file or folder *path* is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_umask() -> int:
    """The mask of new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
