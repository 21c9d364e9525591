"""`audience refresh`: the steps that a project file asks for, again and again, also after a death between any two."""

import json
import multiprocessing
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sizes import IS_FULL_SIZE

from audience import DeviceIndex
from audience._fs.locks import try_lock
from audience.cli import app

PROJECT = """
index = "out/devices.index"
segments = "segments"
[devices]
table = "devices.parquet"
timezone = "Asia/Shanghai"
number = "age"
[devices.update]
table = "changes.csv"
[events.purchases]
table = "purchases"
event = "purchase"
unknown = "keep"
[events.visits]
table = "visits.csv"
event-column = "what"
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in the folder of a project; its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "purchases").mkdir()
    (tmp_path / "segments").mkdir()
    write_project(PROJECT)
    pl.DataFrame({"token": ["a", "b", "c"], "tags": [["vip"], [], ["vip"]], "age": ["30", "40", None]}).write_parquet(
        "devices.parquet"
    )
    pl.DataFrame({"token": ["b", "d"], "age": [41, 18]}).write_csv("changes.csv")
    write_events("purchases/1.csv", "a", "b")
    pl.DataFrame({"token": ["a"], "what": ["visit"], "at": [moment()]}).write_csv("visits.csv")
    Path("segments/young.aud").write_text("age < 35")

    def command(*words):
        with pytest.raises(SystemExit) as ended:
            app.run(list(words))
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return command


def write_project(text):
    path = Path("audience.toml")
    path.write_text(text)
    path.chmod(0o644)


def moment():
    return (datetime.now(UTC) - timedelta(hours=1)).isoformat()


def write_events(path, *tokens):
    pl.DataFrame({"token": tokens, "at": [moment()] * len(tokens)}).write_csv(path)


def count(expr):
    return DeviceIndex.open("out/devices.index").count(expr)


def read_state():
    index = DeviceIndex.open("out/devices.index")
    ids = index.resolve("everyone").ids()
    asked = ["vip", "age < 35", "age >= 41", "did(purchase)", "did(purchase) >= 2", "did(visit)", "@young"]
    return sorted(ids), {expr: index.count(expr) for expr in asked}


def steps_of(err):
    return [line.removeprefix("note: step: audience ").split()[:2] for line in err.splitlines() if "note: step" in line]


BUILD = [["index", "build"], ["events", "add"], ["events", "add"], ["segment", "apply"]]
UPDATE = [["index", "update"], *BUILD[1:]]


def test_first_refresh_builds_and_later_ones_update(run):
    code, out, err = run("refresh")
    assert (code, steps_of(err)) == (0, BUILD)
    assert "3 devices" in out
    first = read_state()
    assert first == (
        ["a", "b", "c"],
        {"vip": 2, "age < 35": 1, "age >= 41": 0, "did(purchase)": 2, "did(purchase) >= 2": 0, "did(visit)": 1,
         "@young": 1},
    )  # fmt: skip
    write_events("purchases/2.csv", "b", "d")
    code, _, err = run("refresh")
    assert (code, steps_of(err)) == (0, UPDATE)
    second = read_state()
    assert second == (
        ["a", "b", "c", "d"],
        {"vip": 2, "age < 35": 2, "age >= 41": 1, "did(purchase)": 3, "did(purchase) >= 2": 1, "did(visit)": 1,
         "@young": 2},
    )  # fmt: skip
    assert run("refresh")[0] == 0
    assert read_state() == second
    code, _, err = run("refresh", "--rebuild")
    assert (code, steps_of(err)) == (0, BUILD)
    assert read_state()[0] == ["a", "b", "c"]
    assert count("did(purchase)") == 2
    assert count("@young") == 1


def test_dry_run_prints_the_commands_and_runs_none(run):
    code, out, _ = run("refresh", "--dry-run", "--segments", "other dir", "--wait", "5")
    assert (code, Path("out").exists()) == (0, False)
    assert out.splitlines() == [
        "audience index build --timezone=Asia/Shanghai --number=age --out=out/devices.index --replace devices.parquet",
        "audience events add out/devices.index --event=purchase --unknown=keep --wait=5 purchases",
        "audience events add out/devices.index --event-column=what --wait=5 visits.csv",
        "audience segment apply out/devices.index 'other dir' --yes --wait=5",
    ]
    assert json.loads(run("refresh", "--dry-run", "--json")[1])[0][:3] == ["audience", "index", "build"]


def test_printed_commands_do_the_same(run):
    for line in run("refresh", "--dry-run")[1].splitlines():
        assert run(*line.split()[1:])[0] == 0
    by_hand = read_state()
    assert run("refresh", "--rebuild")[0] == 0
    assert read_state() == by_hand


def test_tags_are_synced_and_the_index_is_pushed_at_last(run):
    write_project(
        PROJECT.replace('segments = "segments"', 'push = "s3://b/i"\ncatalog = "c.toml"\ncredentials = "keys.toml"')
        + '[vendors.tpns]\nhost = "shanghai"\n[vendors.tpns.sync]\nattributes = "vip"\n[vendors.jpush.sync]\n'
    )
    lines = run("refresh", "--dry-run")[1].splitlines()[-3:]
    shared = "--catalog=c.toml --credentials=keys.toml --host=tpns=shanghai"
    assert lines == [
        f"audience sync out/devices.index --vendor=tpns {shared} --attributes=vip",
        f"audience sync out/devices.index --vendor=jpush {shared}",
        "audience index push out/devices.index s3://b/i",
    ]


def test_update_takes_the_table_of_the_build_if_it_names_none(run):
    write_project(
        PROJECT.replace('table = "changes.csv"', 'new = "city"').replace('number = "age"', 'duplicates = "last"')
    )
    run("refresh")
    line = run("refresh", "--dry-run")[1].splitlines()[0]
    assert line == "audience index update out/devices.index --duplicates=last --new=city devices.parquet"


def test_failing_step_stops_a_refresh_and_the_next_one_goes_on(run):
    Path("segments/bad.aud").write_text("age <")
    code, _, err = run("refresh")
    assert (code, steps_of(err)) == (2, BUILD)
    assert "bad.aud" in err
    assert count("did(purchase)") == 2
    Path("segments/bad.aud").unlink()
    assert run("refresh")[0] == 0
    assert count("@young") == 2


@pytest.mark.parametrize("death", range(8) if IS_FULL_SIZE else (0, 2, 5))
def test_death_between_any_two_steps_loses_nothing(run, death, monkeypatch):
    run("refresh")
    before = read_state()
    write_events("purchases/2.csv", "b", "d")
    run_command, begun = app.run_command, []

    def die_before(step, output):
        if step[0] != "refresh":
            if len(begun) == death % 4:
                raise KeyboardInterrupt
            begun.append(step)
        return run_command(step, output)

    with monkeypatch.context() as patch:
        patch.setattr(app, "run_command", die_before)
        assert run("refresh", *(["--rebuild"] if death >= 4 else []))[0] == 130
    if not begun:
        assert read_state() == before
    read_state()  # some snapshot is there, with its events and segments
    assert run("refresh")[0] == 0
    assert read_state()[1] == {
        **{"vip": 2, "age < 35": 2, "age >= 41": 1, "did(purchase)": 3, "did(purchase) >= 2": 1, "did(visit)": 1},
        "@young": 2,
    }


def refresh_in_process(folder, started):
    os.chdir(folder)
    started.set()
    app.run(["refresh"])


@pytest.mark.parametrize("delay", [n / 10 for n in range(20)] if IS_FULL_SIZE else [0.9])
def test_killed_refresh_leaves_a_whole_index(run, tmp_path, delay):
    run("refresh")
    before = read_state()
    pl.DataFrame({"token": ["a"], "tags": [["new"]], "age": ["1"]}).write_parquet("devices.parquet")
    write_project(PROJECT.partition("[devices.update]")[0])
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=refresh_in_process, args=(tmp_path, started))
    process.start()
    started.wait()
    process.join(delay)
    process.kill()
    process.join()
    index = DeviceIndex.open("out/devices.index")
    assert index.verify()
    assert len(index) in (1, len(before[0]))
    assert run("refresh")[0] == 0
    assert count("new") == 1


# what stands in the place of a line of the project; what the error says
WRONG_VALUES = {
    "timezone": ('timezone = "Asia/Shanghai"', 'timezone = "CST"', "line 6: unknown time zone 'CST'"),
    "duplicates": ('number = "age"', 'duplicates = "first"', "line 7: duplicates is 'first', expected refuse"),
    "bad rows": ('number = "age"', 'on-bad-row = "skip"', "line 7: on_bad_row is 'skip', expected stop"),
    "losses": ('number = "age"', 'allow-loss = ["tags"]', "line 7: allow_loss is 'tags', expected devices"),
    "keep": ('unknown = "keep"', 'keep = "a year"', "line 13: keep is 'a year', expected a number of days"),
    "unknown": ('unknown = "keep"', 'unknown = "hold"', "line 13: unknown is 'hold', expected drop or keep"),
    "host": (
        'event-column = "what"',
        'event-column = "what"\n[vendors.tpns]\nhost = "shangai"\n[vendors.tpns.sync]\n',
        "line 18: unknown data centre 'shangai'",
    ),
    "a pair": ('number = "age"', "split = { tags = 3 }", "line 7: devices.split.tags: expected text, found a number"),
}


@pytest.mark.parametrize(("line", "other", "expected"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_wrong_value_is_named_with_its_line_before_the_first_step(line, other, expected, run):
    write_project(PROJECT.replace(line, other, 1))
    for words in (["refresh"], ["refresh", "--dry-run"]):
        code, out, err = run(*words)
        assert (code, out, steps_of(err), Path("out").exists()) == (2, "", [], False)
        assert expected in err, err


def test_failing_step_names_the_section_that_it_has_its_options_from(run):
    write_project(PROJECT.replace('event-column = "what"', 'event-column = "wat"'))
    code, _, err = run("refresh")
    assert (code, steps_of(err)) == (2, BUILD[:3])
    assert "audience.toml, line 14: options of this step are those of [events.visits]" in err


def test_failed_export_stops_the_refresh(run):
    assert run("refresh")[0] == 0
    pl.read_parquet("devices.parquet").clear().write_parquet("devices.parquet")
    before = read_state()
    code, _, err = run("refresh", "--rebuild")
    assert (code, steps_of(err), "lost-devices: " in err) == (2, BUILD[:1], True)
    assert read_state() == before


def test_one_refresh_at_a_time(run, tmp_path):
    Path("out").mkdir()
    with try_lock(tmp_path / "out" / ".devices.index.refresh.lock"):
        code, _, err = run("refresh")
    assert (code, err.startswith("locked: out/devices.index is being refreshed")) == (1, True)
    assert [*Path("out").iterdir()] == [Path("out/.devices.index.refresh.lock")]


def test_results_are_json_lines(run):
    code, out, err = run("refresh", "--json")
    assert code == 0
    assert [json.loads(line)["snapshot"] for line in out.splitlines()] == [1, 2, 3, 4]
    notes = [json.loads(line)["notes"][0] for line in err.splitlines() if '"notes"' in line]
    assert [note["code"] for note in notes] == ["step"] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "no-config"),
        ('[devices]\ntable = "devices.parquet"', "no-config"),
        ('index = "s3://bucket/devices.index"', "push ="),
        (
            'index = "i"\n[devices]\ntable = "devices.parquet"\n[devices.update]\nnubmer = "age"',
            "unknown key devices.update.nubmer",
        ),
        ('index = "i"\n[devices]\ntable = "d"\n[events.a]\ntable = "e"\nbatch = "b"', "unknown key events.a.batch"),
        ('index = "i"\n[vendors.tpns.sync]\nfull = true', "unknown key vendors.tpns.sync.full"),
        ('index = "i"\n[vendors.tpns.sync]\nconcurrency = "many"', "expected a number, found text"),
        ('index = "i"\n[vendors.tpns.sync]\ntable = "t"', "unknown key vendors.tpns.sync.table"),
        ('index = "i"', "nothing to refresh"),
    ],
)
def test_project_that_cannot_be_refreshed_is_refused(text, expected, run):
    Path("audience.toml").unlink()
    if text is not None:
        write_project(text)
    code, out, err = run("refresh")
    assert (code, out) == (2, "")
    assert expected in err
