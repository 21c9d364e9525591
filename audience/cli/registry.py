"""Command registry: the name, the panel and the function of every command.

A command's help text is the docstring of its function, and is written nowhere else. The module of a command is imported
when the command runs. Listings of commands read the docstrings from the source, so that they import no command.
A parameter of a command whose type is a dataclass is a group of options: its fields are options of the command.
"""

import ast
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import cache, partial
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from audience.cli.interrupts import restore_sigint
from audience.cli.output.writer import Output

COMMANDS_PACKAGE = "audience.cli.commands"

# The values below are "module:function" in COMMANDS_PACKAGE.
COMMAND_PANELS: dict[str | None, dict[str, str]] = {
    None: {"demo": "demo:run_demo"},
    "Query": {
        "count": "count:run_count",
        "explain": "explain:run_explain",
        "parse": "parse:run_parse",
        "fmt": "fmt:run_fmt",
        "complete": "complete:run_complete",
        "lint": "lint:run_lint",
    },
    "Plan and translate": {
        "translate": "translate:run_translate",
        "vendors": "vendors:run_vendors",
        "plan": "plan:run_plan",
        "emit": "emit:run_emit",
        "campaign": "campaign:run_campaign",
    },
    "Send": {
        "send": "delivery:run_send",
        "resume": "delivery:run_resume",
        "status": "delivery:run_status",
        "cancel": "delivery:run_cancel",
        "error-codes": "error_codes:run_error_codes",
        "sandbox": "sandbox:run_sandbox",
    },
}
COMMAND_GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "index": (
        "Build, inspect, change and maintain an index of devices.",
        {
            "build": "index:run_build",
            "info": "index:run_info",
            "check": "index:run_check",
            "update": "index_update:run_update",
            "tag": "index_update:run_tag",
            "remove": "index_update:run_remove",
            "compact": "maintenance:run_compact",
            "history": "maintenance:run_history",
            "restore": "maintenance:run_restore",
            "backup": "maintenance:run_backup",
            "vacuum": "maintenance:run_vacuum",
        },
    ),
    "segment": (
        "Save expressions in an index and use them as @name.",
        {
            "save": "segment:run_segment_save",
            "list": "segment:run_segment_list",
            "show": "segment:run_segment_show",
            "drop": "segment:run_segment_drop",
            "apply": "segment_apply:run_segment_apply",
        },
    ),
    "catalog": (
        "Map attributes to the names that vendors use for them.",
        {"check": "catalog:run_catalog_check", "init": "catalog:run_catalog_init"},
    ),
}

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


class PlainFlagMixin:
    """Mixin for commands and groups whose help shows a flag without a value type."""

    def get_params(self, context: Any) -> Any:
        """Return all parameters, with an empty type for flags."""
        parameters = super().get_params(context)  # type: ignore[misc]
        for parameter in parameters:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return parameters


class CommandGroup(PlainFlagMixin, TyperGroup):
    """Group of commands."""


class PlainFlagCommand(PlainFlagMixin, TyperCommand):
    """Command with its parameters."""


class LazyCommand(PlainFlagCommand):
    """Command whose module is imported on first use."""

    def __init__(self, *, import_path: str, **settings: Any) -> None:
        self.import_path = import_path
        super().__init__(**settings)

    @property
    def help(self) -> str | None:
        """Return the summary line of the command's function."""
        return read_summary(self.import_path)

    @help.setter
    def help(self, text: str | None) -> None:
        """Ignore *text*: the docstring of the function is the only source."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command, then parse *args* with its parameters.

        Running the command, its help and shell completion all come through here.
        """
        output = (parent.find_object(Output) if parent else None) or Output()
        loaded = typer.Typer(add_completion=False)
        loaded.command(self.name, cls=PlainFlagCommand)(_bind_output(load_function(self.import_path), output))
        restore_sigint()
        return typer.main.get_command(loaded).make_context(info_name, args, parent, **extra)


def build_app(callback: Callable[..., Any], help_text: str, epilog: str) -> typer.Typer:
    """Return the command line with all commands; *callback* takes the options before the command."""
    app = typer.Typer(cls=CommandGroup, no_args_is_help=True, add_completion=False)
    app.callback(help=help_text, epilog=epilog)(callback)
    for panel, commands in COMMAND_PANELS.items():
        _add_commands(app, commands, panel)
    for name, (group_help, commands) in COMMAND_GROUPS.items():
        group = typer.Typer(cls=CommandGroup, help=group_help, no_args_is_help=True, add_completion=False)
        _add_commands(group, commands)
        app.add_typer(group, name=name)
    return app


def load_function(import_path: str) -> Callable[..., None]:
    """Import the function at *import_path*, written as "module:function"."""
    module, _, function = import_path.partition(":")
    return cast(Callable[..., None], getattr(import_module(f"{COMMANDS_PACKAGE}.{module}"), function))


def read_summary(import_path: str) -> str:
    """Return the first line of a function's docstring, read from its source.

    >>> read_summary("count:run_count")
    'Count the devices of an audience.'
    """
    module, _, function = import_path.partition(":")
    return _read_docstrings(module)[function].partition("\n")[0]


@cache
def _read_docstrings(module: str) -> dict[str, str]:
    source = pkgutil.get_data(COMMANDS_PACKAGE, f"{module}.py") or b""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in functions}


def _add_commands(app: typer.Typer, commands: Mapping[str, str], panel: str | None = None) -> None:
    for name, import_path in commands.items():
        command_class = cast(type[TyperCommand], partial(LazyCommand, import_path=import_path))
        app.command(name, cls=command_class, rich_help_panel=panel)(_do_nothing)


def _do_nothing() -> None:
    """Stand in for a command's function until it is loaded."""


def _bind_output(function: Callable[..., None], output: Output) -> Callable[..., None]:
    """Return *function* without its first parameter, the output, and with the option `--json` for typer."""
    signature = inspect.signature(function, eval_str=True)
    parameters = [*signature.parameters.values()][1:]
    groups = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}
    json_option = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)

    def command(*, json: bool, **values: Any) -> None:
        options = {name: _build_group(cast(type, group), values) for name, group in groups.items()}
        function(output, **values, **options)

    command.__doc__ = function.__doc__
    options = [option for each in parameters for option in _expand_group(each)]
    command.__signature__ = signature.replace(parameters=[*options, json_option])  # type: ignore[attr-defined]
    return command


def _expand_group(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return the options of a group, which is a dataclass, or *parameter* alone; all are passed by name."""
    is_group = is_dataclass(parameter.annotation)
    options = inspect.signature(parameter.annotation, eval_str=True).parameters.values() if is_group else [parameter]
    return [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]


def _build_group(group: type, values: dict[str, Any]) -> Any:
    """Take the options of *group* out of *values*, and return them as one object."""
    return group(**{name: values.pop(name) for name in inspect.signature(group).parameters})
