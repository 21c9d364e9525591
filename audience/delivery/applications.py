"""Identity of applications: who syncs tags and who sends must mean the same one."""

import hashlib

from audience.tag_sync.state import Application
from audience.vendors.delivery_spec import Credentials, DeliverySpec


def identify_application(
    family: str, delivery: DeliverySpec, credentials: Credentials, key_type: str = "registration_id"
) -> Application:
    """Return the application of *credentials*.

    Args:
        family: Name of the vendor, or of the vendors that share its applications and tags.
        delivery: Delivery of one of them.
        credentials: Keys and host of the application. Secret keys, and keys of access that may be replaced, are left
            out of its identity.
        key_type: Kind of ids to which its tags are bound.
    """
    required = [name for name in delivery.required_keys if name not in delivery.secret_keys]
    names = sorted(delivery.application_keys or required)
    host = credentials.base_url.rstrip("/")
    identity = "\n".join([family, host, *(f"{name}={credentials.keys.get(name, '')}" for name in names)])
    return Application(
        family=family, digest=hashlib.sha256(identity.encode()).hexdigest(), host=host, key_type=key_type
    )
