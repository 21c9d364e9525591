"""Segments: expressions that an index has saved by name, so that `@name` means them."""

from typing import Annotated

import typer

from audience.cli.options import ExprArgument, IndexArgument, JsonOption, WaitOption
from audience.cli.output.report import print_result, print_warnings
from audience.cli.output.widgets import print_table
from audience.errors import ExpressionError, Problem
from audience.index.device_index import DeviceIndex
from audience.language.ast import Segment
from audience.language.parser import parse
from audience.language.printer import render

SegmentNameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its name, with or without the @ before it.")]


def run_segment_save(
    index: IndexArgument, name: SegmentNameArgument, expr: ExprArgument, wait: WaitOption = 0, json: JsonOption = False
) -> None:
    """Save an expression by a name, in place of what was saved so."""
    opened, meant, segment = DeviceIndex.open(index), parse(expr), _parse_segment_name(name)
    opened.save_segment(segment.name, meant, wait=wait)
    devices, number = opened.count(segment), opened.snapshot.manifest.number
    print_warnings(opened.find_unmatched(meant), json)
    facts = {"name": segment.name, "expression": render(meant), "devices": devices, "snapshot": number}
    print_result(facts, json, f"{render(segment)}: {devices:,} devices now; snapshot {number}")


def run_segment_list(index: IndexArgument, json: JsonOption = False) -> None:
    """All segments: name, devices, expression."""
    opened = DeviceIndex.open(index)
    found = [(Segment(name), opened.count(Segment(name)), render(expr)) for name, expr in opened.segments.items()]
    if json:
        facts = [{"name": segment.name, "devices": devices, "expression": text} for segment, devices, text in found]
        print_result(facts, json, "")
    elif found:
        rows = [(render(segment), f"{devices:,}", text) for segment, devices, text in found]
        print_table(("segment", "devices", "expression"), rows, right_aligned=(1,))
    else:
        print_result([], json, "no segment is saved")


def run_segment_show(index: IndexArgument, name: SegmentNameArgument, json: JsonOption = False) -> None:
    """The expression of a segment."""
    opened, segment = DeviceIndex.open(index), _parse_segment_name(name)
    devices = opened.count(segment)  # refuses what is not saved
    text, whole = render(opened.segments[segment.name]), render(opened.expand_segments(segment))
    print_result({"name": segment.name, "expression": text, "expanded": whole, "devices": devices}, json, text)


def run_segment_drop(
    index: IndexArgument, name: SegmentNameArgument, wait: WaitOption = 0, json: JsonOption = False
) -> None:
    """Forget a segment."""
    opened, segment = DeviceIndex.open(index), _parse_segment_name(name)
    opened.drop_segment(segment.name, wait=wait)
    number = opened.snapshot.manifest.number
    print_result({"name": segment.name, "snapshot": number}, json, f"{render(segment)} is no more; snapshot {number}")


def _parse_segment_name(name: str) -> Segment:
    """The segment *name*, which may be written with its @."""
    bare = name.removeprefix("@")
    if not bare.strip():
        raise ExpressionError(Problem("empty-name", f"{name!r} is no name of a segment", hint="for example vip"))
    return Segment(bare)
