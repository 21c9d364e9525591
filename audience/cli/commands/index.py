"""Commands that build, describe and check an index."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from audience._fs.atomic import write_new_file
from audience.cli.cluster_options import ClusterOptions
from audience.cli.declarations import Option
from audience.cli.options import (
    IgnoreOption,
    IndexArgument,
    OptionalTablesArgument,
    parse_pair,
    parse_token_options,
)
from audience.cli.output.index import print_index_info
from audience.cli.output.writer import Output
from audience.cli.process_title import hide_passwords
from audience.cli.reading_options import ReadingOptions
from audience.counts import format_count
from audience.errors import PlanError, Problem
from audience.index.device_index import DeviceIndex

PROJECT_FILE_MODE = 0o644  # others may read it, and only its owner decides what is in it


def run_build(
    output: Output,
    tables: OptionalTablesArgument = None,
    *,
    out: Annotated[
        Path | None,
        Option(
            "-o", "--out", metavar="FOLDER", help="Folder of the new index.", show_default="`index` of audience.toml"
        ),
    ] = None,
    token: Annotated[
        list[str] | None,
        Option("--token", metavar="[VENDOR=]COLUMN", help="Device ids, of one vendor, or of all if alone."),
    ] = None,
    key: Annotated[
        str | None, Option("--key", metavar="COLUMN", help="Ids of the table's own, which no vendor knows.")
    ] = None,
    alias: Annotated[str | None, Option("--alias", metavar="COLUMN", help="Aliases.")] = None,
    account: Annotated[str | None, Option("--account", metavar="COLUMN", help="Accounts.")] = None,
    tags: Annotated[
        list[str] | None, Option("--tags", metavar="COLUMN", help="Untyped tags. Repeatable, as the types below.")
    ] = None,
    typed: Annotated[
        list[str] | None, Option("--typed", metavar="COLUMN", help="Strings; in an expression, COLUMN:value.")
    ] = None,
    number: Annotated[
        list[str] | None, Option("--number", metavar="COLUMN", help="Numbers, or text to parse as numbers.")
    ] = None,
    date: Annotated[
        list[str] | None, Option("--date", metavar="COLUMN", help="Dates, as 2020-04-08 or 20200408.")
    ] = None,
    version: Annotated[list[str] | None, Option("--version", metavar="COLUMN", help="Versions, as 1.10.2.")] = None,
    split: Annotated[
        list[str] | None,
        Option(
            "--split",
            metavar="COLUMN=SEPARATOR",
            help="Several values in one string: tags, unless another option sets the type.",
        ),
    ] = None,
    ignore: IgnoreOption = None,
    reading: ReadingOptions,
    replace: Annotated[bool, Option("--replace", help="Replace an existing index.")] = False,
    allow_loss: Annotated[
        list[str] | None,
        Option(
            "--allow-loss",
            metavar="devices|names",
            help="With --replace: leave no devices, or lose tags and attributes that policies or segments name. "
            "Repeatable.",
        ),
    ] = None,
    save_config: Annotated[
        Path | None,
        Option("--save-config", metavar="FILE", help="New project file with which `audience refresh` repeats this."),
    ] = None,
    cluster_options: ClusterOptions,
) -> None:
    """Build an index from tables of devices; the role of a column follows from its name and type.

    An option such as --number sets the role of a column itself. Without a TABLE, those of audience.toml are read.
    """
    if not tables:
        raise _not_given("a TABLE", "devices.table", "audience index build devices.parquet -o devices.index")
    if out is None:
        raise _not_given("-o FOLDER", "index", "audience index build devices.parquet -o devices.index")
    given = {**locals()}  # all of them, so that one that is added is saved, too
    draft = None if save_config is None else _draft_project_file(save_config, out, tables, given)
    hide_passwords(tables)
    with cluster_options.open() as cluster, output.show_progress() as progress:
        index = DeviceIndex.build(
            tables,
            out,
            tokens=parse_token_options(token or []),
            key=key,
            alias=alias,
            account=account,
            tags=tags or (),
            typed=typed or (),
            numbers=number or (),
            dates=date or (),
            versions=version or (),
            split=dict(parse_pair(option, None) for option in split or []),
            ignore=ignore or (),
            replace=replace,
            allow_loss=allow_loss or (),
            progress=progress,
            cluster=cluster,
            **reading.to_arguments(),
        )
    if save_config is not None and draft is not None:
        write_new_file(save_config, draft, PROJECT_FILE_MODE)
    print_index_info(index, output)


def _not_given(missing: str, key: str, example: str) -> PlanError:
    """Return the error for what neither the command line nor the project file names."""
    hint = f"for example: {example}; or write {key} in audience.toml, and give no TABLE"
    return PlanError(Problem("usage", f"expected {missing}", hint=hint))


def _draft_project_file(file: Path, out: Path, tables: list[str], given: dict[str, Any]) -> bytes:
    """Return a project file that repeats a build with the options among the values that are *given* to its command."""
    from audience.cli.project_file.drafting import draft_project_file  # loads what writes TOML
    from audience.cli.project_file.options import list_section_options

    groups = [value for value in given.values() if is_dataclass(value)]
    values = {**given, **{each.name: getattr(group, each.name) for group in groups for each in fields(group)}}
    options = {key: (values[option.name], option.default) for key, option in list_section_options("devices").items()}
    return draft_project_file(
        file, out, tables, {key: value for key, (value, default) in options.items() if value and value != default}
    )


def run_info(output: Output, index: IndexArgument) -> None:
    """Show the contents of an index: devices, ids, attributes, segments, snapshot."""
    print_index_info(DeviceIndex.open(index), output)


def run_check(output: Output, index: IndexArgument) -> None:
    """Verify the checksum of every file of the current snapshot."""
    device_index = DeviceIndex.open(index)
    with output.show_progress() as progress:
        progress("reading files", 0, 0)
        names = device_index.verify()
    number = device_index.snapshot.manifest.number
    output.print_result(
        {"snapshot": number, "files": names}, f"snapshot {number}: {format_count(len(names), 'file')} verified"
    )
