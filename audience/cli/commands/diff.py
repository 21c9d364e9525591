"""Command that compares an audience in two snapshots."""

from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.options import ExprArgument, IndexArgument, QuestionOptions
from audience.cli.output.writer import Output
from audience.errors import OutputError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.index.query.exported_columns import choose_columns, empty_frame
from audience.index.query.exported_files import find_format, write_frames
from audience.index.query.snapshot_diff import Diff
from audience.json_forms.diff import diff_json
from audience.json_forms.questions import question_json
from audience.language.parser import parse

LIST_SEPARATOR = ";"
FILE_HELP = "File for the devices that {}: .parquet, .csv, .ndjson or .arrow."


def run_diff(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    first: Annotated[int, Argument(metavar="FROM", help="Number of a snapshot, see `audience index history`.")],
    second: Annotated[int, Argument(metavar="TO", help="Number of the snapshot it is compared with.")],
    *,
    came: Annotated[Path | None, Option("--came", metavar="FILE", help=FILE_HELP.format("came"))] = None,
    went: Annotated[Path | None, Option("--went", metavar="FILE", help=FILE_HELP.format("went"))] = None,
    columns: Annotated[
        str | None, Option("--columns", metavar="A,B,…", help="Ids and attributes to write; all of them by default.")
    ] = None,
    question: QuestionOptions,
) -> None:
    """Compare an audience in two snapshots: which devices came, went and stayed.

    Both snapshots are asked for the same moment, and segments have their current meaning. Devices that came are written
    with the attributes of the second snapshot, devices that went with those of the first.
    """
    for new_file in filter(None, (came, went)):
        _require_new(new_file)
    device_index, audience = DeviceIndex.open(index, threads=question.threads), parse(expr)
    asked = question.read(device_index.snapshot.timezone)
    diff = device_index.diff(audience, first, second, **asked.to_arguments())
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    for devices, file in ((diff.came, came), (diff.went, went)):
        if file is not None:
            _write_devices(devices, file, names)
    bound = device_index.bind(audience, **asked.to_arguments())
    facts = {**question_json(audience, bound, asked), "from": first, "to": second, **diff_json(diff)}
    output.print_result(facts, _format_diff(diff))


def _require_new(file: Path) -> None:
    find_format(file)
    if file.exists():
        raise OutputError(Problem("exists", f"{file} already exists", hint="choose another path"))


def _write_devices(devices: DeviceSet, file: Path, names: list[str] | None) -> None:
    chosen = choose_columns(names, devices.snapshot)
    frames = devices.iter_frames([column.name for column in chosen])
    write_frames(file, find_format(file), empty_frame(chosen), frames, replace=False, list_separator=LIST_SEPARATOR)


def _format_diff(diff: Diff) -> str:
    lines = [
        f"came    {len(diff.came):>13,}  {len(diff.added):,} of them new in the index",
        f"went    {len(diff.went):>13,}  {len(diff.removed):,} of them no longer in the index",
        f"stayed  {len(diff.stayed):>13,}",
    ]
    return "\n".join(lines)
