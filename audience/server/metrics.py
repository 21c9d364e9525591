"""Metrics in the format of Prometheus, also of several workers together.

Workers write what they count to files in the folder that `PROMETHEUS_MULTIPROC_DIR` names, and each of them adds up
all files when it is asked.
"""

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from audience.server.indexes import ServedIndexes

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
WORKERS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of a service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "audience_http_requests",
            "Answered calls.",
            ("endpoint", "method", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "audience_http_request_seconds",
            "Time from the headers of a call to the end of its answer.",
            ("endpoint",),
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        labels = ("index",)
        self._snapshots = Gauge(
            "audience_index_snapshot",
            "Snapshot that is answered from; the lowest one of the workers.",
            labels,
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self._devices = Gauge(
            "audience_index_devices", "Devices.", labels, registry=self._registry, multiprocess_mode="livemin"
        )
        self._stale = Gauge(
            "audience_index_stale",
            "1 if the current snapshot cannot be read, and an earlier one is answered from.",
            labels,
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._observers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Count an answered call; status 0 is a call whose caller hung up before an answer."""
        observers = self._observers.get((endpoint, method, status))
        if observers is None:
            counter = self._requests.labels(endpoint, method, str(status) if status else "none")
            observers = self._observers[endpoint, method, status] = counter, self._seconds.labels(endpoint)
        observers[0].inc()
        observers[1].observe(seconds)

    def format(self, served: ServedIndexes) -> bytes:
        """Return all metrics as text."""
        self.update_indexes(served)
        if WORKERS_FOLDER_VARIABLE not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def update_indexes(self, served: ServedIndexes) -> None:
        """Set what is known of the indexes."""
        problems = served.problems
        for name, index in served.current.items():
            self._snapshots.labels(name).set(index.snapshot.manifest.number)
            self._devices.labels(name).set(len(index))
            self._stale.labels(name).set(name in problems)
