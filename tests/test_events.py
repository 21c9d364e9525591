"""Events that are added to an index: columns, batches, unknown ids, coverage and retention."""

from collections import Counter
from datetime import date, datetime

import polars as pl
import pytest

from audience import DeviceIndex, TableError

DEVICES = pl.DataFrame({"token": [f"t{number}" for number in range(8)]})
BUYS = "token,event,time,amount,gift\nt1,buy,2026-11-01 10:00:00,1.5,true\nt2,buy,2026-11-02 11:00:00,2,false\n"


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return DeviceIndex.build(DEVICES, tmp_path / "index", timezone="Asia/Shanghai")


@pytest.fixture
def write(tmp_path):
    def write_file(text: str, name: str = "events.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_file


def count_events(index: DeviceIndex) -> dict[str, int]:
    events = index.snapshot.events
    return {event: events.count_events(event) for event in events.names()}


def read_instants(index: DeviceIndex, event: str) -> list[str]:
    """Return the moments of events in the order of the index."""
    instants = [
        instant
        for segment in index.snapshot.events.segments(event)
        for instant in segment.load_instants(*segment.row_starts[[0, -1]].tolist()).tolist()
    ]
    return [f"{datetime.fromtimestamp(instant / 1e6, index.snapshot.zone):%Y-%m-%dT%H:%M:%S}" for instant in instants]


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def test_wall_clock_times_are_those_of_the_index(index, write):
    index.add_events(write(BUYS))
    assert read_instants(index, "buy") == ["2026-11-01T10:00:00", "2026-11-02T11:00:00"]


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({"token": "token", "event": "event", "at": "at"}, {}),
        ({"token": "token", "event": "event_name", "at": "timestamp"}, {}),
        ({"token": "token", "event": "name", "at": "bought"}, {}),
        ({"token": "customer", "event": "what", "at": "bought"}, {"id_column": "customer", "event_column": "what"}),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet", "arrow"])
def test_columns_are_found_by_name_and_type(index, tmp_path, columns, options, suffix):
    frame = pl.DataFrame({"token": ["t1"], "event": ["buy"], "at": ["2026-11-01T10:00:00Z"]}).rename(columns)
    file = tmp_path / f"events.{suffix}"
    {
        "csv": frame.write_csv,
        "ndjson": frame.write_ndjson,
        "parquet": lambda path: frame.with_columns(pl.last().str.to_datetime(time_zone="UTC")).write_parquet(path),
        "arrow": lambda path: frame.with_columns(pl.last().str.to_datetime(time_zone="UTC")).write_ipc(path),
    }[suffix](file)
    assert index.add_events(file, **options).counts == {"buy": 1}
    assert read_instants(index, "buy") == ["2026-11-01T18:00:00"]


@pytest.mark.parametrize(
    ("at", "options", "expected"),
    [
        ([date(2026, 11, 3)], {}, "2026-11-03T00:00:00"),
        (["2026-11-03 10:00"], {}, "2026-11-03T10:00:00"),
        (["2026-11-03T10:00:00+01:00"], {}, "2026-11-03T17:00:00"),
        ([1_793_500_000], {"date_format": {"at": "epoch-seconds"}}, "2026-11-01T10:26:40"),
        ([1_793_500_000_000], {"date_format": {"at": "epoch-milliseconds"}}, "2026-11-01T10:26:40"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_moments_are_read_as_the_index_reads_them(index, write, at, options, expected, as_text):
    source = pl.DataFrame({"token": ["t1"], "at": at})
    index.add_events(write(source.write_csv()) if as_text else source, "buy", **options)
    assert read_instants(index, "buy") == [expected]


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        ("user,event,time\nt1,buy,2026-11-03 10:00\n", {}, "no-id: .*\n.*call it token, or name it: --id COLUMN"),
        ("token,time\nt1,2026-11-03 10:00\n", {}, "no-event-name: .*\n.*use --event NAME"),
        ("token,event,a,b\nt1,buy,2026-11-03 10:00,2026-11-03 10:00\n", {}, "columns 'a', 'b' do\n.*--at COLUMN"),
        ("token,event,time\nt1,buy,soon\n", {}, "'time' should hold moments, and holds 'soon'\n.*--date-format time="),
        ("token,event,time\nt1,buy,1793500000\n", {}, "--date-format time=epoch-seconds"),
        ("token,event,time\nt1,buy,1793500000123\n", {}, "--date-format time=epoch-milliseconds"),
        ("token,event,time\nt1,buy,\nt2,buy,2026-11-03 10:00\n", {}, "no moment in column 'time': line 2"),
        ("token,event,time\nt1,,2026-11-03 10:00\n", {}, "no name of an event in column 'event': line 2"),
        ("token,event,time\n,buy,2026-11-03 10:00\n", {}, "no id in column 'token': line 2"),
        (BUYS, {"event": "buy"}, "both-ways: .*'buy', and column 'event'.*\n.*--ignore event"),
        (BUYS, {"keep": "forever"}, "keep is 'forever', expected a number of days\n.*90d"),
        (BUYS, {"covers_to": "2026-13-01"}, "covers_to is '2026-13-01', expected a day"),
        (BUYS, {"unknown": "guess"}, "unknown is 'guess', expected drop or keep"),
        (BUYS, {"timezone": "UTC"}, "other-timezone: "),
        (BUYS, {"ignore": ["amuont"]}, "no column 'amuont'\n.*did you mean amount"),
        (BUYS, {"ignore": ["time"]}, "no-moment: .*no column does\n.*--at COLUMN"),
        (BUYS, {"ignore": ["time"], "at_column": "time"}, "both-ways: column 'time' is both used and left out"),
        (BUYS, {"ignore": ["token"], "id_column": "token"}, "both-ways: column 'token' is both used and left out"),
        (BUYS, {"ignore": ["event"], "event": " "}, "empty-name: the name of the events is empty"),
        (BUYS, {"batch": "record:summer@1"}, "bad-name: 'record:summer@1' is a name of recorded events"),
        (BUYS, {"ignore": ["event"], "event": "delivered"}, "bad-name: events named delivered are recorded from runs"),
        ("token,event,time\nt1,delivered,2026-11-03 10:00\n", {}, "bad-name: events named delivered are recorded"),
    ],
)
def test_bad_table_is_refused(index, write, text, options, problem):
    with pytest.raises(TableError, match=problem):
        index.add_events(write(text), **options)
    assert index.history()[-1].number == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("token,event,time,amount\nt1,buy,2026-11-03 10:00,1\nt1,buy,2026-11-03 10:00,x\n", "line 3 .'x'.*\n.*hint: "),
        (
            "token,event,time,gift\nt1,open,2026-11-03 10:00,maybe\nt1,buy,2026-11-03 10:00,yes\n",
            "'gift' holds text, and buy.gift holds true and false since .*: line 3 .'yes'.\n.*--ignore gift",
        ),
    ],
)
def test_value_of_another_type_is_refused(index, write, text, problem):
    index.add_events(write(BUYS))
    with pytest.raises(TableError, match=problem):
        index.add_events(write(text))
    assert count_events(index) == {"buy": 2}


