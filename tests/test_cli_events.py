"""Commands for the events of an index."""

import json
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from audience import DeviceIndex
from audience.cli.completion import complete_event

DEVICES = pl.DataFrame({"token": ["t1", "t2", "t3"]})
EVENTS = """\
token,event,at,amount
t1,buy,2026-11-01 10:00:00,1.5
t9,buy,2026-11-02 10:00:00,2
t2,open,2026-11-03 10:00:00,
"""


@pytest.fixture
def small(audience, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    DeviceIndex.build(DEVICES, "x.index", timezone="Asia/Shanghai")
    (tmp_path / "events.csv").write_text(EVENTS)
    return tmp_path


def test_events_are_added_once(audience, small):
    code, out, err = audience("events", "add", "x.index", "events.csv")
    assert (code, out) == (0, "snapshot 2: 2 events added: 1 buy, 1 open\n")
    assert err.startswith("warning: unknown-event-ids: 1 event of ids that no device has, left out: t9\n")
    assert "--unknown keep" in err
    again = audience("events", "add", "x.index", "events.csv", "--unknown", "keep")
    assert again == (0, "1 batch added before: snapshot 2 is still current\n", "")


def test_json_has_all_counts(audience, small):
    words = ["--unknown", "keep", "--batch", "day 1", "--covers-to", "2026-11-20", "--keep", "90d", "--json"]
    code, out, _ = audience("events", "add", "x.index", "events.csv", *words)
    facts = json.loads(out)
    assert (code, facts["added"], facts["counts"], facts["waiting"]) == (0, 2, {"buy": 1, "open": 1}, 1)
    assert (facts["unknown_ids"], facts["batches"], facts["repeated"]) == (["t9"], ["day 1"], [])
    (buy, opened) = json.loads(audience("events", "list", "x.index", "--json")[1])
    assert buy | {"bytes": 0} == {
        "name": "buy",
        "devices": 1,
        "events": 1,
        "first_day": "2026-11-01",
        "last_day": "2026-11-01",
        "covered_from": "2026-08-23",
        "covered_to": "2026-11-20",
        "keep_days": 90,
        "properties": {"amount": "number"},
        "bytes": 0,
    }
    assert (opened["properties"], opened["covered_to"]) == ({}, "2026-11-20")


def test_list_and_info_name_the_events(audience, small):
    assert audience("events", "list", "x.index")[1] == "no events\n"
    audience("events", "add", "x.index", "events.csv")
    lines = audience("events", "list", "x.index")[1].splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["buy", "1", "1"], ["open", "1", "1"]]
    assert "events     buy, open" in audience("index", "info", "x.index")[1]


def test_forgotten_events_are_gone(audience, small):
    audience("events", "add", "x.index", "events.csv")
    assert audience("events", "forget", "x.index", "byu")[2] == (
        "unknown-event: the index has no events 'byu'\n   = hint: did you mean buy?\n"
    )
    assert "nothing-named" in audience("events", "forget", "x.index")[2]
    assert audience("events", "forget", "x.index", "buy")[1] == "snapshot 3: 1 event of buy forgotten\n"
    assert audience("events", "forget", "x.index", "--before", "2026-11-03")[0] == 0
    assert audience("events", "forget", "x.index", "--before", "2026-11-02")[1].startswith("no changes")
    (left,) = DeviceIndex.open("x.index").events()
    assert (left.name, left.event_count, str(left.covered_from)) == ("open", 1, "2026-11-03")


def test_a_table_whose_events_were_forgotten_needs_another_name(audience, small):
    for event in ("buy", "open"):
        (small / f"{event}.csv").write_text("token,at\nt1,2026-11-01 10:00:00\n")
        assert audience("events", "add", "x.index", f"{event}.csv", "--event", event)[0] == 0
    assert audience("events", "forget", "x.index", "buy")[0] == 0
    words = ("events", "add", "x.index", "buy.csv", "--event", "buy")
    code, out, err = audience(*words)
    assert (code, out) == (0, "1 batch added before: snapshot 4 is still current\n")
    assert "forgotten-batch" in err and "--batch NAME" in err
    assert audience(*words, "--batch", "again")[1] == "snapshot 5: 1 event added: 1 buy\n"
    assert audience(*words)[2] == ""


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["events.csv", "--keep", "ever"], "write it like 90d"),
        (["events.csv", "--covers-to", "20.11."], "write it like 2026-11-28"),
        (["events.csv", "--event", "buy"], "both-ways"),
        (["missing.csv"], "no-file"),
        (["events.csv", "--at", "when"], "no-column"),
    ],
)
def test_bad_option_is_refused(audience, small, words, problem):
    code, _, err = audience("events", "add", "x.index", *words)
    assert code == 2
    assert problem in err
    assert len(DeviceIndex.open("x.index").history()) == 1


def test_names_of_events_are_completed(audience, small):
    audience("events", "add", "x.index", "events.csv")

    assert complete_event(SimpleNamespace(params={"index": Path("x.index")}), "b") == ["buy"]
    assert complete_event(SimpleNamespace(params={"index": Path("missing")}), "") == []
