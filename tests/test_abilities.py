"""What each vendor can do, as the command prints it."""

import json


def test_command_prints_what_each_vendor_can_do(audience):
    code, out, _ = audience("vendors", "jpush", "onesignal", "pinpoint")
    assert code in (0, None)
    lines = {line.split()[0]: line.split() for line in out.split("\n\n")[-2].splitlines()[1:]}
    assert lines["jpush"] == "jpush yes yes held here held here yes 12 hours yes yes".split()
    assert lines["onesignal"] == "onesignal yes yes 30 days yes no 30 days no yes".split()
    assert lines["pinpoint"] == "pinpoint no no - - - - - no".split()
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
