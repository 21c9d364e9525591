"""Ask expressions of an index as of a moment, in a time zone."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import time_machine

from audience import DeviceIndex, ExpressionError, parse, render
from audience.language.as_of import read_as_of

TODAY = date(2026, 11, 28)
NOON = "2026-11-28T12:00"
DAYS = [TODAY - timedelta(days) for days in (-1, 0, 1, 6, 7, 8, 30)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    """Return the folder of an index with a device for each day, and a saved segment of the last seven days."""
    path = tmp_path_factory.mktemp("questions") / "devices.index"
    tags = [["vip"], *[[]] * (len(DAYS) - 1)]
    table = pl.DataFrame({"token": [f"t{number}" for number in range(len(DAYS))], "active": DAYS, "tags": tags})
    index = DeviceIndex.build(table, path)
    index.save_segment("fresh", "active within 7 days")
    return str(path)


@pytest.fixture
def index(folder) -> DeviceIndex:
    return DeviceIndex.open(folder)


COUNTS = {
    ("active within 7 days", NOON): 3,
    ("active within 7 days", "2026-11-29T00:00"): 3,
    ("active within 7 days", "2026-12-04"): 2,
    ("active = today OR active = yesterday", NOON): 2,
    ("active in (today, tomorrow)", NOON): 2,
    ("active before 30 days ago", NOON): 0,
    ("active before 30 days ago", "2026-11-29"): 1,
    ("active within 7 days AND NOT active = today", NOON): 2,
    ("at least 1 of (active = today, active within 7 days)", NOON): 3,
    ("vip EXCEPT active within 7 days", NOON): 1,
    ("@fresh", NOON): 3,
    ("NOT @fresh", "2026-12-30"): 7,
}


@pytest.mark.parametrize(("question", "count"), COUNTS.items(), ids=str)
def test_relative_times_are_those_of_the_question(index, question, count):
    text, as_of = question
    assert index.count(text, as_of=as_of) == len(index.resolve(text, as_of=as_of)) == count
    assert index.explain(text, as_of=as_of)[0].device_count == count
    assert index.count(index.bind(text, as_of=as_of)) == count


def test_today_is_the_day_of_the_time_zone(index):
    late = datetime(2026, 11, 28, 20, tzinfo=UTC)
    assert index.bind("active = today", as_of=late) == parse("active:2026-11-28")
    assert index.bind("active = today", as_of=late, timezone="Asia/Shanghai") == parse("active:2026-11-29")
    assert index.count("active = today AND vip", as_of=late) == 0
    assert index.count("active = today AND vip", as_of=late, timezone="Asia/Shanghai") == 1


def test_day_is_its_first_moment():
    asked = read_as_of("2018-11-04", "America/Sao_Paulo")  # clocks go forward at midnight
    assert str(asked) == "2018-11-04T01:00:00-02:00 America/Sao_Paulo"
    assert str(read_as_of("2026-11-28", "Asia/Shanghai")) == "2026-11-28T00:00:00+08:00 Asia/Shanghai"


def test_one_expression_object_is_bound_whenever_it_is_asked(index):
    expr = parse("active within 7 days AND NOT vip")
    counts = [index.count(expr, as_of=day) for day in (NOON, "2026-12-04", NOON, "2026-11-27")]
    assert counts == [3, 1, 3, 3] and counts[0] == index.count(expr, as_of=NOON)


def test_set_of_devices_stays_that_of_its_question(index):
    with time_machine.travel(datetime(2026, 11, 28, 12, tzinfo=UTC), tick=False):
        devices = index.resolve("@fresh")
    with time_machine.travel(datetime(2026, 12, 28, 12, tzinfo=UTC), tick=False):
        assert len(devices) == len(devices.ids()) == 3
        assert len(index.resolve("@fresh")) == 0


@pytest.mark.parametrize(("days", "tokens"), {-1: "234", 0: "123", 1: "012", 6: "01", 7: "0", 8: ""}.items())
def test_saved_segment_is_about_the_day_on_which_it_is_asked(audience, folder, days, tokens):
    count = len(tokens)
    moment = datetime(2026, 11, 28, 12, tzinfo=UTC) + timedelta(days)
    assert audience("count", folder, "@fresh", "--as-of", moment.isoformat())[1] == f"{count}\n"
    with time_machine.travel(moment, tick=False):
        assert sorted(DeviceIndex.open(folder).resolve("@fresh").ids()) == [f"t{number}" for number in tokens]
        code, out, err = audience("count", folder, "@fresh")
    bound = f"active within 7 days of {moment.date()}"
    assert (code, out) == (0, f"{count}\n")
    assert err.startswith(f"note: as-of: as of {moment.date()}T12:00:00+00:00 UTC: {bound}\n")


def test_count_names_the_moment_where_it_matters(audience, folder):
    assert audience("count", folder, "vip") == (0, "1\n", "")
    assert audience("count", folder, "vip", "--timezone", "Asia/Tokyo")[2].endswith("+09:00 Asia/Tokyo: vip\n")
    code, out, err = audience("count", folder, "@fresh", "--as-of", "2026-11-28T09:00+08:00", "--json")
    facts = {"expression": "@fresh", "bound": "active within 7 days of 2026-11-28", "timezone": "UTC"}
    assert json.loads(out) == {"count": 3, "devices": 7, **facts, "as_of": "2026-11-28T01:00:00+00:00"}
    assert (code, err) == (0, "")


WRONG_QUESTIONS = {
    ("--as-of", "noon"): "invalid-as-of: 'noon' is not a moment",
    ("--as-of", "0001-01-01T00:00+08:00"): "invalid-as-of: '0001-01-01T00:00+08:00' is outside the years 1 to 9999",
    ("--as-of", "2026-10-25T02:30", "--timezone", "Europe/Berlin"): (
        "invalid-as-of: clocks of Europe/Berlin show 2026-10-25T02:30:00 twice, because they were put back\n"
        '   = hint: write "2026-10-25T02:30:00+02:00" or "2026-10-25T02:30:00+01:00"\n'
    ),
    ("--as-of", "2026-03-29T02:30", "--timezone", "Europe/Berlin"): (
        "invalid-as-of: clocks of Europe/Berlin never show 2026-03-29T02:30:00, because they were put forward past it\n"
    ),
    (
        "--as-of",
        "0001-01-01",
        "--timezone",
        "Asia/Shanghai",
    ): "invalid-as-of: '0001-01-01' is outside the years 1 to 9999",
    ("--timezone", ""): "unknown-timezone: unknown time zone ''",
    ("--timezone", "Asia/Shanghia"): "unknown-timezone: unknown time zone 'Asia/Shanghia'",
    ("--timezone", "../etc"): "unknown-timezone: unknown time zone '../etc'",
}


@pytest.mark.parametrize(("words", "error"), WRONG_QUESTIONS.items(), ids=str)
def test_wrong_moments_and_zones_are_errors(audience, folder, words, error):
    code, out, err = audience("count", folder, "active within 7 days", *words)
    assert (code, out) == (2, "") and err.startswith(error)


HOURS_OF_DAYS = {
    "active within 36 hours": "hint: count days: active within 2 days",
    "active within next 90 minutes": "hint: count days: active within next 1 day",
    "active within 3000 minutes": "hint: count days: active within 3 days",
    "active > now - 3 hours": "hint: write today for now",
    "vip AND NOT active from 2026-11-01 to now": "hint: write today for now",
}


@pytest.mark.parametrize(("text", "hint"), HOURS_OF_DAYS.items())
def test_hours_of_an_attribute_of_days_are_refused(index, text, hint):
    with pytest.raises(ExpressionError, match="active has days, without hours") as caught:
        index.count(text, as_of=NOON)
    assert caught.value.code == "bad-time" and hint in str(caught.value)


def test_segments_inside_a_limit_are_expanded_and_bound(index):
    bound = index.bind("(@fresh AND vip limit 5 seed x) AND NOT vip", as_of=NOON)
    assert render(bound) == "((active within 7 days of 2026-11-28 AND vip) limit 5 seed x) AND NOT vip"
    with pytest.raises(ExpressionError, match="unknown segment 'frsh'"):
        index.bind("@frsh limit 5 seed x")


ASKED = ["--as-of", "2026-11-28T09:00+08:00", "--timezone", "Asia/Shanghai"]
ASKED_FACTS = {"as_of": "2026-11-28T09:00:00+08:00", "timezone": "Asia/Shanghai"}
BOUND = "active within 7 days of 2026-11-28"


@pytest.fixture
def folder_here(folder, tmp_path, monkeypatch) -> str:
    """Return the folder of the index, with an empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return folder


