"""Commands for segments, the saved expressions of an index that `@name` refers to."""

from dataclasses import replace
from typing import Annotated

from audience.cli.declarations import Argument
from audience.cli.login_name import find_login_name
from audience.cli.options import (
    IdListColumnOption,
    IdListOption,
    IndexArgument,
    OptionalExprArgument,
    QuestionOptions,
    WaitOption,
)
from audience.cli.output.expressions import format_saved, print_question
from audience.cli.output.widgets import format_table
from audience.cli.output.writer import Output
from audience.cli.segment_source import read_segment
from audience.counts import format_count
from audience.errors import ExpressionError, Problem
from audience.index.device_index import DeviceIndex
from audience.json_forms.segments import NamedSegmentForm, segment_json
from audience.language.ast import Segment
from audience.language.printer import render

NOT_COVERED = "not covered"  # days of events that a segment asks about
SegmentNameArgument = Annotated[
    str, Argument(metavar="NAME", help="Name of the segment, with or without the leading @.")
]


def run_segment_save(
    output: Output,
    index: IndexArgument,
    name: SegmentNameArgument,
    expr: OptionalExprArgument = None,
    *,
    ids: IdListOption = None,
    column: IdListColumnOption = None,
    question: QuestionOptions,
    wait: WaitOption = 0,
) -> None:
    """Save an expression, or a list of ids, as a segment; replace the segment if it exists."""
    device_index, segment = DeviceIndex.open(index, threads=question.threads), parse_segment_name(name)
    expression = read_segment(expr, ids, column, device_index.snapshot.manifest.columns)
    asked = question.read(device_index.snapshot.timezone)
    device_index.save_segment(segment.name, expression, find_login_name(), wait=wait)
    when = replace(asked, allow_gaps=True).to_arguments()  # which days are covered matters when it is asked
    output.print_warnings(device_index.find_unmatched(expression, **when))
    number = device_index.snapshot.manifest.number
    form = segment_json(segment, device_index, asked)
    counted = NOT_COVERED if form["devices"] is None else format_count(form["devices"], "device")
    if form["is_relative"]:
        counted += f" as of {asked}; its days are relative to each question"
    text = f"snapshot {number}: segment {render(segment)} saved, {counted}"
    output.print_result({**form, "snapshot": number}, text)


def run_segment_list(output: Output, index: IndexArgument, *, question: QuestionOptions) -> None:
    """List the segments with their devices and expressions."""
    device_index = DeviceIndex.open(index, threads=question.threads)
    asked = question.read(device_index.snapshot.timezone)
    facts = [segment_json(Segment(name), device_index, asked) for name in device_index.segments]
    rows = [
        (render(Segment(each["name"])), _format_devices(each), format_saved(device_index.segments[each["name"]]))
        for each in facts
    ]
    if any(question.matter_for(Segment(name), device_index.snapshot) for name in device_index.segments):
        output.print_notes([Problem("as-of", f"counted as of {asked}")])
    titles = ("segment", "devices", "expression")
    output.print_result(facts, lambda: format_table(titles, rows, right_aligned=(1,)) if rows else "no segments")


def run_segment_show(
    output: Output, index: IndexArgument, name: SegmentNameArgument, *, question: QuestionOptions
) -> None:
    """Show the expression of a segment."""
    device_index, segment = DeviceIndex.open(index, threads=question.threads), parse_segment_name(name)
    asked = question.read(device_index.snapshot.timezone)
    bound = device_index.bind(segment, **asked.to_arguments())  # raises ExpressionError if the segment does not exist
    if question.matter_for(segment, device_index.snapshot):
        print_question(bound, asked, output)
    facts = segment_json(segment, device_index, asked)
    output.print_result(facts, facts["expression"])


def _format_devices(facts: NamedSegmentForm) -> str:
    return NOT_COVERED if facts["devices"] is None else f"{facts['devices']:,}"


def run_segment_drop(output: Output, index: IndexArgument, name: SegmentNameArgument, wait: WaitOption = 0) -> None:
    """Delete a segment."""
    device_index, segment = DeviceIndex.open(index), parse_segment_name(name)
    device_index.drop_segment(segment.name, find_login_name(), wait=wait)
    number = device_index.snapshot.manifest.number
    facts = {"name": segment.name, "snapshot": number}
    output.print_result(facts, f"snapshot {number}: segment {render(segment)} deleted")


def parse_segment_name(name: str) -> Segment:
    """Return the segment *name*, without a leading @."""
    bare_name = name.removeprefix("@")
    if not bare_name.strip():
        raise ExpressionError(Problem("empty-name", f"{name!r} is not a segment name", hint="for example vip"))
    return Segment(bare_name)
