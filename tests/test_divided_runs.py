"""Runs of divided requests: each id gets the text of its part once, whatever fails, and every record says so."""

import json
from collections import defaultdict

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sizes import scale_examples

from audience import DeviceIndex, MessageError, divide_by, plan
from audience.delivery import cancel, load_deliveries, record_emitted, record_runs, resume, send, status
from audience.delivery.dry_run import perform_dry_run
from audience.delivery.part_bodies import build_bodies
from audience.delivery.prepare import prepare_run
from audience.messages import parse_message
from audience.requests.parts import Part
from audience.requests.reader import open_requests
from audience.requests.writer import write_requests
from audience.testing import fake_vendor
from audience.testing.fake_vendor import (
    BATCH_SIZE,
    CREDENTIALS,
    UNLIMITED,
    FakeService,
    make_delivery,
    make_ids,
    make_send_options,
    random_faults,
)

MESSAGE = {
    "title": "base",
    "split": "split(a:50%, b:40%, s)",
    "variants": {"a": {}, "b": {"title": "b"}},
    "localized": {"en": {"title": "en"}, "zh": {"title": "zh"}},
}
IDS = make_ids(120)


@pytest.fixture(autouse=True)
def vendor():
    """Register the fake vendor."""
    unregister = fake_vendor.register_fake_vendors()
    yield
    unregister()


class TitledService(FakeService):
    """Service that writes down which titles each id got."""

    def _deliver(self, number, ids, payload):
        self.titles = getattr(self, "titles", defaultdict(list))
        for identifier in ids:
            if identifier not in self.ignored_ids:
                self.titles[identifier].append(payload["title"])
        return super()._deliver(number, ids, payload)


def build_index(folder) -> DeviceIndex:
    languages = [[None, "en-GB", "zh-CN"][number % 3] for number in range(len(IDS))]
    table = pl.DataFrame({"fake_token": IDS, "lang": languages, "tags": [["a"]] * len(IDS)})
    return DeviceIndex.build(table, folder, tokens={"fake": "fake_token"})


@pytest.fixture
def index(tmp_path) -> DeviceIndex:
    return build_index(tmp_path / "devices.index")


def emit(index, folder, message=MESSAGE, **options):
    division = divide_by(parse_message(message), language_of="lang", **options)
    return write_requests(plan("a", "fake", index), index, folder, division=division)


def titles_by_id(folder) -> dict[str, str]:
    """Return the title that each id of the requests is to get."""
    requests = open_requests(folder)
    return {
        identifier: part.language or ("b" if part.variant == "b" else "base")
        for part in requests.parts
        for identifier in requests.ids_between(part.first, part.stop)
    }


def send_run(folder, service, message=MESSAGE, **options):
    return send(folder, message, CREDENTIALS, UNLIMITED, options=make_send_options(service), **options)


def test_each_id_gets_the_text_of_its_part(index, tmp_path):
    result = emit(index, tmp_path / "run")
    service = TitledService()
    assert send_run(tmp_path / "run", service).done
    expected = titles_by_id(tmp_path / "run")
    assert service.titles == {identifier: [title] for identifier, title in expected.items()}
    assert {*expected.values()} == {"base", "b", "en", "zh"}
    assert len(expected) == result.devices == len(IDS) - result.held_out


FAULTS = {"lost": 0.1, "again": 0.1, "refused": 0.05, "stopped": 0.1}


