"""Credentials and hosts of vendors that the service sends with."""

from audience.delivery.costs import placeholder_credentials
from audience.delivery.transport.credentials import load_credentials
from audience.errors import DeliveryError, Problem
from audience.server.settings import ServeSettings
from audience.vendors import require_delivery
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor


def load_vendor_credentials(vendor: Vendor, settings: ServeSettings) -> Credentials:
    """Return the credentials that the service has for *vendor*.

    Raises:
        DeliveryError: A key is missing or malformed, or *vendor* cannot be sent to.
    """
    hosts = settings.vendor_hosts
    host = hosts.get(vendor.name, hosts.get(None))
    return load_credentials(vendor.name, require_delivery(vendor), host=host, file=settings.credentials)


def find_credentials(vendor: Vendor, settings: ServeSettings) -> tuple[Credentials, tuple[Problem, ...]]:
    """Return the credentials for *vendor*, or placeholders and why the service has none, to check a message with."""
    try:
        return load_vendor_credentials(vendor, settings), ()
    except DeliveryError as error:
        delivery = require_delivery(vendor)
        return placeholder_credentials(delivery), error.problems


def list_vendor_options(settings: ServeSettings) -> list[str]:
    """Return the options of `audience send` with the credentials and the hosts of the service."""
    file = settings.credentials
    return [
        *([] if file is None else [f"--credentials={file.absolute()}"]),
        *(f"--host={host if vendor is None else f'{vendor}={host}'}" for vendor, host in settings.vendor_hosts.items()),
    ]
