"""Soak: a reader counts right while a writer changes the index in another process."""

from benchmarks.soak import QUESTIONS, iter_changes, make_devices, run_soak


def test_answers_stay_right_and_files_bounded_while_an_index_changes(tmp_path):
    measured = run_soak(tmp_path, devices=2_000, changes=8, quiet_seconds=0.2)
    assert measured.wrong == []
    assert measured.snapshots_read > 1
    assert measured.answers_checked >= 2 * len(QUESTIONS)
    assert measured.max_files < 8 * 7 + 20


def test_answers_of_changes_are_those_of_the_devices():
    devices = make_devices(300)
    for _, answers in iter_changes(devices, 30):
        assert answers == [sum(map(fits, devices.values())) for fits in QUESTIONS.values()]
