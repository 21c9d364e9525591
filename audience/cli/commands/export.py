"""Command that writes the devices of an audience, with their attributes, to a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import polars as pl

from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Option
from audience.cli.options import ExprArgument, IndexArgument, QuestionOptions
from audience.cli.output.expressions import print_question
from audience.cli.output.writer import Output
from audience.cli.streams import CountedStdout
from audience.cluster.cluster import Cluster
from audience.counts import format_count
from audience.errors import ClusterError, OutputError, PlanError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.query.device_set import DeviceSet
from audience.index.query.exported_columns import choose_columns, empty_frame
from audience.index.query.exported_files import (
    FORMATS,
    ExportForm,
    FileFormat,
    find_format,
    stream_frames,
    write_frames,
)
from audience.json_forms.questions import question_json
from audience.language.as_of import AsOf
from audience.language.ast import Expr
from audience.language.parser import parse
from audience.language.suggest import did_you_mean
from audience.progress import Progress

LIST_SEPARATOR = ";"
STDOUT = Path("-")


def run_export(
    output: Output,
    index: IndexArgument,
    expr: ExprArgument,
    *,
    out: Annotated[
        Path,
        Option("-o", "--out", metavar="FILE", help="File: .parquet, .csv, .ndjson or .arrow; `-`: standard output."),
    ],
    format: Annotated[  # the name of the option
        str | None,
        Option("--format", metavar="NAME", help="Format, if no suffix says it: csv, ndjson, parquet or arrow."),
    ] = None,
    columns: Annotated[
        str | None,
        Option(
            "--columns",
            metavar="A,B,…",
            help="Ids and attributes to write; all of them by default. `tags` are all bare tags.",
        ),
    ] = None,
    list_separator: Annotated[
        str, Option("--list-separator", metavar="TEXT", help="Text between the values of a list in CSV.")
    ] = LIST_SEPARATOR,
    replace: Annotated[bool, Option("--replace", help="Replace an older file.")] = False,
    question: QuestionOptions,
    cluster_options: ClusterOptions,
) -> None:
    """Write the devices of an audience to a file, with their ids and attributes.

    The file appears when it is complete, and only its owner may read it. `-o -` writes to standard output: CSV, unless
    `--format` names another format. The summary goes to standard error then.
    """
    file_format = _choose_format(out, format)
    if not list_separator:
        raise PlanError(Problem("bad-option", "--list-separator is empty", hint="for example --list-separator ';'"))
    if out != STDOUT and out.exists() and not replace:
        raise OutputError(Problem("exists", f"{out} already exists", hint="choose another path, or add --replace"))
    device_index, audience = DeviceIndex.open(index, threads=question.threads), parse(expr)
    names = None if columns is None else [name.strip() for name in columns.split(",")]
    chosen = choose_columns(names, device_index.snapshot)
    asked = question.read(device_index.snapshot.timezone)
    when = asked.to_arguments()
    output.print_warnings(device_index.find_unmatched(audience, **when))
    bound = device_index.bind(audience, **when)
    if question.matter_for(audience, device_index.snapshot):
        print_question(bound, asked, output)
    form = ExportForm(tuple(chosen), file_format, list_separator)
    with cluster_options.open() as cluster, output.show_progress() as progress:
        if cluster is not None:
            count, nbytes = _export_on_cluster(audience, device_index, asked, out, form, cluster, replace, progress)
        else:
            devices = device_index.resolve(audience, **when)
            count, nbytes = len(devices), _export_here(devices, out, form, replace, progress)
    facts = {
        **question_json(audience, bound, asked),
        "file": str(out),
        "devices": count,
        "columns": [column.name for column in chosen],
        "bytes": nbytes,
        "snapshot": device_index.snapshot.manifest.number,
    }
    summary = f"{'standard output' if out == STDOUT else out}: {format_count(count, 'device')}, {nbytes:,} bytes"
    if out == STDOUT:
        output.print_summary(facts, summary)
    else:
        output.print_result(facts, summary)


def _export_here(devices: DeviceSet, out: Path, form: ExportForm, replace: bool, progress: Progress) -> int:
    """Write the devices in this process, and return the number of bytes."""
    frames = _iter_frames(devices, [column.name for column in form.columns], progress)
    empty = empty_frame(form.columns)
    if out == STDOUT:
        return _write_to_stdout(form.file_format, empty, frames, form.list_separator)
    return write_frames(out, form.file_format, empty, frames, replace=replace, list_separator=form.list_separator)


def _export_on_cluster(
    audience: Expr,
    index: DeviceIndex,
    asked: AsOf,
    out: Path,
    form: ExportForm,
    cluster: Cluster,
    replace: bool,
    progress: Progress,
) -> tuple[int, int]:
    """Let the processes of *cluster* write the devices, and return the numbers of devices and bytes."""
    if out == STDOUT:
        hint = "write to a file in a folder that all machines share"
        raise ClusterError(Problem("not-shared", "a cluster cannot write to standard output", hint=hint))
    from audience.index.query.shared_export import export_on_cluster  # few exports need it

    return export_on_cluster(audience, index.snapshot, asked, out, form, cluster, replace=replace, progress=progress)


def _choose_format(out: Path, name: str | None) -> FileFormat:
    """Return the format with this name, or that of the suffix; CSV for standard output.

    Raises:
        PlanError: There is no such format.
    """
    if name is None:
        return "csv" if out == STDOUT else find_format(out)
    formats = {each: each for each in FORMATS.values()}
    if name not in formats:
        hint = did_you_mean(name, formats) or f"it is one of {', '.join(formats)}"
        raise PlanError(Problem("unknown-format", f"{name!r:.40} is not a format", hint=hint))
    return formats[name]


def _write_to_stdout(
    file_format: FileFormat, empty: pl.DataFrame, frames: Iterator[pl.DataFrame], list_separator: str
) -> int:
    """Write frames to standard output and return the number of bytes."""
    stdout = CountedStdout()
    stream_frames(cast(BinaryIO, stdout), file_format, empty, frames, list_separator)
    return stdout.tell()


def _iter_frames(devices: DeviceSet, columns: list[str], progress: Progress) -> Iterator[pl.DataFrame]:
    """Yield the frames of the devices, with *progress* after each that is written."""
    done = 0
    for frame in devices.iter_frames(columns):
        yield frame
        done += len(frame)
        progress("writing", done, len(devices))
