"""Command that answers agents."""

from pathlib import Path
from typing import Annotated

from audience._fs.object_urls import absolute_location
from audience.cli.declarations import Argument
from audience.cli.interrupts import exit_on_sigint
from audience.cli.options import CatalogOption
from audience.cli.output.writer import Output
from audience.errors import Problem, ServiceError

EXTRA_HINT = "pip install 'audience[mcp]'"


def run_mcp(
    output: Output,
    indexes: Annotated[list[Path], Argument(metavar="INDEX...", help="Folders of the indexes.")],
    *,
    catalog: CatalogOption = None,
) -> None:
    """Answer agents over the Model Context Protocol, on standard input and output.

    Clients such as editors and chat programs start this command. Its tools count, explain, complete, profile, plan and
    translate; they change nothing, and answer no ids of devices.
    """
    require_mcp_extra()
    from audience.agent_tools.mcp_server import run_mcp_server
    from audience.planning.catalog.check import load_catalog
    from audience.server.indexes import ServedIndexes, name_indexes
    from audience.server.process import log_to_stderr
    from audience.server.settings import ServeSettings

    folders = {name: Path(absolute_location(folder)) for name, folder in name_indexes(indexes).items()}
    settings = ServeSettings(folders, catalog=None if catalog is None else catalog.absolute())
    served = ServedIndexes.open(folders)
    if catalog is not None:
        load_catalog(catalog)  # one that is invalid is refused at once
    log_to_stderr()
    exit_on_sigint()  # the thread that reads standard input cannot be interrupted
    run_mcp_server(settings, served)


def require_mcp_extra() -> None:
    """Raise ServiceError if a package of the extra is not installed."""
    try:
        import httptools  # noqa: F401
        import mcp  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError as error:
        problem = Problem("no-extra", f"answering agents needs the package {error.name}", hint=EXTRA_HINT)
        raise ServiceError(problem) from None