@settings(max_examples=scale_examples(15))
@given(seed=st.integers(0, 10_000), bad=st.sets(st.sampled_from(IDS), max_size=20), names_bad_ids=st.booleans())
def test_each_device_gets_the_text_of_its_part_under_faults(tmp_path_factory, seed, bad, names_bad_ids):
    folder = tmp_path_factory.mktemp("run")
    index = build_index(folder / "devices.index")
    emit(index, folder / "run")
    service = TitledService(random_faults(seed, **FAULTS), bad_ids=bad, names_bad_ids=names_bad_ids)
    send_run(folder / "run", service)
    for _ in range(20):
        if not status(folder / "run").stop_reason:
            break
        resume(folder / "run", CREDENTIALS, options=make_send_options(service))
    expected = titles_by_id(folder / "run")
    titles = getattr(service, "titles", {})
    assert all(got == [expected[identifier]] for identifier, got in titles.items())
    frame = load_deliveries(folder / "run")
    requests = open_requests(folder / "run")
    assert frame["id"].to_list() == requests.ids_between(0, requests.id_count)
    for row in frame.iter_rows(named=True):
        assert (row["language"] or ("b" if row["variant"] == "b" else "base")) == expected[row["id"]]
        assert row["state"] != "delivered" or row["id"] in titles
    assert {*frame.filter(pl.col("state") == "delivered")["id"]} | {
        *frame.filter(pl.col("state") == "in-doubt")["id"]
    } >= {*titles}


def test_events_have_the_variant_of_each_device(index, tmp_path):
    emit(index, tmp_path / "run")
    wanted = {name: index.count(f"{MESSAGE['split']} = {name}") for name in "ab"}
    record_emitted(index, tmp_path / "run")
    assert {name: index.count(f"did(delivered where variant = {name} and state = emitted)") for name in "ab"} == wanted
    send_run(tmp_path / "run", FakeService())
    record_runs(index, tmp_path / "run")
    assert {
        name: index.count(f"did(delivered where variant = {name} and state = delivered)") for name in "ab"
    } == wanted
    assert index.count("did(delivered)") == sum(wanted.values())
    assert index.count(f"did(delivered) AND NOT {MESSAGE['split']}") == 0


def test_cancelled_run_keeps_its_labels(index, tmp_path):
    emit(index, tmp_path / "run")
    send_run(tmp_path / "run", FakeService(lambda number: "stopped" if number > 3 else None))
    cancel(tmp_path / "run")
    frame = load_deliveries(tmp_path / "run", ["not-sent"])
    expected = titles_by_id(tmp_path / "run")
    assert len(frame) > 0
    assert {row["id"]: row["language"] for row in frame.iter_rows(named=True) if row["language"]} == {
        identifier: expected[identifier] for identifier in frame["id"] if expected[identifier] in ("en", "zh")
    }


def test_who_opts_out_after_emit_keeps_the_positions_of_others(index, tmp_path):
    index.set_policy("consent", cap="NOT opted_out")
    emit(index, tmp_path / "run")
    gone = [*titles_by_id(tmp_path / "run")][::7]
    index.tag(gone, add="opted_out")
    service = TitledService()
    assert send_run(tmp_path / "run", service).done
    expected = titles_by_id(tmp_path / "run")
    assert service.titles == {key: [title] for key, title in expected.items() if key not in gone}


def test_calls_of_small_parts_are_estimated_and_rehearsed(index, tmp_path):
    result = emit(index, tmp_path / "run")
    prepared = prepare_run(tmp_path / "run", MESSAGE, CREDENTIALS, UNLIMITED)
    rehearsed = perform_dry_run(prepared, False, make_send_options(None))
    service = FakeService()
    send_run(tmp_path / "run", service)
    assert rehearsed.calls == service.call_count == result.batches
    assert result.batches == sum(-(-part["devices"] // BATCH_SIZE) for part in result.parts)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"split": "split(a:50%, b:40%, other)"}, "other-division"),
        ({"localized": {"en": {"title": "en"}}}, "other-division"),
        ({"split": None, "variants": None}, "other-division"),
    ],
)
def test_other_message_is_refused_before_a_run_is_created(index, tmp_path, change, code):
    emit(index, tmp_path / "run")
    with pytest.raises(MessageError) as caught:
        send_run(tmp_path / "run", FakeService(), {**MESSAGE, **change})
    assert caught.value.code == code
    assert not (tmp_path / "run" / "ledger.sqlite").exists()


