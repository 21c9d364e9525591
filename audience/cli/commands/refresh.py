"""Command that brings an index up to date as the project file says."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from audience._fs.locks import try_lock
from audience._fs.object_urls import is_url
from audience._fs.private_files import PRIVATE_FOLDER_MODE
from audience.cli.declarations import Option
from audience.cli.delivery_options import CredentialsOption, HostOption
from audience.cli.options import CatalogOption, WaitOption
from audience.cli.output.writer import Output
from audience.cli.project_file.finding import FILE_NAME, find_project_file
from audience.cli.project_file.options import make_section_words
from audience.cli.project_file.reading import KeyPath, ProjectFile, Section, read_project_file
from audience.cli.project_file.values import check_values
from audience.cli.registry import ConfigOption
from audience.errors import AudienceError, ConfigError, LockedError, Problem
from audience.index.storage.layout import MANIFEST_FILE

INDEX_HINT = 'write index = "devices.index" at the top, or pass --index'


def run_refresh(
    output: Output,
    *,
    index: Annotated[Path | None, Option("--index", metavar="FOLDER", help="Folder of the index.")] = None,
    segments: Annotated[
        Path | None, Option("--segments", metavar="DIR", help="Folder of .aud files, which become the segments.")
    ] = None,
    push: Annotated[
        str | None, Option("--push", metavar="URL", help="Place in an object store to publish the index at.")
    ] = None,
    catalog: CatalogOption = None,
    credentials: CredentialsOption = None,
    host: HostOption = None,
    rebuild: Annotated[bool, Option("--rebuild", help="Build the index again where it would be updated.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Print the commands; run none.")] = False,
    config: ConfigOption = None,
    wait: WaitOption = 0,
) -> None:
    """Bring an index up to date: its devices, events, segments and tags at vendors, as audience.toml says.

    Each step is a command, which is printed first. If a step fails, the steps before it stay done, and the steps after
    it are not begun. Run the same command again: it repeats all steps, and those that were done have the same result.
    """
    file = _read_file(config)
    if index is None:
        raise ConfigError(Problem("no-config", f"{file.source.path} names no index", hint=INDEX_HINT))
    if is_url(index):
        hint = f'write index = "devices.index" and push = "{index}"'
        raise ConfigError(Problem("bad-option", f"{index} is not a folder of this machine", hint=hint))
    waiting = [f"--wait={wait:g}"] if wait else []
    vendor_words = [f"--catalog={catalog}"] if catalog else []
    vendor_words += [f"--credentials={credentials}"] if credentials else []
    vendor_words += [f"--host={each}" for each in host or ()]
    steps = [
        *_list_device_steps(file, index, waiting, rebuild=rebuild),
        *([["segment", "apply", str(index), str(segments), "--yes", *waiting]] if segments else []),
        *_list_sync_steps(file, index, [*vendor_words, *waiting]),
        *([["index", "push", str(index), push]] if push else []),
    ]
    check_values(file)
    if not steps:
        message = f"{file.source.path}: nothing to refresh"
        raise ConfigError(Problem("no-config", message, hint="add [devices] with a table"))
    if dry_run:
        output.print_result([["audience", *step] for step in steps], "\n".join(map(_format_step, steps)))
        return
    with _lock_refresh(index, wait):
        for step in steps:
            with _name_source(step, file, output):
                _run_step(step, output)


def _read_file(named: Path | None) -> ProjectFile:
    """Return the project file. Raises ConfigError if there is none."""
    path = find_project_file(None if named is None else str(named))
    if path is None:
        hint = f"write one: audience index build TABLE -o devices.index --save-config {FILE_NAME}"
        raise ConfigError(Problem("no-config", f"no {FILE_NAME} in this folder or above it", hint=hint))
    return read_project_file(path)


def _list_device_steps(file: ProjectFile, index: Path, waiting: list[str], *, rebuild: bool) -> list[list[str]]:
    """Return the commands that make the devices and the events of *index* those of the tables.

    The sections of both the build and the update are checked, whichever is run.
    """
    build = [] if file.devices is None else [_build_step(file.devices, index)]
    update = [] if file.update is None else [_update_step(_inherit(file.update, file.devices), index, waiting)]
    events = [
        ["events", "add", str(index), *make_section_words(section, "events"), *waiting, *section.tables]
        for section in file.events.values()
    ]
    is_new = not (index / MANIFEST_FILE).is_file()
    return [*(build if is_new or rebuild or not update else update), *events]


def _build_step(section: Section, index: Path) -> list[str]:
    words = make_section_words(section, "devices")
    return ["index", "build", *words, f"--out={index}", "--replace", *section.tables]


def _update_step(section: Section, index: Path, waiting: list[str]) -> list[str]:
    return ["index", "update", str(index), *make_section_words(section, "update"), *waiting, *section.tables]


def _list_sync_steps(file: ProjectFile, index: Path, words: list[str]) -> Iterator[list[str]]:
    for vendor, section in file.syncs.items():
        yield ["sync", str(index), f"--vendor={vendor}", *words, *make_section_words(section, "sync")]


def _inherit(update: Section, devices: Section | None) -> Section:
    """Return the section of an update with the tables of the build, and how to read them, if it names no others."""
    if devices is None or "table" in update.values:
        return update
    shared = ("table", "query", "encoding", "delimiter", "date-format", "duplicates", "on-bad-row", "rejects", "ignore")
    return Section(
        update.source,
        update.keys,
        {**{key: devices.values[key] for key in shared if key in devices.values}, **update.values},
    )


@contextmanager
def _lock_refresh(index: Path, wait: float) -> Iterator[None]:
    """Let one process refresh *index* at a time. Raises LockedError if another one does."""
    index.absolute().parent.mkdir(PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    with try_lock(index.absolute().with_name(f".{index.name}.refresh.lock"), wait) as acquired:
        if not acquired:
            message = f"{index} is being refreshed by another process"
            raise LockedError(Problem("locked", message, hint="wait for it, for example with --wait 600"))
        yield


@contextmanager
def _name_source(step: list[str], file: ProjectFile, output: Output) -> Iterator[None]:
    """Print where the options of a step are written, if it fails."""
    keys = _find_source(step, file)
    try:
        yield
    except (AudienceError, SystemExit):
        if keys:
            name = ".".join(map(str, keys))
            output.print_notes(
                [file.source.problem("from-config", f"options of this step are those of [{name}]", keys)]
            )
        raise


def _find_source(step: list[str], file: ProjectFile) -> KeyPath:
    """Return the keys of the section that a step is made of; none for one of several or without a section."""
    match step:
        case ["index", "build", *_]:
            return ("devices",)
        case ["index", "update", *_]:
            return ("devices", "update")
        case ["sync", _, vendor, *_]:
            return ("vendors", vendor.removeprefix("--vendor="), "sync")
        case ["events", "add", *_]:
            return next(
                (section.keys for section in file.events.values() if step[-len(section.tables) :] == section.tables), ()
            )
    return ()


def _run_step(step: list[str], output: Output) -> None:
    """Run one command, and exit if it fails. Its errors are raised here."""
    from audience.cli.app import run_command  # which imports all of this

    output.print_notes([Problem("step", _format_step(step))])
    sys.stdout.flush()
    code = run_command(step, output)
    if code:
        sys.exit(code)


def _format_step(step: list[str]) -> str:
    return f"audience {shlex.join(step)}"
