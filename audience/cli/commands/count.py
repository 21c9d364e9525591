"""How many devices an expression means."""

from audience.cli.options import ExprArgument, IndexArgument, JsonOption
from audience.cli.output.report import print_result, print_warnings
from audience.index.query.evaluate import count_devices as counted
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.language.parser import parse as parse_text
from audience.language.printer import render


def run_count(index: IndexArgument, expr: ExprArgument, json: JsonOption = False) -> None:
    """How many devices are meant."""
    snapshot, meant = open_snapshot(open_storage(index)), parse_text(expr)
    found = counted(meant, snapshot)
    print_warnings(find_unmatched(meant, snapshot), json)
    print_result({"count": found, "devices": snapshot.device_count, "expression": render(meant)}, json, str(found))
