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

from audience._fs.atomic import put
from audience.cli.options import Json
from audience.cli.output.report import result
from audience.cli.output.widgets import table
from audience.errors import DeliveryError, Problem
from audience.sandbox import KEY, SECRET, Fault, Population, Sandbox
from audience.sandbox.population import VENDORS

SECRET_VARIABLE = "AUDIENCE_SANDBOX_SECRET"
COLUMNS = ("devices", "told", "twice", "messages")


def sandbox(
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
    json: Json = False,
) -> None:
    """Answer as EngageLab, JPush, TPNS and EMAS do, on a port of this machine, until Ctrl-C; then tell who was told."""
    faults = [Fault.read(text, seed) for text in fault or []]
    times = _rate(rate)
    people = _population(devices, generate, name or [])
    with (
        _until_told() as stop,
        Sandbox(people, faults=faults, key=key, secret=secret, rate=times, port=port) as running,
    ):
        facts = {"url": running.url, "devices": len(people), "vendors": running.vendors, "pid": os.getpid()}
        result(facts, json, running.url)
        sys.stdout.flush()  # whoever started us reads it now
        _note(len(people), key, secret, json)
        if ready_file:
            put(ready_file, f"{running.url}\n".encode())
        stop.wait()
        told = {vendor: running.summary(vendor) for vendor in running.vendors}
    if ready_file:
        with suppress(OSError):
            ready_file.unlink()
    if json:
        result(told, json, "")
    else:
        rows = [(vendor, *(f"{facts[column]:,}" for column in COLUMNS)) for vendor, facts in told.items()]
        table(("vendor", *COLUMNS), rows, right=(1, 2, 3, 4))


@contextmanager
def _until_told() -> Iterator[Event]:
    """An event that Ctrl-C and a polite kill set, instead of ending the process."""
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _population(devices: Path | None, generate: int | None, names: list[str]) -> Population:
    """The devices of a table, or generated ones."""
    if (devices is None) == (generate is None):
        raise DeliveryError(Problem("no-devices", "say --devices TABLE or --generate N"))
    pairs = [text.partition("=") for text in names]
    if wrong := next(
        (text for text, (_, _, pattern) in zip(names, pairs, strict=True) if "{value}" not in pattern), ""
    ):
        raise DeliveryError(Problem("bad-option", f"{wrong!r} is not of the form VENDOR=PATTERN", hint="emas={value}"))
    known = {vendor: pattern for vendor, _, pattern in pairs}
    if strangers := known.keys() - {*VENDORS}:
        raise DeliveryError(Problem("unknown-vendor", f"no vendor {min(strangers)!r}", hint=", ".join(VENDORS)))
    if devices is not None:
        return Population.read(devices, known)
    return Population(Population.generate(generate or 0).table, known)


def _rate(text: str) -> float | None:
    if text == "off":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise DeliveryError(Problem("bad-option", f"--rate {text} is no number above 0", hint="10, 0.5, or off"))
    return rate


def _note(devices: int, key: str | None, secret: str | None, json: bool) -> None:
    """Say to a person who may call; never a secret that somebody else has said."""
    if not json:
        pair = (
            "its key and secret" if key or secret else f"any key and secret; signatures are checked for {KEY}, {SECRET}"
        )
        sys.stderr.write(f"{devices:,} devices at each vendor; {pair}; Ctrl-C ends it\n")
