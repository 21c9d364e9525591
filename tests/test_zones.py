"""The time zone of an index: instants and days agree with `datetime` in every zone, and what is read is reported."""

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex, ExpressionError, TableError
from audience.index.ingest.local_times import read_instants, to_wall_clock
from audience.index.schema.instant_sets import contains, instants_of
from audience.language.zones import count_microseconds, load_zone, parse_instant

ODD_ZONES = [
    *("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Shanghai", "Africa/Monrovia", "UTC"),
    *("America/St_Johns", "America/Toronto", "America/Havana", "America/Sao_Paulo", "Pacific/Apia", "Asia/Manila"),
]
# Days on which clocks of one of these zones change at or around midnight, or are changed by a day.
ODD_DAYS = [
    *(date(2026, 3, 8), date(2026, 11, 1), date(2026, 3, 29), date(2026, 10, 25), date(2026, 4, 5), date(2026, 10, 4)),
    *(date(1972, 1, 7), date(1986, 5, 4), date(1940, 6, 1), date(2000, 10, 29), date(1919, 3, 31), date(2020, 11, 1)),
    *(date(2018, 11, 4), date(2018, 2, 18), date(2011, 12, 30), date(1844, 12, 31), date(1900, 12, 31)),
    *(date(2150, 7, 1), date(1, 1, 4), date(9999, 12, 28)),
]
zones = st.sampled_from(ODD_ZONES) | st.sampled_from(sorted(available_timezones() - {"Factory", "localtime"}))
moments_of_odd_days = st.builds(
    lambda day, delta: datetime.combine(day, datetime.min.time()) + delta,
    st.sampled_from(ODD_DAYS),
    st.timedeltas(timedelta(hours=-26), timedelta(hours=26)).map(lambda delta: delta - delta % timedelta(minutes=15))
    | st.timedeltas(timedelta(hours=-26), timedelta(hours=26)),
).filter(lambda moment: date(1, 1, 2) <= moment.date() <= date(9999, 12, 30))
moments = moments_of_odd_days | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))


@given(st.lists(moments, min_size=1, max_size=20), zones)
def test_wall_clock_times_are_read_as_python_does(timestamps, name):
    zone = ZoneInfo(name)
    read = read_instants(pl.Series([*timestamps, None], dtype=pl.Datetime("us")), zone)
    expected = [moment.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) for moment in timestamps]
    assert read.instants.to_list() == [*expected, None]
    offsets = [[moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)] for moment in timestamps]
    assert read.repeated.tolist() == [*(first > second for first, second in offsets), False]
    assert read.skipped.tolist() == [*(first < second for first, second in offsets), False]


@given(st.lists(moments, min_size=1, max_size=20), zones)
def test_instants_become_the_wall_clock_time_of_python(timestamps, name):
    zone = ZoneInfo(name)
    local = to_wall_clock(pl.Series([*timestamps, None], dtype=pl.Datetime("us")), zone)
    assert local.to_list() == [*(to_local(moment, zone).replace(tzinfo=None) for moment in timestamps), None]


def to_local(instant: datetime, zone: ZoneInfo) -> datetime:
    """The slow oracle: a moment of UTC in *zone*."""
    return instant.replace(tzinfo=UTC).astimezone(zone)


@given(st.sampled_from(ODD_DAYS) | st.dates(date(1, 1, 4), date(9999, 12, 28)), moments, zones)
def test_a_day_is_all_instants_at_which_clocks_show_it(day, instant, name):
    zone = ZoneInfo(name)
    start = datetime.combine(day, datetime.min.time())
    near = [start + timedelta(minutes=minutes) for minutes in range(-1500, 2940, 7)]
    instants = instants_of(day.isoformat(), zone)
    for moment in [instant, *near]:
        assert contains(instants, count_microseconds(moment)) == (to_local(moment, zone).date() == day)


@given(moments, zones)
def test_a_time_that_clocks_show_once_is_one_instant(timestamp, name):
    zone = ZoneInfo(name)
    offsets = {timestamp.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(offsets) == 1:
        instant = timestamp.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
        assert parse_instant(timestamp.isoformat(), zone) == count_microseconds(instant)
    else:
        with pytest.raises(ValueError, match=r"clocks of .* (show .* twice|never show)"):
            parse_instant(timestamp.isoformat(), zone)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Asia/Shanghia", "did you mean Asia/Shanghai"),
        ("asia/shanghai", "did you mean Asia/Shanghai"),
        ("Asia/Beijing", "write Asia/Shanghai"),
        ("CST", "write Asia/Shanghai or America/Chicago"),
        *((name, "such as Asia/Shanghai") for name in ("", "+08:00", "../passwd", "localtime", "Factory", "x" * 300)),
    ],
)
def test_unknown_zones_are_refused(name, hint, tmp_path):
    with pytest.raises(ExpressionError, match=hint):
        load_zone(name)
    with pytest.raises(TableError, match=hint):
        DeviceIndex.build(pl.DataFrame({"token": ["t1"]}), tmp_path / "x", timezone=name)
    assert not (tmp_path / "x").exists()


