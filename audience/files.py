"""Files and folders that appear complete or not at all."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp

from audience.errors import OutputError, Problem

HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextmanager
def new_folder(path: Path, *, marks: frozenset[str], replace: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes *path* at the end, synced and renamed, or vanishes on an error.

    Raises OutputError where *path* exists, unless it may be replaced and holds nothing but what we wrote there,
    files with one of the names *marks*, which may be patterns; what it held stays until the new is whole.
    """
    path = path.absolute()
    made: list[Path] = []
    try:
        if path.exists():
            _may_be_replaced(path, marks, replace)
        made = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except (OSError, ValueError) as error:
        raise OutputError(Problem("cannot-write", f"{path}: {getattr(error, 'strerror', None) or error}")) from error
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())
        for file in draft.rglob("*"):
            sync(file)
        sync(draft)
        _swap(draft, path, replace)
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # it holds what we have written
                folder.rmdir()


def write_new(path: Path, data: bytes) -> None:
    """Write *data* to the new file *path*, under another name first; OutputError where it exists."""
    with whole_new(path) as draft:
        draft.write_bytes(data)


@contextmanager
def whole_new(path: Path) -> Iterator[Path]:
    """A file to write that becomes *path* at the end, or vanishes on an error; OutputError where *path* exists."""
    try:
        with NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
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


def _may_be_replaced(path: Path, marks: frozenset[str], replace: bool) -> None:
    if not replace:
        raise OutputError(
            Problem("exists", f"{path} exists already", hint="choose another" + (", or say --replace" if marks else ""))
        )
    foreign = (
        [file.name for file in path.iterdir() if not any(file.match(mark) for mark in marks)]  # of subfolders the name
        if path.is_dir()
        else [path.name]
    )
    if foreign:
        hint = "only what was written by this command is replaced"
        raise OutputError(Problem("not-ours", f"{path} holds {sorted(foreign)[0]!r}, which is not ours", hint=hint))


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
