"""Command that prints the requests of a send before anything is sent."""

import sys
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.output.delivery import name_vendors
from audience.cli.output.previews import format_previews
from audience.cli.output.writer import Output
from audience.delivery.previews import RunPreview, preview_run
from audience.delivery.transport.credentials import load_credentials
from audience.json_forms.previews import run_preview_json
from audience.messages import Message
from audience.requests.campaign import run_folders
from audience.requests.reader import has_requests, read_manifest_summary, read_message
from audience.vendors import require_delivery


def run_preview(
    output: Output,
    folder: Annotated[
        Path,
        Argument(metavar="FOLDER", exists=True, help="Folder written by `audience emit` or `audience campaign`."),
    ],
    message: Annotated[Path, Option("--message", metavar="FILE", help="Message in JSON.")],
    method: Annotated[
        str | None,
        Option("--method", metavar="NAME", show_default="all", help="Show this send method for ids only."),
    ] = None,
    credentials: Annotated[
        Path | None,
        Option(
            "--credentials",
            metavar="FILE",
            show_default="none",
            help="TOML file with the vendors' keys: show what these applications send. Keys are not shown.",
        ),
    ] = None,
) -> None:
    """Print the final requests of a send: one example for each method and text, without ids and keys.

    Nothing is sent, and no credentials are needed.
    """
    content = read_message(message)
    folders = [each for each in run_folders(folder) if has_requests(each)]
    previews = [_preview_folder(each, content, method, credentials) for each in folders]
    output.print_warnings(name_vendors({preview.vendor: preview.warnings for preview in previews}))
    output.print_result([run_preview_json(preview) for preview in previews], lambda: format_previews(previews))
    if not all(any(not request.problems for request in preview.requests) for preview in previews):
        sys.exit(1)


def _preview_folder(folder: Path, message: Message, method: str | None, credentials: Path | None) -> RunPreview:
    vendor, _ = read_manifest_summary(folder)
    application = load_credentials(vendor.name, require_delivery(vendor), file=credentials) if credentials else None
    return preview_run(folder, message, application, method)
