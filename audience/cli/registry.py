"""Every command: its name, where its function is, and what it does, in the first sentence of the function.

A function is loaded when its command is called, so that each command waits for what it needs and for nothing else.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, TypeAlias

import typer
from typer.core import TyperCommand

from audience.cli.interrupts import restore_sigint

CommandEntry: TypeAlias = tuple[str, str, str]  # name, module in `audience.cli.commands` and function, sentence

INDEX_COMMANDS: tuple[CommandEntry, ...] = (
    ("build", "index:run_build", "Build an index of a table of devices; columns find their role by name and type."),
    (
        "info",
        "index:run_info",
        "What an index holds: devices, ids, attributes and their values, segments, and its snapshot.",
    ),
    ("check", "index:run_check", "Read every file of the current snapshot whole and compare it with its checksum."),
    (
        "update",
        "index_update:run_update",
        "Write what a table says of devices: those that are known change in its columns, others are added.",
    ),
    ("tag", "index_update:run_tag", "Give devices bare tags, and take others from them."),
    ("remove", "index_update:run_remove", "Take devices out of an index."),
    (
        "compact",
        "maintenance:run_compact",
        "Write anew what questions have to go around since devices changed: they are answered faster.",
    ),
    ("history", "maintenance:run_history", "The snapshots that are kept, the oldest first; the last one is current."),
    ("restore", "maintenance:run_restore", "Make an older snapshot current again, as a new one."),
    (
        "backup",
        "maintenance:run_backup",
        "Copy the current snapshot, checked, to a folder that is an index itself; writers may go on meanwhile.",
    ),
    (
        "vacuum",
        "maintenance:run_vacuum",
        "Forget all snapshots but the last, and remove the files that no other needs.",
    ),
)
SEGMENT_COMMANDS: tuple[CommandEntry, ...] = (
    ("save", "segment:run_segment_save", "Save an expression by a name, in place of what was saved so."),
    ("list", "segment:run_segment_list", "All segments: name, devices, expression."),
    ("show", "segment:run_segment_show", "The expression of a segment."),
    ("drop", "segment:run_segment_drop", "Forget a segment."),
)
CATALOG_COMMANDS: tuple[CommandEntry, ...] = (
    (
        "check",
        "catalog:run_catalog_check",
        "Whether a catalog is sound: every name legal at its vendor, and none for two tags.",
    ),
    ("init", "catalog:run_catalog_init", "Draft a catalog from what an index holds."),
)
DEMO_COMMANDS: tuple[CommandEntry, ...] = (
    ("demo", "demo:run_demo", "Build an index from generated devices and walk through all of it."),
)
COMMAND_PANELS: dict[str, tuple[CommandEntry, ...]] = {
    "Query": (
        ("count", "count:run_count", "How many devices are meant."),
        (
            "explain",
            "explain:run_explain",
            "The tree with a count at every node, what each vendor could say, and why not.",
        ),
        ("parse", "parse:run_parse", "Write an expression in its canonical form."),
        (
            "lint",
            "lint:run_lint",
            "What is legal and yet hardly meant: always empty, idle branches, unknown tags. "
            "Exit code 1 if there is any.",
        ),
    ),
    "Plan and translate": (
        (
            "translate",
            "translate:run_translate",
            "Read one vendor's targeting and write it in another's words; text is a source and a target too.",
        ),
        ("vendors", "vendors:run_vendors", "The vendors, what each can say, its limits, and the page they come from."),
        (
            "plan",
            "plan:run_plan",
            "How a vendor would be told: natively or by ids, why, and what each way costs; nothing is written or sent.",
        ),
        ("emit", "emit:run_emit", "Write the requests' targeting bodies as NDJSON files, at most 1,000 ids a line."),
        (
            "campaign",
            "campaign:run_campaign",
            "Divide devices among vendors, each told once, and write a folder of requests for each vendor.",
        ),
    ),
    "Send": (
        (
            "send",
            "delivery:run_send",
            "Send a message to whom the requests of a folder mean; once begun, `audience resume` goes on.",
        ),
        ("resume", "delivery:run_resume", "Go on with what was begun, also beside others who are at it."),
        ("status", "delivery:run_status", "How far a run is: what was told, refused, is in doubt or left."),
        ("cancel", "delivery:run_cancel", "Never send what was not sent yet; what is under way comes to its end."),
        (
            "error-codes",
            "error_codes:run_error_codes",
            "A vendor's error codes: what each means, what becomes of the batch and the run, and what to do.",
        ),
        (
            "sandbox",
            "sandbox:run_sandbox",
            "Answer as EngageLab, JPush, TPNS and EMAS do, on a port of this machine, until Ctrl-C; "
            "then tell who was told.",
        ),
    ),
}


class LazyCommand(TyperCommand):
    """A command of which the name and the sentence are known; its callback loads the function that has the rest."""

    def make_context(self, info_name: str | None, *arguments: Any, **extra: Any) -> Any:
        """What is asked of a command to run it, to tell its help, and to complete its words."""
        assert self.callback is not None
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(self.callback())
        restore_sigint()
        return typer.main.get_command(alone).make_context(info_name, *arguments, **extra)


def build_app(callback: Callable[..., Any], help_text: str) -> typer.Typer:
    """The command line; *about* takes what stands before a command, *says* is what all of it does."""
    whole = _build_group(None, DEMO_COMMANDS)
    whole.callback(help=help_text)(callback)
    for panel, entries in COMMAND_PANELS.items():
        _add_commands(whole, entries, panel)
    whole.add_typer(
        _build_group("Build an index of devices, look at it, change it, keep it.", INDEX_COMMANDS), name="index"
    )
    whole.add_typer(_build_group("Expressions that an index has saved.", SEGMENT_COMMANDS), name="segment")
    whole.add_typer(
        _build_group("What vendors call attributes, and what is known of them.", CATALOG_COMMANDS), name="catalog"
    )
    return whole


def _build_group(help_text: str | None, entries: Iterable[CommandEntry]) -> typer.Typer:
    group = typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)
    _add_commands(group, entries)
    return group


def _add_commands(group: typer.Typer, entries: Iterable[CommandEntry], panel: str | None = None) -> None:
    for name, place, sentence in entries:
        group.command(name, cls=LazyCommand, help=sentence, rich_help_panel=panel)(_make_loader(place))


def _make_loader(import_path: str) -> Callable[[], Any]:
    """What loads the function at *place*."""

    def load_function() -> Any:
        module, _, function = import_path.partition(":")
        return getattr(import_module(f"audience.cli.commands.{module}"), function)

    return load_function
