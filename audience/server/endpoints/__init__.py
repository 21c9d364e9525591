"""Endpoints of the service, and what each answers. Each module lists its own as `ENDPOINTS`."""

from audience.server.calls import Endpoint
from audience.server.endpoints import insight, meta, plans, queries, runs, segments, streams, translations, vendors
from audience.server.metrics import Metrics

ENDPOINTS: tuple[Endpoint, ...] = (  # the first ones are found the quickest
    *queries.ENDPOINTS,
    *streams.ENDPOINTS,
    *plans.ENDPOINTS,
    *translations.ENDPOINTS,
    *insight.ENDPOINTS,
    *segments.ENDPOINTS,
    *vendors.ENDPOINTS,
    *runs.ENDPOINTS,
    *meta.ENDPOINTS,
)


def list_endpoints(metrics: Metrics, *, needs_keys: bool = True) -> tuple[Endpoint, ...]:
    """Return all endpoints of a service.

    Args:
        metrics: Its counters.
        needs_keys: Whether callers need a key.
    """
    described = (*ENDPOINTS, meta.metrics_endpoint(metrics))
    return (*described, meta.openapi_endpoint(described, needs_keys=needs_keys))
