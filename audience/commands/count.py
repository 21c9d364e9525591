"""How many devices an expression means."""

from audience.commands.options import ExprText, IndexPath, Json
from audience.index.device_index import DeviceIndex
from audience.language.parse import parse as parse_text
from audience.language.render import render
from audience.report import result, warn


def count(index: IndexPath, expr: ExprText, json: Json = False) -> None:
    """How many devices are meant."""
    opened, meant = DeviceIndex.open(index), parse_text(expr)
    found = opened.count(meant)
    warn(opened.problems(meant), json)
    result({"count": found, "devices": len(opened), "expression": render(meant)}, json, str(found))
