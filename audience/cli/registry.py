"""Command registry: the name, the panel, the function and the parameters of every command.

A command's help text is the docstring of its function, and is written nowhere else. The module of a command is imported
when the command runs. Listings of commands read the docstrings from the source, so that they import no command.
A parameter of a command whose type is a dataclass is a group of options: its fields are options of the command.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

from audience.cli import command_source
from audience.cli.activity import LogOption, log_command
from audience.cli.declarations import Option
from audience.cli.output.writer import Output

COMMANDS_PACKAGE = "audience.cli.commands"
HELP = "Build an index of devices, query audiences, translate them for push vendors, and send."
EPILOG = (
    "Results go to standard output; errors, warnings and progress go to standard error.\n\n"
    "Exit codes: 0 done; 1 failed or incomplete; 2 bad input; 130 interrupted."
)

# The values below are "module:function" in COMMANDS_PACKAGE.
COMMAND_PANELS: dict[str | None, dict[str, str]] = {
    None: {"demo": "demo:run_demo", "refresh": "refresh:run_refresh"},
    "Query": {
        "count": "count:run_count",
        "explain": "explain:run_explain",
        "profile": "profile:run_profile",
        "overlap": "overlap:run_overlap",
        "member": "member:run_member",
        "export": "export:run_export",
        "diff": "diff:run_diff",
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
        "preview": "preview:run_preview",
        "sync": "sync:run_sync",
        "send": "delivery:run_send",
        "resume": "delivery:run_resume",
        "status": "delivery:run_status",
        "cancel": "delivery:run_cancel",
        "forget": "forget:run_forget",
        "delivered": "delivered:run_delivered",
        "error-codes": "error_codes:run_error_codes",
        "sandbox": "sandbox:run_sandbox",
    },
    "Serve": {"serve": "serve:run_serve", "mcp": "mcp:run_mcp"},
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
            "push": "publishing:run_push",
            "pull": "publishing:run_pull",
            "export-bitmaps": "bitmaps:run_export_bitmaps",
            "import-bitmaps": "bitmaps:run_import_bitmaps",
        },
    ),
    "segment": (
        "Save expressions in an index and use them as @name.",
        {
            "save": "segment:run_segment_save",
            "list": "segment:run_segment_list",
            "show": "segment:run_segment_show",
            "history": "segment_history:run_segment_history",
            "drop": "segment:run_segment_drop",
            "apply": "segment_apply:run_segment_apply",
        },
    ),
    "events": (
        "Add, list and forget what the devices of an index did, when, and how often.",
        {
            "add": "events:run_events_add",
            "list": "events:run_events_list",
            "forget": "events:run_events_forget",
        },
    ),
    "policy": (
        "Set caps and suppression lists, which apply to all that is sent to an index's devices.",
        {
            "set": "policy:run_policy_set",
            "list": "policy:run_policy_list",
            "drop": "policy:run_policy_drop",
        },
    ),
    "run": ("Wait for the moments of scheduled runs.", {"wait": "delivery:run_run_wait"}),
    "keys": (
        "Add, list and drop the keys with which others call the service.",
        {"add": "keys:run_keys_add", "list": "keys:run_keys_list", "drop": "keys:run_keys_drop"},
    ),
    "catalog": (
        "Map attributes to the names that vendors use for them.",
        {"check": "catalog:run_catalog_check", "init": "catalog:run_catalog_init"},
    ),
}

JsonOption = Annotated[bool, Option("--json", help="Print JSON instead of text.")]
ConfigOption = Annotated[
    Path | None,
    Option(
        "--config",
        metavar="FILE",
        help="Project file with values of options.",
        show_default="audience.toml of this folder, or above",
    ),
]


def find_command(words: list[str]) -> tuple[str, list[str]] | None:
    """Return where the function of the command is that *words* begin with, and the words after its name.

    >>> find_command(["index", "info", "devices.index"])
    ('index:run_info', ['devices.index'])
    """
    for panel in COMMAND_PANELS.values():
        if words and words[0] in panel:
            return panel[words[0]], words[1:]
    _, commands = COMMAND_GROUPS.get(words[0], ("", {})) if words else ("", {})
    return (commands[words[1]], words[2:]) if len(words) > 1 and words[1] in commands else None


def load_function(import_path: str) -> Callable[..., None]:
    """Import the function at *import_path*, written as "module:function"."""
    module, _, function = import_path.partition(":")
    return cast(Callable[..., None], getattr(import_module(f"{COMMANDS_PACKAGE}.{module}"), function))


def load_declaration(import_path: str) -> Callable[..., None]:
    """Return the function at *import_path* without its body, and without importing what that needs."""
    module, _, function = import_path.partition(":")
    return command_source.load_declaration(f"{COMMANDS_PACKAGE}.{module}", function)


def read_summary(import_path: str) -> str:
    """Return the first line of a function's docstring, read from its source.

    >>> read_summary("count:run_count")
    'Count the devices of an audience.'
    """
    module, _, function = import_path.partition(":")
    found = re.search(
        rf'^def {function}\(.*?\) -> None:\n    """(.*?)(?:"""|\n)',
        command_source.read_source(f"{COMMANDS_PACKAGE}.{module}"),
        re.MULTILINE | re.DOTALL,
    )
    assert found is not None, f"{import_path} has no docstring"
    return found[1]


def read_parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the parameters of a command, each option of a group apart, and the options of all commands.

    All are passed by name.
    """
    json_option = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)
    config_option = inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption)
    log_option = inspect.Parameter("log", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LogOption)
    options = [option for parameter in _own_parameters(function) for option in _expand_group(parameter)]
    general = [log_option] if hasattr(function, "logged_as") else []
    general += [] if _reads_config(function) else [config_option]
    return [*options, *general, json_option]


def call_command(function: Callable[..., None], output: Output, values: dict[str, Any]) -> None:
    """Call the function of a command with the *values* of its parameters."""
    groups = {each.name: each.annotation for each in _own_parameters(function) if is_dataclass(each.annotation)}
    options = {name: _build_group(cast(type, group), values) for name, group in groups.items()}
    read_before = {"json"} if _reads_config(function) else {"json", "config"}
    rest = {name: value for name, value in values.items() if name not in read_before}
    if not hasattr(function, "logged_as"):
        function(output, **rest, **options)
        return
    with log_command(rest.pop("log"), function.logged_as, output):
        function(output, **rest, **options)


def _reads_config(function: Callable[..., None]) -> bool:
    """Return whether a command reads the project file itself, beyond the options that have values from it."""
    return "config" in inspect.signature(function).parameters


def _own_parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the parameters of a command after its first, the output."""
    return [*inspect.signature(function, eval_str=True).parameters.values()][1:]


def _expand_group(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """Return the options of a group, which is a dataclass, or *parameter* alone; all are passed by name."""
    is_group = is_dataclass(parameter.annotation)
    options = inspect.signature(parameter.annotation, eval_str=True).parameters.values() if is_group else [parameter]
    return [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]


def _build_group(group: type, values: dict[str, Any]) -> Any:
    """Take the options of *group* out of *values*, and return them as one object."""
    return group(**{name: values.pop(name) for name in inspect.signature(group).parameters})