def test_whole_numbers_widen(index, write):
    index.add_events(pl.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1)], "amount": [7]}), "buy")
    index.add_events(pl.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1)], "amount": [7.25]}), "buy")
    index.compact()
    (segment,) = index.snapshot.events.segments("buy")
    assert list(segment.properties["amount"].values()) == ["7", "7.25"]


@pytest.mark.parametrize("dtype", [pl.List(pl.String), pl.Struct({"a": pl.String})])
def test_nested_property_is_refused(index, dtype):
    table = pl.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1)]}).with_columns(x=pl.lit(None, dtype))
    with pytest.raises(TableError, match="--ignore x"):
        index.add_events(table, "buy")
    assert index.add_events(table, "buy", ignore=["x"]).added == 1


def test_batch_is_added_once(index, write):
    first = index.add_events(write(BUYS))
    again = index.add_events(write(BUYS, "copy.csv"))
    assert (again.added, again.repeated, again.snapshot) == (0, first.batches, first.snapshot)
    both = index.add_events([write(BUYS), write(BUYS.replace("t1", "t3"), "other.csv")])
    assert (both.added, both.repeated) == (2, first.batches)
    assert count_events(index) == {"buy": 4}


def test_batch_of_a_frame_is_known_by_its_content(index):
    table = pl.DataFrame({"token": ["t1", "t1"], "at": [datetime(2026, 11, 1)] * 2, "amount": [1, 2]})
    assert index.add_events(table, "buy").added == 2
    assert index.add_events(table.lazy(), "buy").added == 0
    assert index.add_events(table, "open").added == 2
    assert index.add_events(table.reverse(), "buy").added == 2


