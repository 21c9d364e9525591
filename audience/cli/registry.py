"""Every command: its name, where its function is, and what it does, in the first sentence of the function.

A function is loaded when its command is called, so that each command waits for what it needs and for nothing else.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, TypeAlias

import typer
from typer.core import TyperCommand

from audience.cli.interrupts import raise_again

Entry: TypeAlias = tuple[str, str, str]  # name, module in `audience.cli.commands` and function, sentence

INDEX: tuple[Entry, ...] = (
    ("build", "index:build", "Build an index of a table of devices; columns find their role by name and type."),
    (
        "info",
        "index:info",
        "What an index holds: devices, ids, attributes and their values, segments, and its snapshot.",
    ),
    ("check", "index:check", "Read every file of the current snapshot whole and compare it with its checksum."),
    (
        "update",
        "index_update:update",
        "Write what a table says of devices: those that are known change in its columns, others are added.",
    ),
    ("tag", "index_update:tag", "Give devices bare tags, and take others from them."),
    ("remove", "index_update:remove", "Take devices out of an index."),
    (
        "compact",
        "maintenance:compact",
        "Write anew what questions have to go around since devices changed: they are answered faster.",
    ),
    ("history", "maintenance:history", "The snapshots that are kept, the oldest first; the last one is current."),
    ("restore", "maintenance:restore", "Make an older snapshot current again, as a new one."),
    (
        "backup",
        "maintenance:backup",
        "Copy the current snapshot, checked, to a folder that is an index itself; writers may go on meanwhile.",
    ),
    ("vacuum", "maintenance:vacuum", "Forget all snapshots but the last, and remove the files that no other needs."),
)
SEGMENT: tuple[Entry, ...] = (
    ("save", "segment:save", "Save an expression by a name, in place of what was saved so."),
    ("list", "segment:list_", "All segments: name, devices, expression."),
    ("show", "segment:show", "The expression of a segment."),
    ("drop", "segment:drop", "Forget a segment."),
)
CATALOG: tuple[Entry, ...] = (
    ("check", "catalog:check", "Whether a catalog is sound: every name legal at its vendor, and none for two tags."),
    ("init", "catalog:init", "Draft a catalog from what an index holds."),
)
DEMO: tuple[Entry, ...] = (("demo", "demo:demo", "Build an index from generated devices and walk through all of it."),)
PANELS: dict[str, tuple[Entry, ...]] = {
    "Who is meant": (
        ("count", "count:count", "How many devices are meant."),
        (
            "explain",
            "explain:explain",
            "The tree with a count at every node, what each vendor could say, and why not.",
        ),
        ("parse", "parse:parse", "Write an expression in its canonical form."),
        (
            "lint",
            "lint:lint",
            "What is legal and yet hardly meant: always empty, idle branches, unknown tags. "
            "Exit code 1 if there is any.",
        ),
    ),
    "In vendors' words": (
        (
            "translate",
            "translate:translate",
            "Read one vendor's targeting and write it in another's words; text is a source and a target too.",
        ),
        ("vendors", "vendors:vendors", "The vendors, what each can say, its limits, and the page they come from."),
        (
            "plan",
            "plan:plan",
            "How a vendor would be told: natively or by ids, why, and what each way costs; nothing is written or sent.",
        ),
        ("emit", "emit:emit", "Write the requests' targeting bodies as NDJSON files, at most 1,000 ids a line."),
        (
            "campaign",
            "campaign:campaign",
            "Divide devices among vendors, each told once, and write a folder of requests for each vendor.",
        ),
    ),
    "Sending": (
        (
            "send",
            "delivery:send",
            "Send a message to whom the requests of a folder mean; once begun, `audience resume` goes on.",
        ),
        ("resume", "delivery:resume", "Go on with what was begun, also beside others who are at it."),
        ("status", "delivery:status", "How far a run is: what was told, refused, is in doubt or left."),
        ("cancel", "delivery:cancel", "Never send what was not sent yet; what is under way comes to its end."),
        (
            "codes",
            "error_codes:codes",
            "A vendor's error codes: what each means, what becomes of the batch and the run, and what to do.",
        ),
        (
            "sandbox",
            "sandbox:sandbox",
            "Answer as EngageLab, JPush, TPNS and EMAS do, on a port of this machine, until Ctrl-C; "
            "then tell who was told.",
        ),
    ),
}


class OnDemand(TyperCommand):
    """A command of which the name and the sentence are known; its callback loads the function that has the rest."""

    def make_context(self, info_name: str | None, *arguments: Any, **facts: Any) -> Any:
        """What is asked of a command to run it, to tell its help, and to complete its words."""
        assert self.callback is not None
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(self.callback())
        raise_again()
        return typer.main.get_command(alone).make_context(info_name, *arguments, **facts)


def app(about: Callable[..., Any], says: str) -> typer.Typer:
    """The command line; *about* takes what stands before a command, *says* is what all of it does."""
    whole = _group(None, DEMO)
    whole.callback(help=says)(about)
    for panel, entries in PANELS.items():
        _add(whole, entries, panel)
    whole.add_typer(_group("Build an index of devices, look at it, change it, keep it.", INDEX), name="index")
    whole.add_typer(_group("Expressions that an index has saved.", SEGMENT), name="segment")
    whole.add_typer(_group("What vendors call attributes, and what is known of them.", CATALOG), name="catalog")
    return whole


def _group(says: str | None, entries: Iterable[Entry]) -> typer.Typer:
    group = typer.Typer(help=says, no_args_is_help=True, add_completion=False)
    _add(group, entries)
    return group


def _add(group: typer.Typer, entries: Iterable[Entry], panel: str | None = None) -> None:
    for name, place, sentence in entries:
        group.command(name, cls=OnDemand, help=sentence, rich_help_panel=panel)(_loader(place))


def _loader(place: str) -> Callable[[], Any]:
    """What loads the function at *place*."""

    def load() -> Any:
        module, _, function = place.partition(":")
        return getattr(import_module(f"audience.cli.commands.{module}"), function)

    return load
