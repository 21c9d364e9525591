"""What each vendor can do: tables in the docs that are those of the records.

`UPDATE_DOCS=1 pytest tests/test_abilities.py` writes them.
"""

import json
import os
import re

import pytest
from fact_files import TESTS_FOLDER

from audience import get_vendor, vendor_names
from audience.cli.output.vendors import ABILITY_TITLES, format_duration, list_ability_rows
from audience.vendors.abilities import keeps_all, list_abilities, list_methods

DOCS = TESTS_FOLDER.parent / "docs"
SCHEDULE_TITLES = ("vendor", "keeps until their time", "up to", "held here")
SOME = " (some targets)"


def list_schedule_rows():
    """Return which methods of each vendor are kept there, how far ahead, and which are held here."""
    rows = []
    for name in vendor_names(can="send"):
        methods = list_methods(get_vendor(name).delivery)
        kept = [f"`{each.name}`{'' if keeps_all(each) else SOME}" for each in methods if each.schedule is not None]
        held = [f"`{each.name}`" for each in methods if not keeps_all(each)]
        ahead = list_abilities(get_vendor(name)).schedules_ahead
        held_cell = "everything" if not kept else ", ".join(held)
        rows.append((get_vendor(name).name, ", ".join(kept), format_duration(ahead) if ahead else "", held_cell))
    return rows


def write_table(titles, rows):
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def list_all_rows():
    return list_ability_rows([get_vendor(name) for name in vendor_names()])


@pytest.mark.parametrize(
    ("page", "titles", "list_rows"),
    [("vendors.md", ABILITY_TITLES, list_all_rows), ("scheduling.md", SCHEDULE_TITLES, list_schedule_rows)],
    ids=["vendors", "scheduling"],
)
def test_table_in_the_docs_is_that_of_the_records(page, titles, list_rows):
    text = (DOCS / page).read_text("utf-8")
    head = re.escape(f"| {' | '.join(titles)} |\n")
    table = write_table(titles, list_rows())
    current, count = re.subn(rf"{head}(?:\|.*\n)*", table.replace("\\", r"\\"), text)
    if os.environ.get("UPDATE_DOCS"):
        (DOCS / page).write_text(current, "utf-8")
        text = current
    assert count == 1
    assert text == current, "UPDATE_DOCS=1 pytest tests/test_abilities.py writes the table"


def test_command_prints_what_each_vendor_can_do(audience):
    code, out, _ = audience("vendors", "jpush", "onesignal", "braze")
    assert code in (0, None)
    lines = {line.split()[0]: line.split() for line in out.split("\n\n")[-2].splitlines()[1:]}
    assert lines["jpush"] == "jpush yes yes held here held here yes 12 hours yes yes".split()
    assert lines["onesignal"] == "onesignal yes yes 30 days yes no 30 days no no".split()
    assert lines["braze"] == "braze no no - - - - - no".split()
    [form] = json.loads(audience("vendors", "emas", "--json")[1])
    assert form["abilities"] == {
        "say": True,
        "send": True,
        "schedule_seconds": 604_800.0,
        "schedule_all": False,
        "cancel": True,
        "dry_run": False,
        "drops_repeats_seconds": 900.0,
        "drops_repeats_of_all": False,
        "names_unknown_ids": False,
        "syncs_tags": True,
    }
