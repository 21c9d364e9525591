"""How many devices an expression means."""

from audience.cli.options import ExprText, IndexPath, Json
from audience.cli.output.report import result, warn
from audience.index.query.evaluate import count as counted
from audience.index.query.unmatched import unmet
from audience.index.storage.snapshot import opened
from audience.language.parser import parse as parse_text
from audience.language.printer import render


def count(index: IndexPath, expr: ExprText, json: Json = False) -> None:
    """How many devices are meant."""
    snapshot, meant = opened(index), parse_text(expr)
    found = counted(meant, snapshot)
    warn(unmet(meant, snapshot), json)
    result({"count": found, "devices": snapshot.devices, "expression": render(meant)}, json, str(found))
