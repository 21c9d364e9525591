"""Commands for segments, the saved expressions of an index that `@name` refers to."""

from typing import Annotated

import typer

from audience.cli.options import ExprArgument, IndexArgument, WaitOption
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.counts import format_count
from audience.errors import ExpressionError, Problem
from audience.index.device_index import DeviceIndex
from audience.language.ast import Segment
from audience.language.parser import parse
from audience.language.printer import render

SegmentNameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the segment, with or without the leading @.")
]


def run_segment_save(
    output: Output, index: IndexArgument, name: SegmentNameArgument, expr: ExprArgument, wait: WaitOption = 0
) -> None:
    """Save an expression as a segment; replace the segment if it exists."""
    device_index, expression, segment = DeviceIndex.open(index), parse(expr), _parse_segment_name(name)
    device_index.save_segment(segment.name, expression, wait=wait)
    devices, number = device_index.count(segment), device_index.snapshot.manifest.number
    output.print_warnings(device_index.find_unmatched(expression))
    facts = {"name": segment.name, "expression": render(expression), "devices": devices, "snapshot": number}
    output.print_result(facts, f"snapshot {number}: segment {render(segment)} saved, {format_count(devices, 'device')}")


def run_segment_list(output: Output, index: IndexArgument) -> None:
    """List the segments with their devices and expressions."""
    device_index = DeviceIndex.open(index)
    counted = [(name, device_index.count(Segment(name)), render(expr)) for name, expr in device_index.segments.items()]
    facts = [{"name": name, "devices": devices, "expression": text} for name, devices, text in counted]
    rows = [(render(Segment(name)), f"{devices:,}", text) for name, devices, text in counted]
    titles = ("segment", "devices", "expression")
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(1,)) if rows else "no segments")


def run_segment_show(output: Output, index: IndexArgument, name: SegmentNameArgument) -> None:
    """Show the expression of a segment."""
    device_index, segment = DeviceIndex.open(index), _parse_segment_name(name)
    devices = device_index.count(segment)  # raises ExpressionError if the segment does not exist
    expression = render(device_index.segments[segment.name])
    expanded = render(device_index.expand_segments(segment))
    facts = {"name": segment.name, "expression": expression, "expanded": expanded, "devices": devices}
    output.print_result(facts, expression)


def run_segment_drop(output: Output, index: IndexArgument, name: SegmentNameArgument, wait: WaitOption = 0) -> None:
    """Delete a segment."""
    device_index, segment = DeviceIndex.open(index), _parse_segment_name(name)
    device_index.drop_segment(segment.name, wait=wait)
    number = device_index.snapshot.manifest.number
    facts = {"name": segment.name, "snapshot": number}
    output.print_result(facts, f"snapshot {number}: segment {render(segment)} deleted")


def _parse_segment_name(name: str) -> Segment:
    """Return the segment *name*, without a leading @."""
    bare_name = name.removeprefix("@")
    if not bare_name.strip():
        raise ExpressionError(Problem("empty-name", f"{name!r} is not a segment name", hint="for example vip"))
    return Segment(bare_name)
