"""A/B tests in several languages, from one message file to the sandbox: each device gets its text, once."""

import json
from pathlib import Path

import polars as pl
import pytest
from callers import ID_FORMATS
from test_sandbox_delivery import QUICK_OPTIONS, VENDOR_METHODS, make_credentials
from test_vendor_crashes import lift_pace

from audience import DeviceIndex, divide_by, plan
from audience.delivery import SafetyLimits, campaign_runs, load_deliveries, record_runs, send
from audience.messages import parse_message
from audience.requests.campaign import plan_campaign, write_campaign
from audience.requests.reader import read_message
from audience.requests.writer import write_requests
from audience.sandbox import Population, Sandbox

VENDORS = tuple(ID_FORMATS)
DEVICE_COUNT = 600 * len(VENDORS)
SPLIT = "split(a:40%, b:40%, launch)"
MESSAGE = {
    "title": "title-base",
    "body": "body-base",
    "time_to_live": 3600,
    "split": SPLIT,
    "variants": {
        "a": {"title": "title-a", "localized": {"zh-Hans": {"title": "标题甲"}}},
        "b": {"title": "title-b", "localized": {"zh-Hans": {"title": "标题乙"}, "en": {"title": "title-b-en"}}},
    },
    "localized": {"zh-Hans": {"body": "正文"}, "en": {"body": "body-en"}},
}
TEXTS = {  # of each variant and language: the title and the body
    ("a", None): ("title-a", "body-base"),
    ("a", "zh-Hans"): ("标题甲", "正文"),
    ("a", "en"): ("title-a", "body-en"),
    ("b", None): ("title-b", "body-base"),
    ("b", "zh-Hans"): ("标题乙", "正文"),
    ("b", "en"): ("title-b-en", "body-en"),
}
LANGUAGES = {"zh_CN": "zh-Hans", "zh-Hans": "zh-Hans", "en-AU": "en", "zh-TW": None, "ja": None, None: None}


def language_of(number: int) -> str | None:
    return [*LANGUAGES][number % len(LANGUAGES)]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    numbers = range(DEVICE_COUNT)
    ids = {
        f"{name}_token": [
            ID_FORMATS[name].format(number) if number % len(VENDORS) == at else None for number in numbers
        ]
        for at, name in enumerate(VENDORS)
    }
    return pl.DataFrame(
        {
            "device_id": [f"d{number}" for number in numbers],
            **ids,
            "language": [language_of(number // len(VENDORS)) for number in numbers],
        }
    )


@pytest.fixture(scope="module")
def index(table, tmp_path_factory) -> DeviceIndex:
    tokens = {name: f"{name}_token" for name in VENDORS}
    return DeviceIndex.build(table, tmp_path_factory.mktemp("ab") / "devices.index", tokens=tokens)


@pytest.fixture
def sandbox(table):
    with Sandbox(Population(table), rate=None) as running:
        yield running


@pytest.fixture(scope="module")
def variants(index) -> list[str | None]:
    """Return the variant of each device, by its number, as the expression finds it."""
    found: list[str | None] = [None] * DEVICE_COUNT
    for name in "ab":
        for identifier in index.resolve(f"{SPLIT} = {name}").ids():
            assert found[int(identifier[1:])] is None
            found[int(identifier[1:])] = name
    return found


def expect_texts(vendor: str, variants) -> dict[str, tuple[str, str]]:
    """Return the title and the body that each id of a vendor is to get."""
    return {
        ID_FORMATS[vendor].format(number): TEXTS[variants[number], LANGUAGES[language_of(number // len(VENDORS))]]
        for number in range(VENDORS.index(vendor), DEVICE_COUNT, len(VENDORS))
        if variants[number] is not None
    }


def read_texts(sandbox, vendor: str) -> dict[str, tuple[str, ...]]:
    """Return the texts of the message that each id has got, as the sandbox has written them down; each id got one."""
    texts: dict[str, tuple[str, ...]] = {}
    all_texts = {text for pair in TEXTS.values() for text in pair} | {MESSAGE["title"]}
    for delivery in sandbox.deliveries(vendor):
        assert delivery["state"] == "delivered"
        found = sorted({*walk_strings(delivery["content"])} & all_texts)
        for identifier in delivery["ids"]:
            assert identifier not in texts
            texts[identifier] = tuple(found)
    return texts


def walk_strings(value):
    """Yield every text in a JSON value; a text may hold JSON itself."""
    match value:
        case dict() | list():
            for each in value.values() if isinstance(value, dict) else value:
                yield from walk_strings(each)
        case str():
            yield value
            try:
                inner = json.loads(value)
            except ValueError:
                return
            if isinstance(inner, dict | list):
                yield from walk_strings(inner)


def check_texts(sandbox, vendor: str, variants) -> None:
    expected = {identifier: tuple(sorted(texts)) for identifier, texts in expect_texts(vendor, variants).items()}
    assert read_texts(sandbox, vendor) == expected
    assert len(expected) > 400


def test_campaign_of_several_vendors(index, sandbox, variants, tmp_path):
    file = tmp_path / "message.json"
    file.write_text(json.dumps(MESSAGE, ensure_ascii=False), "utf-8")
    message = read_message(file)
    division = divide_by(message, language_of="language")
    campaign = plan_campaign("everyone", VENDORS, index, division=division)
    write_campaign(campaign, tmp_path / "run")
    held_out = variants.count(None)
    assert (campaign.devices, campaign.held_out) == (DEVICE_COUNT - held_out, held_out)
    limits = SafetyLimits(expected=DEVICE_COUNT - held_out)
    prepared = campaign_runs.prepare_all(
        tmp_path / "run", message, lambda vendor: make_credentials(vendor.name, sandbox), limits
    )
    statuses = campaign_runs.send_all(tmp_path / "run", message, prepared, QUICK_OPTIONS)
    assert all(status.done for status in statuses.values())
    for vendor in VENDORS:
        check_texts(sandbox, vendor, variants)
    check_records(index, tmp_path / "run", variants)


def check_records(index, folder: Path, variants) -> None:
    """Compare what the ledger and the index know of each device with what it got."""
    frame = load_deliveries(folder)
    assert frame["state"].unique().to_list() == ["delivered"]
    by_id = {row["id"]: (row["variant"], row["language"]) for row in frame.iter_rows(named=True)}
    for vendor in VENDORS:
        for identifier, texts in expect_texts(vendor, variants).items():
            assert TEXTS[by_id[identifier]] == texts
    record_runs(index, folder)
    for name in "ab":
        assert index.count(f"did(delivered where variant = {name})") == variants.count(name)


@pytest.mark.parametrize(("vendor", "method"), VENDOR_METHODS)
def test_every_method_sends_each_part_its_text(index, sandbox, variants, tmp_path, monkeypatch, vendor, method):
    lift_pace(monkeypatch)  # a method may allow one call in a quarter of a minute
    message = parse_message(MESSAGE)
    division = divide_by(message, language_of="language")
    result = write_requests(plan("everyone", vendor, index), index, tmp_path / "run", division=division)
    limits = SafetyLimits(expected=result.devices - result.skipped_count)
    credentials = make_credentials(vendor, sandbox)
    status = send(tmp_path / "run", message, credentials, limits, method=method, options=QUICK_OPTIONS)
    assert status.done
    check_texts(sandbox, vendor.split("_")[0], variants)
