"""Console on generated devices, with a sandbox behind it that runs are sent to."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from audience.delivery.campaign_runs import cancel_all, has_runs
from audience.delivery.run_overview import list_run_names
from audience.errors import AudienceError
from audience.index.device_index import DeviceIndex
from audience.sandbox import Population, Sandbox
from audience.server.process import bind_socket, log_to_stderr, run_service
from audience.server.runs.processes import has_process
from audience.server.settings import ServeSettings
from audience.testing.devices import generate_customers
from audience.testing.events import generate_purchases
from audience.vendors import get_vendor, require_delivery, vendor_names

INDEX_NAME, DEMO_KEY = "devices", "1500000001"
SEGMENTS = {
    "reachable": "NOT opted_out",
    "gold": "vip_gold AND @reachable",
    "young": "age < 30",
    "buyers": "did(purchase) >= 2 within 60 days",
    "lapsed": "did(purchase) AND NOT did(purchase) within 30 days",
    "south": "province:guangdong OR province:hunan",
}
CATALOG_TOML = """\
[tag]
at = ["tpns", "engagelab"]

[province]
builtin = ["tpns"]

[version]
builtin = ["tpns"]
"""
MAX_STOP_SECONDS = 5.0  # for runs that are under way when the demonstration ends


def serve_demo(count: int, port: int, announce: Callable[[str], None]) -> None:
    """Serve *count* generated devices with events and segments until Ctrl-C; nothing is left then.

    Every scope holds without a key, as runs reach a sandbox alone.

    Args:
        count: Number of devices.
        port: Port; 0 picks a free one.
        announce: Called with the URL when the console can be opened.

    Raises:
        ServiceError: The port is taken.
    """
    listener = bind_socket("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (
        listener,
        TemporaryDirectory(prefix="audience-demo-") as name,
        _serve_vendors(count, Path(name)) as vendors_url,
    ):
        folder = Path(name)
        settings = ServeSettings(
            {INDEX_NAME: folder / f"{INDEX_NAME}.index"},
            catalog=folder / "catalog.toml",
            runs=folder / "runs",
            credentials=folder / "vendors.toml",
            vendor_hosts={None: vendors_url},
            local_scopes=("count", "ids", "write", "send"),
        )
        log_to_stderr()
        try:
            run_service(settings, listener, 1, lambda: announce(url))
        finally:
            _stop_runs(folder / "runs")


@contextmanager
def _serve_vendors(count: int, folder: Path) -> Iterator[str]:
    """Write the files of the demonstration to *folder*, and yield the URL of a sandbox that knows its devices."""
    today = datetime.now(UTC).date()
    table = generate_customers(count, today=today)
    index = DeviceIndex.build(table, folder / f"{INDEX_NAME}.index")
    index.add_events(generate_purchases(table, today=today), event="purchase")
    index.apply_segments(SEGMENTS, by="demo")
    (folder / "runs").mkdir()
    (folder / "catalog.toml").write_text(CATALOG_TOML, "utf-8")
    credentials = folder / "vendors.toml"
    credentials.touch(mode=0o600)
    credentials.write_text(_format_credentials(), "utf-8")
    with Sandbox(Population(table)) as sandbox:
        yield sandbox.url


def _format_credentials() -> str:
    """Return keys for every vendor of the sandbox, which accepts any."""
    lines: list[str] = []
    for name in vendor_names(can="send"):
        keys = require_delivery(get_vendor(name)).required_keys
        lines += [f"[{name}]", *(f'{key} = "{DEMO_KEY}"' for key in keys), ""]
    return "\n".join(lines)


def _stop_runs(folder: Path) -> None:
    """Cancel the runs that are under way, and wait for their processes, whose folder is about to go."""
    runs = [folder / name for name in list_run_names(folder)]
    for run in runs:
        with suppress(AudienceError):
            if has_runs(run):
                cancel_all(run)
    deadline = time.monotonic() + MAX_STOP_SECONDS
    while any(map(has_process, runs)) and time.monotonic() < deadline:
        time.sleep(0.1)
