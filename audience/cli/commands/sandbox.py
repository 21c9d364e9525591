"""A loopback server that answers as the vendors do, to try everything against before going live."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from audience._fs.atomic import atomic_write
from audience.cli.options import JsonOption
from audience.cli.output.report import print_result
from audience.cli.output.widgets import print_table
from audience.errors import DeliveryError, Problem
from audience.sandbox import KEY, SECRET, Fault, Population, Sandbox
from audience.sandbox.endpoints import emulated_vendors

SECRET_VARIABLE = "AUDIENCE_SANDBOX_SECRET"
SUMMARY_COLUMNS = ("devices", "delivered", "twice", "messages")


def run_sandbox(
    devices: Annotated[
        Path | None, typer.Option("--devices", metavar="TABLE", help="The devices that vendors know.")
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option("--generate", min=1, max=10_000_000, metavar="N", help="So many devices as the demo has them."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="VENDOR=PATTERN", help="What a typed tag is called there: {type}_{value}."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 0,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="FILE", help="Is written with the URL when calls are taken.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND[=VALUE][:SHARE|:#NTH|:/EVERY][@VENDOR[/ENDPOINT]]",
            help="refuse, fast, delay, late, drop, error, error-after or close: drop:0.1, refuse=1008007:#3@tpns.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of faults that hit by chance.")] = 0,
    rate: Annotated[
        str, typer.Option(metavar="TIMES", help="Times the calls that vendors document are taken; off for no limit.")
    ] = "1",
    key: Annotated[str | None, typer.Option(help="The only key that may call; else any may.")] = None,
    secret: Annotated[
        str | None, typer.Option(envvar=SECRET_VARIABLE, help="Its secret; better in the environment.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Answer as EngageLab, JPush, TPNS and EMAS do, on a port of this machine, until Ctrl-C; then tell who was told."""
    faults = [Fault.parse(text, seed) for text in fault or []]
    times = _parse_rate(rate)
    people = _load_population(devices, generate, name or [])
    with (
        _catch_stop_signals() as stop,
        Sandbox(people, faults=faults, key=key, secret=secret, rate=times, port=port) as running,
    ):
        facts = {"url": running.url, "devices": len(people), "vendors": running.vendors, "pid": os.getpid()}
        print_result(facts, json, running.url)
        sys.stdout.flush()  # whoever started us reads it now
        _print_access_hint(len(people), key, secret, json)
        if ready_file:
            atomic_write(ready_file, f"{running.url}\n".encode())
        stop.wait()
        told = {vendor: running.summary(vendor) for vendor in running.vendors}
    if ready_file:
        with suppress(OSError):
            ready_file.unlink()
    if json:
        print_result(told, json, "")
    else:
        rows = [(vendor, *(f"{facts[column]:,}" for column in SUMMARY_COLUMNS)) for vendor, facts in told.items()]
        print_table(("vendor", *SUMMARY_COLUMNS), rows, right_aligned=(1, 2, 3, 4))


@contextmanager
def _catch_stop_signals() -> Iterator[Event]:
    """An event that Ctrl-C and a polite kill set, instead of ending the process."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _load_population(table_path: Path | None, generated_count: int | None, name_patterns: list[str]) -> Population:
    """The devices of a table, or generated ones."""
    if (table_path is None) == (generated_count is None):
        raise DeliveryError(Problem("no-devices", "say --devices TABLE or --generate N"))
    pairs = [text.partition("=") for text in name_patterns]
    if wrong := next(
        (text for text, (_, _, pattern) in zip(name_patterns, pairs, strict=True) if "{value}" not in pattern), ""
    ):
        raise DeliveryError(Problem("bad-option", f"{wrong!r} is not of the form VENDOR=PATTERN", hint="emas={value}"))
    known = {vendor: pattern for vendor, _, pattern in pairs}
    if strangers := known.keys() - emulated_vendors().keys():
        raise DeliveryError(
            Problem("unknown-vendor", f"vendor {min(strangers)!r} is not emulated", hint=", ".join(emulated_vendors()))
        )
    if table_path is not None:
        return Population.read(table_path, known)
    return Population(Population.generate(generated_count or 0).table, known)


def _parse_rate(text: str) -> float | None:
    if text == "off":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise DeliveryError(Problem("bad-option", f"--rate {text} is no number above 0", hint="10, 0.5, or off"))
    return rate


def _print_access_hint(device_count: int, key: str | None, secret: str | None, json: bool) -> None:
    """Say to a person who may call; never a secret that somebody else has said."""
    if not json:
        pair = (
            "its key and secret" if key or secret else f"any key and secret; signatures are checked for {KEY}, {SECRET}"
        )
        sys.stderr.write(f"{device_count:,} devices at each vendor; {pair}; Ctrl-C ends it\n")
