"""Record a run in an index as it goes on: before its first call, from time to time, and when it ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from audience.delivery.recorded_runs import record_runs
from audience.errors import AudienceError, Problem
from audience.index.changes.events.recording import DEFAULT_WAIT_SECONDS
from audience.index.device_index import DeviceIndex

MIN_INTERVAL_SECONDS = 30.0  # between two recordings while a run goes on
MAX_RECORDING_SHARE = 0.1  # of the time, if recording takes long


@contextmanager
def record_while_running(
    location: str | Path,
    folder: Path,
    *,
    wait: float = DEFAULT_WAIT_SECONDS,
    interval: float = MIN_INTERVAL_SECONDS,
    on_problems: Callable[[Sequence[Problem]], None] = lambda problems: None,
) -> Iterator[None]:
    """Record the runs of *folder* in the index at *location* before, during and after the body.

    All devices of the requests are recorded as emitted before the body runs. So a process that is killed has recorded
    no device too few, whatever it has sent.

    Args:
        location: Index to record in.
        folder: Folder of a run or of a campaign.
        wait: Seconds to wait for another writer of the index.
        interval: Seconds between two recordings.
        on_problems: Called with why some devices may not be recorded.

    Raises:
        DeliveryError, PlanError, LockedError: As `record_runs`. If it is raised before the body, nothing was sent.
    """
    index = DeviceIndex.open(location)
    on_problems(record_runs(index, folder, wait=wait).problems)
    ended = Event()
    recorder = Thread(target=_record_until, args=(ended, index, folder, interval), daemon=True)
    recorder.start()
    try:
        yield
    finally:
        ended.set()
        recorder.join()
        record_runs(index, folder, wait=wait)


def _record_until(ended: Event, index: DeviceIndex, folder: Path, interval: float) -> None:
    pause = interval
    while not ended.wait(pause):
        started = time.monotonic()
        with suppress(AudienceError):  # all devices are recorded already; the recording at the end raises what stays
            record_runs(index, folder, wait=0)
        pause = max(interval, (time.monotonic() - started) / MAX_RECORDING_SHARE)
