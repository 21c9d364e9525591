"""The model of what billions of devices take: its laws, the page that prints it, and a small simulation."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience import DeviceIndex
from audience.testing.devices import generate_devices
from benchmarks import devices
from benchmarks.queries import QUERIES
from benchmarks.sizing import (
    RECORDED,
    Fleet,
    copy_index,
    format_predictions,
    measure_counts,
    predict,
    predict_round,
    simulate,
)

PAGE = Path(__file__).parents[1] / "docs" / "sizing.md"
counts = st.integers(1, 20_000_000_000)
fleets = st.builds(Fleet, st.integers(1, 64), st.integers(1, 64), st.booleans())


def test_page_has_the_predictions_of_the_model():
    text = PAGE.read_text("utf-8")
    [printed] = re.findall(r"<!-- predictions -->\n\n(.*?)\n\n<!-- end of predictions -->", text, re.DOTALL)
    assert printed == format_predictions(RECORDED)


@given(counts, fleets)
def test_laws_of_the_model(count, fleet):
    made = predict(RECORDED, count, fleet)
    assert 1 <= made.indexes <= min(fleet.machines, made.shards)
    assert made.shards * 2**22 >= count
    assert made.shards_per_machine * fleet.machines >= made.shards
    twice = predict(RECORDED, 2 * count, fleet)
    assert twice.count_seconds >= made.count_seconds and twice.first_requests >= made.first_requests
    assert twice.counts_per_second <= made.counts_per_second
    more = predict(RECORDED, count, Fleet(2 * fleet.machines, fleet.cores, fleet.replicas))
    assert more.counts_per_second >= made.counts_per_second and more.month > made.month
    assert more.count_seconds == made.count_seconds if fleet.replicas else more.count_seconds <= made.count_seconds


@pytest.mark.parametrize(("readers", "expected"), [(1, (6, 6)), (2, (3, 3)), (3, (3, 2)), (6, (3, 1)), (12, (3, 1))])
def test_prediction_of_a_round(readers, expected):
    assert predict_round(1, copies=6, readers=readers, cores=2) == expected


def test_simulated_readers_count_all_shards(tmp_path):
    folder = tmp_path / devices.TABLE_FOLDER
    folder.mkdir()
    generate_devices(2_000).write_parquet(folder / "part-000.parquet")
    devices.build_index(tmp_path, 1)
    copies = [tmp_path / f"copy-{number}.index" for number in range(3)]
    for copy in copies:
        copy_index(tmp_path / devices.INDEX_FOLDER, copy)
    seconds, request = measure_counts(copies, 1)
    assert request > 0 and all(each > 0 for each in seconds.values())
    expected = sum(DeviceIndex.open(copy).count(QUERIES["flagship"].text) for copy in copies)
    assert simulate(copies, 2, 2)[0] == expected > 0
