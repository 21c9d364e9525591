"""Command that runs the sandbox, a local server that imitates the vendors."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Annotated

from audience._fs.atomic import atomic_write
from audience._fs.private_files import PUBLIC_FILE_MODE
from audience.cli.declarations import Option
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import DeliveryError, Problem
from audience.sandbox import KEY, SECRET, Fault, Population, Sandbox
from audience.sandbox.endpoints import emulated_vendors

SECRET_VARIABLE = "AUDIENCE_SANDBOX_SECRET"
SUMMARY_COLUMNS = ("devices", "delivered", "twice", "messages")


def run_sandbox(
    output: Output,
    devices: Annotated[
        Path | None, Option("--devices", metavar="TABLE", help="Table of the devices that the vendors know.")
    ] = None,
    generate: Annotated[
        int | None,
        Option("--generate", min=1, max=10_000_000, metavar="N", help="Generate N devices instead."),
    ] = None,
    name: Annotated[
        list[str] | None,
        Option(
            "--name",
            metavar="VENDOR=PATTERN",
            help="Name of typed tags at a vendor, as emas={type}_{value}. Repeatable.",
        ),
    ] = None,
    port: Annotated[int, Option("--port", min=0, max=65_535, metavar="N", help="Port; 0 picks a free one.")] = 0,
    ready_file: Annotated[
        Path | None,
        Option("--ready-file", metavar="FILE", help="File to write the URL to when the server is ready."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        Option(
            "--fault",
            metavar="FAULT",
            help="KIND or KIND=VALUE. Add :FRACTION, :#NTH or :/EVERY to pick calls, and @VENDOR or @VENDOR/ENDPOINT "
            f"to pick where; vendors: {', '.join(sorted(emulated_vendors()))}. "
            "Kinds: refuse, fast, delay, late, drop, error, error-after, close. "
            "Examples: drop:0.1, refuse=1008007:#3@tpns. Repeatable.",
        ),
    ] = None,
    seed: Annotated[int, Option("--seed", metavar="N", help="Random seed of faults with a fraction.")] = 0,
    rate: Annotated[
        str, Option("--rate", metavar="FACTOR", help="Multiple of the documented rate limits, or `off`.")
    ] = "1",
    tag_quota: Annotated[
        str,
        Option("--tag-quota", metavar="FACTOR", help="Multiple of the documented numbers of tags, or `off`."),
    ] = "1",
    tag_delay: Annotated[
        float,
        Option("--tag-delay", min=0, max=86_400, metavar="SECONDS", help="Time until EMAS pushes follow new tags."),
    ] = 600,
    key: Annotated[str | None, Option("--key", metavar="KEY", help="The only application key to accept.")] = None,
    secret: Annotated[
        str | None,
        Option("--secret", metavar="SECRET", envvar=SECRET_VARIABLE, help="Its secret; prefer the variable."),
    ] = None,
) -> None:
    """Imitate the push vendors on a local port until Ctrl-C, then report what was delivered."""
    faults = [Fault.parse(text, seed) for text in fault or []]
    rate_factor, quota_factor = _parse_factor("--rate", rate), _parse_factor("--tag-quota", tag_quota)
    population = _load_population(devices, generate, name or [])
    with (
        _catch_stop_signals() as stop,
        Sandbox(
            population,
            faults=faults,
            key=key,
            secret=secret,
            rate=rate_factor,
            port=port,
            tag_quota=quota_factor,
            tag_delay=tag_delay,
        ) as sandbox,
    ):
        facts = {"url": sandbox.url, "devices": len(population), "vendors": sandbox.vendors, "pid": os.getpid()}
        output.print_result(facts, sandbox.url)
        sys.stdout.flush()  # a parent process may wait for the URL
        if not output.as_json:
            _print_access_hint(len(population), has_own_key=bool(key or secret))
        if ready_file:
            atomic_write(ready_file, f"{sandbox.url}\n".encode(), PUBLIC_FILE_MODE)
        stop.wait()
        summaries = {vendor: sandbox.summary(vendor) for vendor in sandbox.vendors}
    if ready_file:
        with suppress(OSError):
            ready_file.unlink()
    rows = [(vendor, *(f"{facts[column]:,}" for column in SUMMARY_COLUMNS)) for vendor, facts in summaries.items()]
    titles = ("vendor", *SUMMARY_COLUMNS)
    output.print_result(summaries, lambda: format_table(titles, rows, right_aligned=(1, 2, 3, 4)))


@contextmanager
def _catch_stop_signals() -> Iterator[Event]:
    """Yield an event that SIGINT and SIGTERM set, instead of ending the process."""
    stop = Event()
    handlers = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _load_population(table_path: Path | None, generated_count: int | None, name_options: list[str]) -> Population:
    """Return the devices of a table, or generated ones, with the tag names of each vendor."""
    if table_path is not None and generated_count is not None:
        message = "--devices and --generate both name the devices"
        raise DeliveryError(Problem("bad-option", message, hint="leave one of them out"))
    if table_path is None and generated_count is None:
        raise DeliveryError(Problem("no-devices", "the sandbox needs devices", hint="--devices TABLE or --generate N"))
    patterns = dict(map(_parse_name_option, name_options))
    if table_path is not None:
        return Population.read(table_path, patterns)
    return Population(Population.generate(generated_count or 0).table, patterns)


def _parse_name_option(text: str) -> tuple[str, str]:
    """Return the vendor and the pattern of a `--name` option."""
    vendor, _, pattern = text.partition("=")
    if "{value}" not in pattern:
        message = f"{text!r} is not of the form VENDOR=PATTERN"
        raise DeliveryError(Problem("bad-option", message, hint="for example emas={value}"))
    if vendor not in emulated_vendors():
        message = f"vendor {vendor!r} is not emulated"
        raise DeliveryError(Problem("unknown-vendor", message, hint=", ".join(emulated_vendors())))
    return vendor, pattern


def _parse_factor(option: str, text: str) -> float | None:
    """Return the factor that *text* is, or None for `off`."""
    if text == "off":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        message = f"{option} {text}: expected a number above 0, or off"
        raise DeliveryError(Problem("bad-option", message, hint="for example 10, 0.5 or off"))
    return factor


def _print_access_hint(device_count: int, has_own_key: bool) -> None:
    """Print which credentials are accepted; a key or secret from the options is not repeated."""
    accepted = (
        "the given key and secret" if has_own_key else f"any key and secret; signatures are checked for {KEY}, {SECRET}"
    )
    sys.stderr.write(
        f"{format_count(device_count, 'device')} at each vendor; accepts {accepted}; press Ctrl-C to stop\n"
    )
