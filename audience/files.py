"""Files and folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from audience.errors import OutputError, Problem


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes *path* at the end, synced and renamed, or vanishes on an error.

    Raises OutputError where *path* exists, unless it may be replaced; what it held stays until the new is whole.
    """
    if path.exists() and not replace:
        raise OutputError(Problem("exists", f"{path} exists already", hint="choose another, or say --replace"))
    if path.exists() and not path.is_dir():
        raise OutputError(Problem("exists", f"{path} is a file, not a folder", hint="choose another"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror}")) from error
    try:
        yield draft
        draft.chmod(0o777 & ~_umask())
        for file in draft.iterdir():
            _sync(file)
        _sync(draft)
        _swap(draft, path)
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _swap(draft: Path, path: Path) -> None:
    """Rename *draft* to *path*; an older folder of that name is moved aside first, and back should that fail."""
    if not path.exists():
        draft.rename(path)
    else:
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
    _sync(path.parent)


def _sync(path: Path) -> None:
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
