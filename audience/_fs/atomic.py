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

from audience._fs.locks import held
from audience.errors import OutputError, Problem

DRAFT = ".draft"  # ends the name of what is being written
HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def new_folder(path: Path, *, marks: frozenset[str], replace: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes *path* at the end, synced and renamed, or vanishes on an error.

    Raises OutputError where *path* exists, unless it may be replaced and holds nothing but what we wrote there,
    files whose paths within it match one of *marks*; what it held stays until the new is whole. Another process that
    writes *path* is not disturbed: OutputError too.
    """
    path = path.absolute()
    made = _parents_made(path)
    try:
        with _told(path), _alone(path):
            _may_be_written(path, marks, replace)
            draft = Path(mkdtemp(prefix=f".{path.name}.", suffix=DRAFT, dir=path.parent))
            try:
                yield draft
                draft.chmod(0o777 & ~_umask())
                for file in draft.rglob("*"):
                    sync(file)
                sync(draft)
                _may_be_written(path, marks, replace)  # it may hold more by now
                _swap(draft, path, replace)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    finally:
        for folder in made:
            with suppress(OSError):  # it holds what we have written
                folder.rmdir()


def clear_drafts(path: Path) -> None:
    """Remove what processes that died had begun to write as *path*; nobody else may be writing it."""
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(DRAFT)}")
    for draft in path.parent.iterdir():
        if ours.fullmatch(draft.name) and draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        elif ours.fullmatch(draft.name):
            draft.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes *path* meanwhile, and what those who died have left of it is gone; or OutputError."""
    lock = path.with_name(f".{path.name}.lock")
    with held(lock) as mine:
        if not mine:
            raise OutputError(Problem("locked", f"{path} is being written by another process", hint="choose another"))
        try:
            clear_drafts(path)
            yield
        finally:
            lock.unlink(missing_ok=True)


def _parents_made(path: Path) -> list[Path]:
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
def _told(path: Path) -> Iterator[None]:
    """What the system says while *path* is written, in our words."""
    try:
        yield
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


def write_new(path: Path, data: bytes) -> None:
    """Write *data* to the new file *path*, under another name first; OutputError where it exists."""
    with whole_new(path) as draft:
        draft.write_bytes(data)


@contextmanager
def whole_new(path: Path) -> Iterator[Path]:
    """A file to write that becomes *path* at the end, or vanishes on an error; OutputError where *path* exists."""
    try:
        with NamedTemporaryFile(
            dir=path.absolute().parent, prefix=f".{path.name}.", suffix=DRAFT, delete=False
        ) as file:
            draft = Path(file.name)
        try:
            yield draft
            draft.chmod(0o666 & ~_umask())
            sync(draft)
            path.hardlink_to(draft)  # unlike a rename, it never replaces what is there
            sync(path.absolute().parent)
        finally:
            draft.unlink()
    except FileExistsError as error:
        raise OutputError(Problem("exists", f"{path} exists already", hint="choose another")) from error
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error


def _may_be_written(path: Path, marks: frozenset[str], replace: bool) -> None:
    """Raise OutputError where *path* is there and may not be replaced."""
    if not path.exists():
        return
    if not replace:
        raise OutputError(Problem("exists", f"{path} exists already", hint="choose another, or say --replace"))
    foreign = [path.name] if not path.is_dir() else _foreign(path, Path(), marks)
    if foreign:
        hint = "only what was written by this command is replaced"
        raise OutputError(Problem("not-ours", f"{path} holds {sorted(foreign)[0]!r}, which is not ours", hint=hint))


def _foreign(path: Path, within: Path, marks: frozenset[str]) -> list[str]:
    """What lies in *path*, in its folder *within*, and matches no mark; a folder does where all in it does."""
    found: list[str] = []
    for entry in (path / within).iterdir():
        name = within / entry.name
        if any(fnmatchcase(name.as_posix(), mark) for mark in marks):
            continue
        inside = entry.is_dir() and not entry.is_symlink() and any(entry.iterdir())
        found += _foreign(path, name, marks) if inside else [name.as_posix()]
    return found


def _swap(draft: Path, path: Path, replace: bool) -> None:
    """Rename *draft* to *path*, in exchange with an older folder of that name.

    Where the system cannot, that is moved aside first, and back should the other fail.
    """
    if not (replace and path.exists()):
        draft.rename(path)  # fails where another has written there meanwhile
    elif not _exchanged(draft, path):
        aside = Path(mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(aside / path.name)
        try:
            draft.rename(path)
        except OSError:
            (aside / path.name).rename(path)
            raise
        finally:
            if path.exists():
                shutil.rmtree(aside, ignore_errors=True)
    sync(path.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Give two folders each other's name, both at once; whether the system could."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError):
        return False
    return bool(rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def put(path: Path, data: bytes) -> None:
    """Write *data* to *path*, in place of what is there; whoever looks finds the old or the new, whole."""
    draft = drafted(path)
    with draft.open("wb") as file:
        file.write(data)
    settle(draft, path)


def drafted(path: Path) -> Path:
    """Where a file is written before it is `settle`d as *path*."""
    return path.with_name(f".{path.name}.draft")


def settle(draft: Path, path: Path) -> None:
    """Sync *draft*, rename it to *path*, and sync the folder."""
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until what was written to the file or folder *path* is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    """The mask of new files; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