def stored_times(index: DeviceIndex) -> list[str]:
    """The values of the attribute `seen`, in UTC."""
    return [value.removesuffix("Z") for value in index.attributes["seen"].values]


def build_csv(folder, times: list[str], **options) -> DeviceIndex:
    rows = [f"r{number},{time}" for number, time in enumerate(times)]
    (folder / "seen.csv").write_text("\n".join(["token,seen", *rows, ""]), "utf-8")
    return DeviceIndex.build(folder / "seen.csv", folder / "seen.index", replace=True, **options)


def test_wall_clock_times_are_stored_as_instants(tmp_path):
    times = [datetime(2026, 1, 1, 2, 30), datetime(2026, 7, 1, 2, 30), None, datetime(2026, 1, 1, 2, 30, 0, 1)]
    table = pl.DataFrame({"token": ["a", "b", "c", "d"], "seen": times})
    expected = ["2026-01-01T01:30:00", "2026-01-01T01:30:00.000001", "2026-07-01T00:30:00"]
    for path, source in (
        ("frame", table),
        ("lists", table.with_columns(pl.col("seen").reshape((4, 1)).cast(pl.List(pl.Datetime)))),
    ):
        index = DeviceIndex.build(source, tmp_path / path, timezone="Europe/Berlin")
        assert stored_times(index) == expected
    for unit in ("ms", "us", "ns"):
        index = DeviceIndex.build(table.cast({"seen": pl.Datetime(unit)}), tmp_path / unit, timezone="Europe/Berlin")
        assert stored_times(index) == [each for each in expected if unit != "ms" or "." not in each]
    index = build_csv(tmp_path, ["2026-01-01 02:30", "2026-07-01T02:30:00"], timezone="Europe/Berlin")
    assert stored_times(index) == [expected[0], expected[2]]


def test_times_with_a_zone_are_the_same_instants_in_every_index(tmp_path):
    texts = ["2026-01-01T09:30:00+08:00", "2026-01-01T01:30:00.000001Z", "2026-07-01T00:30:00-00:00"]
    expected = ["2026-01-01T01:30:00", "2026-01-01T01:30:00.000001", "2026-07-01T00:30:00"]
    aware = pl.Series("seen", texts).str.to_datetime("%+", time_unit="us").dt.convert_time_zone("America/New_York")
    table = pl.DataFrame([pl.Series("token", ["a", "b", "c"]), aware])
    (tmp_path / "seen.ndjson").write_text(
        "".join(json.dumps({"token": f"r{at}", "seen": text}) + "\n" for at, text in enumerate(texts))
    )
    for number, zone in enumerate(["UTC", "Asia/Shanghai", "America/New_York"]):
        sources = [table, tmp_path / "seen.ndjson", write_times(tmp_path, texts)]
        for at, source in enumerate(sources):
            index = DeviceIndex.build(source, tmp_path / f"{number}-{at}", timezone=zone)
            assert stored_times(index) == expected
    index = build_csv(tmp_path, ["1586313000"], date_format={"seen": "epoch-seconds"}, timezone="Asia/Shanghai")
    assert stored_times(index) == ["2020-04-08T02:30:00"]
    index = build_csv(tmp_path, ["1586313000"], date_format={"seen": "%s"}, timezone="Asia/Shanghai")
    assert stored_times(index) == ["2020-04-08T02:30:00"]
    offsets = {"seen": "%d.%m.%Y %H:%M %z"}
    index = build_csv(tmp_path, ["8.4.2020 10:30 +0800"], date_format=offsets, timezone="Europe/Berlin")
    assert stored_times(index) == ["2020-04-08T02:30:00"]


def write_times(folder, texts: list[str]):
    rows = [f"r{number},{time}" for number, time in enumerate(texts)]
    (folder / "times.csv").write_text("\n".join(["token,seen", *rows, ""]), "utf-8")
    return folder / "times.csv"


def test_times_that_occur_twice_or_never_are_counted(tmp_path):
    times = ["2026-03-29T02:30:00", "2026-03-29T03:30:00", *["2026-10-25T02:30:00"] * 2, "2026-10-25T03:00:00"]
    index = build_csv(tmp_path, times, timezone="Europe/Berlin")
    assert stored_times(index) == ["2026-03-29T01:30:00", "2026-10-25T00:30:00", "2026-10-25T02:00:00"]
    assert (index.reading.repeated_times, index.reading.skipped_times) == ({"seen": 2}, {"seen": 1})
    notes = [note for note in index.reading.notes() if note.startswith("column seen")]
    assert [note.split(" in ")[0] for note in notes] == [
        "column seen: 2 times occur twice",
        "column seen: 1 times never occur",
    ]
    result = index.update(pl.DataFrame({"token": ["r0"], "seen": [datetime(2026, 10, 25, 2, 30)]}))
    assert result.reading.repeated_times == {"seen": 1}