def test_message_with_variants_is_refused_for_requests_that_are_not_divided(index, tmp_path):
    write_requests(plan("a", "fake", index), index, tmp_path / "run")
    with pytest.raises(MessageError, match="not divided"):
        send_run(tmp_path / "run", FakeService())


def test_variants_without_languages_need_a_message_without_languages():
    plain = {key: value for key, value in MESSAGE.items() if key != "localized"}
    part, delivery = Part(first=0, stop=1, variant="b"), make_delivery()
    bodies = build_bodies(parse_message(plain), divide_by(parse_message(plain)), [part], delivery)
    assert bodies.bodies == ({"title": "b"},)
    message = parse_message(MESSAGE)
    with pytest.raises(MessageError, match="not-divided") as caught:
        build_bodies(message, divide_by(message), [part], delivery)
    assert "--language-of" in (caught.value.problems[0].hint or "")


def test_equal_texts_are_one_body():
    message = parse_message({**MESSAGE, "variants": {"a": {}, "b": {}}})
    keys = [("a", "en"), ("a", None), ("b", "en"), ("b", None)]
    parts = [Part(first=at, stop=at + 1, variant=key[0], language=key[1]) for at, key in enumerate(keys)]
    bodies = build_bodies(message, divide_by(message, language_of="lang"), parts, make_delivery())
    assert (bodies.bodies, bodies.numbers) == (({"title": "en"}, {"title": "base"}), (0, 1, 0, 1))
    assert [bodies.number_at(position) for position in range(4)] == [0, 1, 0, 1]


def test_manifest_of_another_version_has_one_part(index, tmp_path):
    write_requests(plan("a", "fake", index), index, tmp_path / "run")
    file = tmp_path / "run" / "manifest.json"
    manifest = json.loads(file.read_text())
    for name in ("division", "parts", "platforms", "held_out"):
        del manifest[name]
    file.write_text(json.dumps(manifest))
    assert open_requests(tmp_path / "run").parts == (Part(first=0, stop=len(IDS)),)


# The command line. ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path):
    """A folder with an index for two vendors, and a message in two languages with two variants."""
    numbers = range(300)
    table = pl.DataFrame(
        {
            "device_id": [f"d{number}" for number in numbers],
            "tpns_token": [f"{number:036x}" if number % 3 else None for number in numbers],
            "emas_token": [None if number % 3 else f"{number:032x}" for number in numbers],
            "lang": [["zh_CN", "en", "english", None][number % 4] for number in numbers],
            "tz": [["GMT+8", "UTC", "Mars/Base"][number % 3] for number in numbers],
            "platform": [["iOS", "Android"][number % 2] for number in numbers],
        }
    )
    tokens = {"tpns": "tpns_token", "emas": "emas_token"}
    DeviceIndex.build(table, tmp_path / "x.index", tokens=tokens)
    (tmp_path / "message.json").write_text(json.dumps(MESSAGE | {"body": "b"}))
    (tmp_path / "plain.json").write_text(json.dumps({"title": "t", "body": "b", "platforms": ["android"]}))
    return tmp_path


def emit_command(tables, *words, vendor="tpns"):
    folder = str(tables / "out")
    return [
        "emit",
        str(tables / "x.index"),
        "platform:ios OR platform:android",
        "--vendor",
        vendor,
        "-o",
        folder,
        *words,
    ]


def test_emit_shows_its_parts(audience, tables):
    words = ["--message", str(tables / "message.json"), "--language-of", "lang"]
    code, out, err = audience(*emit_command(tables, *words))
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["variant", "language", "devices"]
    assert [line[:2] for line in lines[1:-1]] == [
        [variant, language] for variant in "ab" for language in ("en", "zh", "other")
    ]
    assert lines[-1][-2:] == ["held", "out"]
    assert "have what is no language: 'english'" in err
    code, out, err = audience(*emit_command(tables, *words, "--replace", "--json"))
    assert code == 0, err
    manifest = json.loads((tables / "out" / "manifest.json").read_text())
    assert json.loads(out)["parts"] == manifest["parts"]
    assert {each["platform"] for each in manifest["platforms"]} == {"android", "ios"}
    code, out, err = audience(*emit_command(tables, "--replace"))
    assert (code, json.loads((tables / "out" / "manifest.json").read_text())["parts"]) == (0, [])