def test_named_batch_is_known_by_its_name(index, write):
    assert index.add_events(write(BUYS), batch="day 1").batches == ("day 1",)
    assert index.add_events(write(BUYS + "t3,buy,2026-11-03 10:00:00,,\n"), batch="day 1").repeated == ("day 1",)
    assert index.add_events(write(BUYS), batch="day 2").added == 2


def test_file_with_another_name_for_its_events_is_another_batch(index, write):
    text = "token,time\nt1,2026-11-03 10:00:00\n"
    assert index.add_events(write(text), "typo").added == 1
    assert index.add_events(write(text), "buy").counts == {"buy": 1}
    assert index.add_events(write(text), "buy").added == 0


def test_repeated_batch_may_extend_the_coverage(index, write):
    index.add_events(write(BUYS))
    assert index.snapshot.events.coverage("buy") == (None, day("2026-11-02"))
    assert index.add_events(write(BUYS), covers_to="2026-11-20").added == 0
    assert index.snapshot.events.coverage("buy") == (None, day("2026-11-20"))
    index.add_events(write(BUYS), covers_to="2026-11-10")
    assert index.snapshot.events.coverage("buy") == (None, day("2026-11-20"))
    index.add_events(write("token,time\n"), "open", covers_to="2026-11-20")
    assert index.snapshot.events.coverage("open") == (None, day("2026-11-20"))


def test_unknown_ids_are_counted_and_listed(index, write):
    text = "token,event,time\nx1,buy,2026-11-03 10:00\nx1,buy,2026-11-03 10:00\nt3,buy,2026-11-03 10:00\n"
    result = index.add_events(write(text))
    assert (result.added, result.unknown, result.unknown_ids, result.waiting) == (1, 2, ("x1",), 0)
    index.update(pl.DataFrame({"token": ["x1"]}))
    assert count_events(index) == {"buy": 1}


def test_batch_of_unknown_ids_alone_can_be_added_again(index, write):
    text = "token,event,time\nx1,buy,2026-11-03 10:00\nx2,buy,2026-11-03 11:00\n"
    dropped = index.add_events(write(text))
    assert (dropped.added, dropped.unknown, dropped.batches) == (0, 2, ())
    kept = index.add_events(write(text), unknown="keep")
    assert (kept.waiting, len(kept.batches), kept.repeated) == (2, 1, ())
    assert index.add_events(write(text)).repeated == kept.batches


def test_kept_events_are_added_when_their_device_arrives(index, write):
    text = "token,event,time,amount\nx1,buy,2026-11-03 10:00,1\nx2,buy,2026-11-03 11:00,2\nt3,buy,2026-11-03 12:00,3\n"
    assert index.add_events(write(text), unknown="keep").waiting == 2
    index.tag(["t1"], add="x")
    index.compact()
    index.update(pl.DataFrame({"token": ["x1"]}))
    assert sorted(read_instants(index, "buy")) == ["2026-11-03T10:00:00", "2026-11-03T12:00:00"]
    assert index.add_events(write(text), unknown="keep").added == 0
    index.update(pl.DataFrame({"token": ["x2", "x1"]}))
    assert len(read_instants(index, "buy")) == 3
    assert index.snapshot.manifest.waiting_events == ()
    index.verify()


