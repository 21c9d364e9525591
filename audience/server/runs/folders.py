"""Folders of runs below the folder of the service, found by their names."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from audience.delivery.run_overview import list_run_names
from audience.errors import AudienceError, Problem
from audience.language.suggest import did_you_mean
from audience.server.problems import HttpError
from audience.server.settings import ServeSettings

NAME_PATTERN = re.compile(r"\w[\w.-]*")
MAX_NAME_BYTES = 200  # a file system takes 255, and temporary files beside the folder have longer names


def require_runs_folder(settings: ServeSettings) -> Path:
    """Return the folder of the runs. Raises HttpError if the service has none."""
    if settings.runs is None:
        hint = "start the service with --runs DIR"
        raise HttpError(404, Problem("no-runs-folder", "this service has no folder of runs", hint=hint))
    return settings.runs


def find_run_folder(name: str, settings: ServeSettings) -> Path:
    """Return the folder of the run *name*, which is one of those that are there, never a path.

    Raises:
        HttpError: There is no such run.
    """
    folder = require_runs_folder(settings)
    names = list_run_names(folder)
    if name not in names:
        hint = did_you_mean(name, names) or "GET /v1/runs lists them"
        raise HttpError(404, Problem("unknown-run", f"there is no run {name!r:.80}", hint=hint))
    return folder / name


def require_new_name(name: str) -> str:
    """Return *name*, which a new folder can have.

    Raises:
        HttpError: It is not a plain name.

    >>> require_new_name("spring-sale_2"), require_new_name("春节")
    ('spring-sale_2', '春节')
    """
    is_plain = NAME_PATTERN.fullmatch(name) is not None and ".." not in name
    if not is_plain or len(name.encode()) > MAX_NAME_BYTES:
        message = f"{name!r:.80} is not a name for a run"
        hint = "write letters, digits, - and _, such as spring-sale, at most 200 bytes"
        raise HttpError(400, Problem("bad-run-name", message, path="body.name", hint=hint))
    return name


@contextmanager
def hide_paths(folder: Path) -> Iterator[None]:
    """Raise the errors of the body with the name of the run *folder* in place of its path."""
    try:
        yield
    except AudienceError as error:
        error.problems = tuple(_hide_path(problem, folder) for problem in error.problems)
        raise


def _hide_path(problem: Problem, folder: Path) -> Problem:
    hint = None if problem.hint is None else problem.hint.replace(str(folder), folder.name)
    return replace(problem, message=problem.message.replace(str(folder), folder.name), hint=hint)
