"""Command that counts devices."""

from audience.cli.options import ExprArgument, IndexArgument
from audience.cli.output.writer import Output
from audience.index.query.evaluate import count_devices
from audience.index.query.unmatched import find_unmatched
from audience.index.storage.published import open_storage
from audience.index.storage.snapshot import open_snapshot
from audience.language.parser import parse
from audience.language.printer import render


def run_count(output: Output, index: IndexArgument, expr: ExprArgument) -> None:
    """Count the devices of an audience."""
    snapshot, audience = open_snapshot(open_storage(index)), parse(expr)
    count = count_devices(audience, snapshot)
    output.print_warnings(find_unmatched(audience, snapshot))
    facts = {"count": count, "devices": snapshot.device_count, "expression": render(audience)}
    output.print_result(facts, str(count))