def test_days_that_are_not_kept_are_forgotten(index, write):
    index.add_events(write(BUYS))
    assert index.add_events(write("token,event,time\nt1,buy,2026-11-08 10:00\n"), keep="7d").added == 1
    assert index.snapshot.events.coverage("buy") == (day("2026-11-02"), day("2026-11-08"))
    assert read_instants(index, "buy") == ["2026-11-02T11:00:00", "2026-11-08T10:00:00"]
    late = "token,event,time\nt2,buy,2026-11-01 12:00\nt2,buy,2026-11-07 12:00\n"
    result = index.add_events(write(late))
    assert (result.added, result.outdated) == (1, 1)
    index.add_events(write("token,event,time\nt1,buy,2026-11-20 10:00\n"))
    assert read_instants(index, "buy") == ["2026-11-20T10:00:00"]


def test_moments_that_are_not_yet_do_not_forget_other_days(index, write):
    result = index.add_events(write(BUYS + "t1,buy,2999-01-01 10:00:00,,\n"), keep=36_500)
    assert (result.added, result.future) == (3, 1)
    assert len(read_instants(index, "buy")) == 3


def test_bad_rows_are_left_out(index, write, tmp_path):
    text = BUYS + "t3,buy,,,\n,buy,2026-11-03 10:00:00,,\n"
    result = index.add_events(write(text), on_bad_row="reject", rejects=tmp_path / "rejects.csv")
    assert result.added == 2
    assert (tmp_path / "rejects.csv").read_text().count("\n") == 3


def test_small_batches_do_not_pile_up(index):
    for number in range(40):
        table = pl.DataFrame({"token": ["t1"], "at": [datetime(2026, 11, 1 + number % 20)], "amount": [number % 7]})
        index.add_events(table, "buy", batch=f"{number}")
    assert len(index.snapshot.manifest.event_files) < 8
    segments = index.snapshot.events.segments("buy")
    assert sorted(name for segment in segments for name in segment.batches) == sorted(map(str, range(40)))
    assert Counter(read_instants(index, "buy")) == Counter(f"2026-11-{1 + each % 20:02}T00:00:00" for each in range(40))
    index.compact()
    assert len(index.snapshot.manifest.event_files) == 1


def test_many_events_are_written_in_parts(index, monkeypatch):
    from audience.index.changes.events import adding
    from audience.index.ingest.events import spool

    table = pl.DataFrame(
        {
            "token": [f"t{number % 9}" for number in range(500)],
            "event": ["buy" if number % 3 else "open" for number in range(500)],
            "at": [datetime(2026, 11, 1 + number * 7 % 5 * (number % 2), number % 24) for number in range(500)],
            "item": [f"i{number % 11}" if number % 4 else None for number in range(500)],
        }
    )
    whole = DeviceIndex.build(DEVICES, index.folder.with_name("whole"), timezone="Asia/Shanghai")
    whole.add_events(table)
    monkeypatch.setattr(adding, "MAX_CHUNK_EVENTS", 37)
    monkeypatch.setattr(spool, "MAX_RUN_EVENTS", 90)
    monkeypatch.setattr(spool, "MAX_FILE_EVENTS", 60)
    result = index.add_events(table)
    assert result.counts == count_events(whole)
    assert count_events(index) == count_events(whole)
    assert sorted(read_instants(index, "buy")) == sorted(read_instants(whole, "buy"))
    assert max(file.row_count for file in index.snapshot.manifest.event_files) < 120
    assert not [file for file in (index.folder / "shards").iterdir() if file.name.startswith(".")]
