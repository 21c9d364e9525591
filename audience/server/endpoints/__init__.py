"""Endpoints of the service, and what each answers. Each module lists its own as `ENDPOINTS`."""

from audience.server.calls import Endpoint
from audience.server.endpoints import meta, queries
from audience.server.metrics import Metrics

ENDPOINTS: tuple[Endpoint, ...] = (  # the first ones are found the quickest
    *queries.ENDPOINTS,
    *meta.ENDPOINTS,
)


def list_endpoints(metrics: Metrics) -> tuple[Endpoint, ...]:
    """Return all endpoints of a service whose counters are *metrics*."""
    return (*ENDPOINTS, meta.metrics_endpoint(metrics))