def test_days_of_instants_are_days_of_the_zone(tmp_path):
    texts = ["2026-11-28T17:00:00Z", "2026-11-28T15:00:00+00:00", "2026-11-28T23:00:00-08:00"]
    expected = ["2026-11-28", "2026-11-29"]
    aware = pl.Series("seen", texts).str.to_datetime("%+", time_unit="ms")
    table = pl.DataFrame([pl.Series("token", ["a", "b", "c"]), aware])
    for at, source in enumerate([table, write_times(tmp_path, texts)]):
        index = DeviceIndex.build(source, tmp_path / f"{at}", dates=["seen"], timezone="Asia/Shanghai")
        assert index.attributes["seen"].values.to_list() == expected
        assert any("Asia/Shanghai" in note for note in index.reading.notes())
    index = build_csv(tmp_path, ["2026-11-28T23:59", "2026-11-29"], dates=["seen"], timezone="Asia/Shanghai")
    assert index.attributes["seen"].values.to_list() == expected


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        (["2026-11-28T10:30:59", "2026-11-28T10:30:60", "2026-11-28T10:31"], {}, "'2026-11-28T10:30:60' in line 3"),
        (["28.11.2026 10:30:60"], {"date_format": {"seen": "%d.%m.%Y %H:%M:%S"}}, "line 2 ('28.11.2026 10:30:60')"),
        (["28.11.2026 10:30:60"], {"date_format": {"seen": "%d.%m.%Y %T"}}, "line 2 ('28.11.2026 10:30:60')"),
        (["2026-11-28T10:30:60Z"], {"date_format": {"seen": "%+"}}, "line 2 ('2026-11-28T10:30:60Z')"),
        (
            ["2026-11-28 10:30 CST"],
            {"date_format": {"seen": "%Y-%m-%d %H:%M %Z"}},
            "such as CST and IST mean several zones",
        ),
        (["0001-01-01T00:00:00"], {"timezone": "Asia/Shanghai"}, "line 2 (0001-01-01 00:00:00.000000)"),
        (["9999-12-31T23:00:00"], {"timezone": "America/New_York"}, "line 2 (9999-12-31 23:00:00.000000)"),
    ],
)
def test_times_that_are_none_are_refused(times, options, message, tmp_path):
    with pytest.raises(TableError) as caught:
        build_csv(tmp_path, [*times], **options)
    assert message in str(caught.value)


def test_zone_is_kept_by_every_change(tmp_path, audience):
    table = pl.DataFrame({"token": ["a", "b"], "seen": [datetime(2026, 11, 28)] * 2})
    path = tmp_path / "index"
    index = DeviceIndex.build(table, path, timezone="Asia/Shanghai")
    assert index.snapshot.timezone == "Asia/Shanghai"
    index.update(table.with_columns(seen=datetime(2026, 11, 29)))
    assert stored_times(index) == ["2026-11-28T16:00:00"]
    index.tag(["a"], add="x")
    index.remove(["b"])
    index.compact()
    index.save_segment("x", "x")
    index.restore(2)
    assert DeviceIndex.open(path).snapshot.timezone == "Asia/Shanghai"
    index.update(table, timezone="Asia/Shanghai")
    with pytest.raises(TableError, match="other-timezone"):
        index.update(table, timezone="UTC")
    assert DeviceIndex.build(table, path, replace=True).snapshot.timezone == "Asia/Shanghai"
    replaced = DeviceIndex.build(table, path, replace=True, timezone="UTC")
    assert replaced.snapshot.manifest.description.endswith("; timezone UTC instead of Asia/Shanghai")
    assert not any(note.startswith("timezone") for note in replaced.reading.notes())
    (tmp_path / "t.csv").write_text("token,city\na,x\n")
    code, _, errors = audience("index", "build", str(tmp_path / "t.csv"), "-o", str(tmp_path / "new"))
    assert (code, "note: table: timezone UTC, because none was given" in errors) == (0, True)
    code, output, _ = audience("index", "info", str(tmp_path / "new"), "--json")
    assert json.loads(output)["timezone"] == "UTC"
    code, output, _ = audience("index", "info", str(tmp_path / "new"))
    assert "timezone   UTC\n" in output
    words = ["index", "update", str(tmp_path / "new"), str(tmp_path / "t.csv"), "--timezone", "Asia/Shanghai"]
    code, _, errors = audience(*words)
    assert (code, "other-timezone" in errors) == (2, True)
