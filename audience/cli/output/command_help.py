"""Help screen of one command, drawn as typer draws it, without typer and without what the command runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter, cleandoc, isfunction
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rich.align import Align
from rich.columns import Columns
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from audience.cli import registry
from audience.cli.declarations import Option
from audience.cli.output.help_screens import HELP_OPTION, HIGHLIGHT, HIGHLIGHT_TYPES, frame, open_console, print_usage

KNOWN_SETTINGS = {"metavar", "help", "autocompletion", "show_default", "min", "max", "exists"}
TYPE_LABELS: dict[Any, str] = {
    str: "str",
    int: "int",
    float: "float",
    Path: "path",
    list[str]: "list[str]",
    list[Path]: "list[Path]",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Argument or option, as a help screen shows it."""

    name: str  # of an argument, or the long ones of an option
    short: str
    type: str
    summary: str
    default: str = ""
    is_required: bool = False
    is_repeated: bool = False
    is_option: bool = True

    @property
    def usage(self) -> str:
        """Return an argument as the usage line has it."""
        return ("{%s}" if self.is_required else "[%s]") % self.name + "..." * self.is_repeated


def print_command_help(words: list[str]) -> bool:
    """Print the screen of the command that *words* name. Return whether it was printed; typer draws some."""
    found = registry.find_command(words)
    declared = None if found is None or found[1] else registry.load_declaration(found[0])
    rows = [None] if declared is None else [_read_row(each) for each in registry.read_parameters(declared)]
    if declared is None or None in rows:
        return False
    known = [row for row in rows if row is not None]
    arguments = [row for row in known if not row.is_option]
    options = [row for row in known if row.is_option]
    options += [Row(name, "", "", summary) for name, summary in HELP_OPTION.items()]
    console = open_console()
    print_usage(console, " ".join(["", *words, "[OPTIONS]", *(row.usage for row in arguments)]))
    console.print(Padding(Align(_format_doc(declared.__doc__ or ""), pad=False), (0, 1, 1, 1)))
    for title, shown in (("Arguments", arguments), ("Options", options)):
        if shown:
            console.print(frame(title, _tabulate(shown)))
    console.print()
    return True


def _read_row(parameter: Parameter) -> Row | None:
    """Return what is shown of a parameter, or None if only typer knows."""
    if get_origin(parameter.annotation) is not Annotated:  # typer's context
        return None
    declaration = parameter.annotation.__metadata__[0]
    settings, names = declaration.settings, declaration.names
    type_, default = _single_type(parameter.annotation.__origin__), parameter.default
    is_option, is_flag = isinstance(declaration, Option), type_ is bool
    label = "" if is_flag else _label_type(type_)
    is_plain = KNOWN_SETTINGS.issuperset(settings) and label is not None and not any("/" in name for name in names)
    if not is_plain or (is_flag and default is not False) or (is_option and not names) or isfunction(default):
        return None
    if is_option:
        label = "" if is_flag else settings.get("metavar", f"<{label}>") + _format_range(settings)
        name = ",".join(name for name in names if name.startswith("--"))
    elif "min" in settings or "max" in settings or "metavar" not in settings:
        return None
    else:
        label, name = f"<{label}>", settings["metavar"]
    return Row(
        name,
        ",".join(each for each in names if not each.startswith("--")) if is_option else "",
        label or "",
        settings.get("help", ""),
        _format_default(default, settings.get("show_default", True)),
        is_required=default is Parameter.empty,
        is_repeated=get_origin(type_) is list,
        is_option=is_option,
    )


def _single_type(type_: Any) -> Any:
    """Return a type without None."""
    types = (
        [each for each in get_args(type_) if each is not NoneType]
        if get_origin(type_) in (UnionType, Union)
        else [type_]
    )
    return types[0] if len(types) == 1 else None


def _label_type(type_: Any) -> str | None:
    if get_origin(type_) is Literal:
        return "|".join(get_args(type_))
    return TYPE_LABELS.get(type_)


def _format_range(settings: dict[str, Any]) -> str:
    match settings.get("min"), settings.get("max"):
        case None, None:
            return ""
        case None, most:
            return f" [x<={most}]"
        case least, None:
            return f" [x>={least}]"
        case least, most:
            return f" [{least}<=x<={most}]"


def _format_default(default: Any, shown: bool | str) -> str:
    if isinstance(shown, str):
        return f"({shown})"
    return "" if not shown or isinstance(default, bool | NoneType | type) else str(default)


def _format_doc(doc: str) -> Group:
    """Return a docstring, all but its first paragraph dim."""
    first, *others = cleandoc(doc).split("\n\n")
    texts = [HIGHLIGHT(Text.from_markup(first.replace("\n", " ").strip()))]
    if others:
        texts += [Text(""), HIGHLIGHT(Text.from_markup("\n\n".join(others), style="dim"))]
    return Group(*texts)


def _tabulate(rows: Sequence[Row]) -> Table:
    table = Table(highlight=True, show_header=False, expand=True, box=None, pad_edge=False)
    has_required = any(row.is_required for row in rows)
    for row in rows:
        mark = [Text("*", style="red") if row.is_required else ""] if has_required else []
        long, short = (row.name, row.short) if row.is_option else ("", row.name)
        types = Text(row.type, style="bold yellow", overflow="fold")
        table.add_row(*mark, HIGHLIGHT(long), HIGHLIGHT(short), "", "", HIGHLIGHT_TYPES(types), _describe(row))
    return table


def _describe(row: Row) -> Columns:
    """Return the text of a parameter, its default, and whether it is required."""
    texts = [HIGHLIGHT(Text.from_markup(" ".join(row.summary.split("\n")).strip()))] if row.summary else []
    if row.default:
        texts.append(Text(f"[default: {row.default}]", style="dim"))
    if row.is_required:
        texts.append(Text("[required]", style="dim red"))
    return Columns(texts)
