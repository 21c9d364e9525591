"""Command that serves indexes over HTTP."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from audience._fs.atomic import atomic_write
from audience._fs.object_urls import absolute_location
from audience._fs.private_files import PUBLIC_FILE_MODE
from audience.cli.activity import LogOption, log_command
from audience.cli.declarations import Argument, Option
from audience.cli.options import CatalogOption, parse_vendor_host
from audience.cli.output.writer import Output
from audience.errors import OutputError, Problem, ServiceError

MAX_WORKERS = 64
EXTRA_HINT = "pip install 'audience[serve]'"


def run_serve(
    output: Output,
    indexes: Annotated[list[Path], Argument(metavar="INDEX...", help="Folders of the indexes.")],
    *,
    host: Annotated[
        str, Option("--host", metavar="ADDRESS", help="Address to listen on; other than loopback needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, Option("--port", min=0, max=65_535, metavar="N", help="Port; 0 picks a free one.")] = 8780,
    catalog: CatalogOption = None,
    keys: Annotated[
        Path | None, Option("--keys", metavar="FILE", help="File of keys, made by `audience keys add`.")
    ] = None,
    runs: Annotated[Path | None, Option("--runs", metavar="FOLDER", help="Folder of runs to show and start.")] = None,
    ready_file: Annotated[
        Path | None,
        Option("--ready-file", metavar="FILE", help="File to write the URL to when the service is ready."),
    ] = None,
    workers: Annotated[
        int, Option("--workers", min=1, max=MAX_WORKERS, metavar="N", help="Processes that answer.")
    ] = 1,
    credentials: Annotated[
        Path | None,
        Option(
            "--credentials",
            metavar="FILE",
            show_default="variables AUDIENCE_<VENDOR>_<KEY>",
            help="TOML file with the vendors' keys, of mode 600, to send runs with.",
        ),
    ] = None,
    vendor_host: Annotated[
        list[str] | None,
        Option("--vendor-host", metavar="[VENDOR=]HOST", help="Data center, or URL, to send runs to. Repeatable."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Option("--allow-host", metavar="NAME", help="Name under which browsers reach the service. Repeatable."),
    ] = None,
    log: LogOption = None,
) -> None:
    """Serve indexes over HTTP, with a console for browsers, until Ctrl-C."""
    require_serve_extra()
    from audience.server.guards import is_loopback
    from audience.server.indexes import ServedIndexes, name_indexes
    from audience.server.keys import read_keys
    from audience.server.process import bind_socket, log_to_stderr, run_service
    from audience.server.settings import ServeSettings

    settings = ServeSettings(
        {name: Path(absolute_location(folder)) for name, folder in name_indexes(indexes).items()},
        keys=None if keys is None else keys.absolute(),
        catalog=None if catalog is None else catalog.absolute(),
        runs=None if runs is None else runs.absolute(),
        credentials=None if credentials is None else credentials.absolute(),
        vendor_hosts=dict(map(parse_vendor_host, vendor_host or ())),
        host=host,
        allowed_hosts=tuple(allow_host or ()),
        log=None if log is None else log.absolute(),
    )
    if keys is not None:
        read_keys(keys)
    elif not is_loopback(host):
        hint = "make a key: audience keys add NAME --scope count --keys FILE"
        raise ServiceError(Problem("no-keys", f"--host {host} is reached by others, so --keys is needed", hint=hint))
    _check_folders(settings.catalog, settings.runs)
    ServedIndexes.open(settings.indexes)  # an index that is not one is refused at once
    listener = bind_socket(host, port)
    number = listener.getsockname()[1]
    url = f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{number}"

    def announce() -> None:
        output.print_result({"url": url, "indexes": [*settings.indexes], "pid": os.getpid()}, url)
        sys.stdout.flush()  # a parent process may wait for the URL
        if ready_file:
            atomic_write(ready_file, f"{url}\n".encode(), PUBLIC_FILE_MODE)

    if ready_file:
        _remove_ready_file(ready_file)
    log_to_stderr()
    try:
        with log_command(log, "serve", output):
            run_service(settings, listener, workers, announce)
    finally:
        if ready_file:
            with suppress(OSError):
                ready_file.unlink()


def require_serve_extra() -> None:
    """Raise ServiceError if a package of the extra is not installed."""
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import pydantic  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        problem = Problem("no-extra", f"serving needs the package {error.name}", hint=EXTRA_HINT)
        raise ServiceError(problem) from None


def _check_folders(catalog: Path | None, runs: Path | None) -> None:
    """Raise an error for a catalog that is invalid, or runs that are no folder."""
    if catalog is not None:
        from audience.planning.catalog.check import load_catalog

        load_catalog(catalog)
    if runs is not None and not runs.is_dir():
        raise ServiceError(Problem("no-runs", f"{runs} is not a folder", hint="create it, or leave out --runs"))


def _remove_ready_file(path: Path) -> None:
    """Remove what an earlier service has left, so that nobody takes it for this one."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(Problem("cannot-write", f"{path}: {error.strerror or error}")) from error
