"""Command line in typer: help, usage errors, completion in the shell, and all that the quick parser leaves to it."""

import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, cast, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from audience import __version__
from audience.cli import registry
from audience.cli.declarations import Option, Parameter
from audience.cli.garbage import resume_collection
from audience.cli.interrupts import restore_sigint
from audience.cli.output.writer import Output
from audience.errors import Problem

COMPLETION_VARIABLE = "_AUDIENCE_COMPLETE"  # set by the shell that completes a command line


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
        return registry.read_summary(self.import_path)

    @help.setter
    def help(self, text: str | None) -> None:
        """Ignore *text*: the docstring of the function is the only source."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command, then parse *args* with its parameters.

        Running the command, its help and shell completion all come through here.
        """
        output = (parent.find_object(Output) if parent else None) or Output()
        loaded = typer.Typer(add_completion=False)
        loaded.command(self.name, cls=PlainFlagCommand)(_bind_output(registry.load_function(self.import_path), output))
        restore_sigint()
        resume_collection()
        return typer.main.get_command(loaded).make_context(info_name, args, parent, **extra)


def build_app(callback: Callable[..., Any], help_text: str, epilog: str) -> typer.Typer:
    """Return the command line with all commands; *callback* takes the options before the command."""
    app = typer.Typer(cls=CommandGroup, no_args_is_help=True, add_completion=False)
    app.callback(help=help_text, epilog=epilog)(callback)
    for panel, commands in registry.COMMAND_PANELS.items():
        _add_commands(app, commands, panel)
    for name, (group_help, commands) in registry.COMMAND_GROUPS.items():
        group = typer.Typer(cls=CommandGroup, help=group_help, no_args_is_help=True, add_completion=False)
        _add_commands(group, commands)
        app.add_typer(group, name=name)
    return app


def _add_commands(app: typer.Typer, commands: Mapping[str, str], panel: str | None = None) -> None:
    for name, import_path in commands.items():
        command_class = cast(type[TyperCommand], partial(LazyCommand, import_path=import_path))
        app.command(name, cls=command_class, rich_help_panel=panel)(_do_nothing)


def _do_nothing() -> None:
    """Stand in for a command's function until it is loaded."""


def _bind_output(function: Callable[..., None], output: Output) -> Callable[..., None]:
    """Return *function* without its first parameter, the output, and with the option `--json`, for typer."""

    def command(**values: Any) -> None:
        registry.call_command(function, output, values)

    command.__doc__ = function.__doc__
    parameters = [each.replace(annotation=_declare(each.annotation)) for each in registry.read_parameters(function)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _declare(annotation: Any) -> Any:
    """Return the type of a parameter with its declaration as typer has it."""
    type_, *declared = get_args(annotation) if hasattr(annotation, "__metadata__") else [annotation]
    if not declared or not isinstance(declared[0], Parameter):
        return annotation
    settings = dict(declared[0].settings)
    if "autocompletion" in settings:
        settings["autocompletion"] = pkgutil.resolve_name(settings["autocompletion"])
    declare = typer.Option if isinstance(declared[0], Option) else typer.Argument
    return Annotated[type_, declare(*declared[0].names, **settings)]


def _print_version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"audience {__version__}\n")
        raise typer.Exit


def global_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Take the options before the command."""


def run_typer(arguments: list[str], output: Output) -> int:
    """Run the command and return its exit code; usage errors are JSON if *output* is."""
    if COMPLETION_VARIABLE in os.environ:
        _register_shells()
    try:
        return typer_app(arguments, standalone_mode=not output.as_json, obj=output) or 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 1
    except typer.TyperException as error:
        output.print_errors([Problem("usage", error.format_message(), hint="run the command with --help")])
        return error.exit_code


def _register_shells() -> None:
    """Register the shells whose completion typer knows, which it does by itself only for its own options."""
    from typer.completion import completion_init  # no other command needs it

    completion_init()


typer_app = build_app(global_options, registry.HELP, registry.EPILOG)