def test_campaign_shows_its_parts(audience, tables):
    words = ["--message", str(tables / "message.json"), "--language-of", "lang", "--timezone-of", "tz"]
    command = ["campaign", str(tables / "x.index"), "everyone", "--vendors", "tpns,emas", "-o", str(tables / "out")]
    code, out, err = audience(*command, *words)
    assert (code, out) == (2, "")
    assert "no time zone: 'Mars/Base'" in err
    assert not (tables / "out").exists()
    code, out, err = audience(*command, *words, "--timezone-default", "gmt+8")
    assert code == 0, err
    assert "count as in +08:00" in err
    campaign = json.loads((tables / "out" / "campaign.json").read_text())
    parts = [part for share in campaign["vendors"] for part in share["parts"]]
    assert sum(part["devices"] for part in parts) == campaign["devices"] == 300 - campaign["held_out"]
    held_out, devices = campaign["held_out"], campaign["devices"]
    total = f"{devices + held_out:,} devices in the audience: {devices:,} in variants, {held_out:,} held out"
    assert out.splitlines()[-1].endswith(total)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--message", "message.json"], "--language-of"),
        (["--language-of", "lang"], "no languages"),
        (["--message", "plain.json", "--language-of", "lang"], "no languages"),
        (["--timezone-default", "UTC"], "needs time zones"),
        (["--timezone-of", "tz", "--timezone-default", "CST"], "Asia/Shanghai or America/Chicago"),
        (["--timezone-of", "zone"], "no attribute 'zone'"),
        (["--message", "nowhere.json"], "nowhere.json"),
    ],
)
def test_options_that_cannot_divide(audience, tables, monkeypatch, words, said):
    monkeypatch.chdir(tables)
    code, out, err = audience(*emit_command(tables, *words))
    assert (code, out) == (2, "")
    assert said in err
    assert not (tables / "out").exists()


def test_send_says_whom_the_platforms_leave_out(audience, tables, monkeypatch):
    monkeypatch.setenv("AUDIENCE_TPNS_ACCESS_ID", "1")
    monkeypatch.setenv("AUDIENCE_TPNS_SECRET_KEY", "x")
    assert audience(*emit_command(tables))[0] == 0
    command = [
        "send",
        str(tables / "out"),
        "--message",
        str(tables / "plain.json"),
        "--max-devices",
        "300",
        "--dry-run",
    ]
    code, _, err = audience(*command)
    assert code == 0, err
    assert "the message is for android: 100 of 200 devices get nothing, 100 on ios" in err
    monkeypatch.setenv("AUDIENCE_TPNS_PLATFORM", "android")
    code, _, err = audience(*command)
    assert "the application is for android: 100 of 200 devices get nothing, 100 on ios" in err


def test_application_of_all_platforms_leaves_nobody_out(audience, tables, monkeypatch):
    for name, value in (("APP_KEY", "23267207"), ("ACCESS_KEY_ID", "id"), ("ACCESS_KEY_SECRET", "secret")):
        monkeypatch.setenv(f"AUDIENCE_EMAS_{name}", value)
    assert audience(*emit_command(tables, vendor="emas"))[0] == 0
    (tables / "all.json").write_text(json.dumps({"title": "t", "body": "b"}))
    command = ["send", str(tables / "out"), "--message", str(tables / "all.json"), "--max-devices", "300", "--dry-run"]
    code, _, err = audience(*command)
    assert (code, "get nothing" in err) == (0, False), err
