"""How many devices an expression means."""

from audience.commands.options import ExprText, IndexPath, Json
from audience.index.evaluate import count as counted
from audience.index.snapshot import opened
from audience.index.unmet import unmet
from audience.language.parse import parse as parse_text
from audience.language.render import render
from audience.terminal.report import result, warn


def count(index: IndexPath, expr: ExprText, json: Json = False) -> None:
    """How many devices are meant."""
    snapshot, meant = opened(index), parse_text(expr)
    found = counted(meant, snapshot)
    warn(unmet(meant, snapshot), json)
    result({"count": found, "devices": snapshot.devices, "expression": render(meant)}, json, str(found))