COMMANDS = {
    "count": ["count", "INDEX", "@fresh"],
    "explain": ["explain", "INDEX", "@fresh"],
    "plan": ["plan", "INDEX", "active within 7 days", "--vendor", "engagelab"],
    "emit": ["emit", "INDEX", "active within 7 days", "--vendor", "engagelab", "-o", "out"],
    "campaign": ["campaign", "INDEX", "active within 7 days", "--vendors", "engagelab", "-o", "out"],
    "segment show": ["segment", "show", "INDEX", "fresh"],
    "translate": ["translate", "active within 7 days"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_name_the_moment_and_what_was_asked(audience, folder_here, name):
    words = [folder_here if word == "INDEX" else word for word in COMMANDS[name]]
    code, out, err = audience(*words, *ASKED, "--json")
    facts = json.loads(out)
    assert code == 0, err
    assert {key: facts[key] for key in (*ASKED_FACTS, "bound")} == {**ASKED_FACTS, "bound": BOUND}
    assert facts["expression"] in ("@fresh", "active within 7 days")


@pytest.mark.parametrize("name", ["count", "emit", "campaign", "segment show"])
def test_commands_note_the_moment_on_standard_error(audience, folder_here, name):
    words = [folder_here if word == "INDEX" else word for word in COMMANDS[name]]
    code, _, err = audience(*words, *ASKED)
    assert code == 0
    assert f"note: as-of: as of 2026-11-28T09:00:00+08:00 Asia/Shanghai: {BOUND}\n" in err


def test_explain_shows_the_expression_as_written_and_as_bound(audience, folder):
    code, out, _ = audience("explain", folder, "@fresh AND NOT vip", *ASKED)
    heading, _, counts = out.partition("\n\n")
    lines = ["as of      2026-11-28T09:00:00+08:00 Asia/Shanghai", "expression @fresh AND NOT vip"]
    assert (code, heading.splitlines()) == (0, [*lines, f"bound      {BOUND} AND NOT vip"])
    assert BOUND in counts


def test_emitted_requests_stay_those_of_their_moment(audience, folder_here):
    code, _, _ = audience("emit", folder_here, "@fresh", "--vendor", "engagelab", "-o", "out", *ASKED)
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert (code, manifest["devices"], manifest["id_count"]) == (0, 3, 3)
    assert manifest["bound"] == BOUND and {**manifest, **ASKED_FACTS} == manifest


def test_segment_shows_that_it_is_relative(audience, folder_here):
    index = DeviceIndex.open(folder_here)
    index.backup("copy.index")
    code, out, _ = audience("segment", "save", "copy.index", "gone", "active before 7 days ago", *ASKED)
    ending = "2 devices as of 2026-11-28T09:00:00+08:00 Asia/Shanghai; its days are relative to each question\n"
    assert code == 0 and out.endswith(ending)
    assert DeviceIndex.open("copy.index").snapshot.manifest.segments["gone"] == "active < 7 days ago"
    facts = json.loads(audience("segment", "list", "copy.index", *ASKED, "--json")[1])
    assert [(each["name"], each["is_relative"], each["devices"]) for each in facts] == [
        ("fresh", True, 3),
        ("gone", True, 2),
    ]
    assert "note: as-of: counted as of 2026-11-28" in audience("segment", "list", "copy.index", *ASKED)[2]


def test_lint_and_plan_are_asked_as_of_the_moment(audience, folder):
    expr = "active >= today AND active < 2026-11-28"
    assert audience("lint", expr, folder, *ASKED)[:2] != (0, "no problems found\n")
    assert audience("lint", expr, folder, "--as-of", "2026-11-20")[:2] == (0, "no problems found\n")
    assert "as of      2026-11-28T09:00:00+08:00" in audience("plan", folder, expr, "--vendor", "engagelab", *ASKED)[1]
