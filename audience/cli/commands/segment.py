"""Segments: expressions that an index has saved by name, so that `@name` means them."""

from typing import Annotated

import typer

from audience.cli.options import ExprText, IndexPath, Json, Wait
from audience.cli.output.report import result, warn
from audience.cli.output.widgets import table
from audience.errors import ExpressionError, Problem
from audience.index.device_index import DeviceIndex
from audience.language.ast import Segment
from audience.language.parser import parse
from audience.language.printer import render

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, with or without the @ before it.")]


def save(index: IndexPath, name: Name, expr: ExprText, wait: Wait = 0, json: Json = False) -> None:
    """Save an expression by a name, in place of what was saved so."""
    opened, meant, segment = DeviceIndex.open(index), parse(expr), _named(name)
    opened.save(segment.name, meant, wait=wait)
    devices, number = opened.count(segment), opened.snapshot.manifest.number
    warn(opened.problems(meant), json)
    facts = {"name": segment.name, "expression": render(meant), "devices": devices, "snapshot": number}
    result(facts, json, f"{render(segment)}: {devices:,} devices now; snapshot {number}")


def list_(index: IndexPath, json: Json = False) -> None:
    """All segments: name, devices, expression."""
    opened = DeviceIndex.open(index)
    found = [(Segment(name), opened.count(Segment(name)), render(expr)) for name, expr in opened.segments.items()]
    if json:
        facts = [{"name": segment.name, "devices": devices, "expression": text} for segment, devices, text in found]
        result(facts, json, "")
    elif found:
        rows = [(render(segment), f"{devices:,}", text) for segment, devices, text in found]
        table(("segment", "devices", "expression"), rows, right=(1,))
    else:
        result([], json, "no segment is saved")


def show(index: IndexPath, name: Name, json: Json = False) -> None:
    """The expression of a segment."""
    opened, segment = DeviceIndex.open(index), _named(name)
    devices = opened.count(segment)  # refuses what is not saved
    text, whole = render(opened.segments[segment.name]), render(opened.expanded(segment))
    result({"name": segment.name, "expression": text, "expanded": whole, "devices": devices}, json, text)


def drop(index: IndexPath, name: Name, wait: Wait = 0, json: Json = False) -> None:
    """Forget a segment."""
    opened, segment = DeviceIndex.open(index), _named(name)
    opened.drop(segment.name, wait=wait)
    number = opened.snapshot.manifest.number
    result({"name": segment.name, "snapshot": number}, json, f"{render(segment)} is no more; snapshot {number}")


def _named(name: str) -> Segment:
    """The segment *name*, which may be written with its @."""
    bare = name.removeprefix("@")
    if not bare.strip():
        raise ExpressionError(Problem("empty-name", f"{name!r} is no name of a segment", hint="for example vip"))
    return Segment(bare)
