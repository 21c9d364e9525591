"""Identity of applications of vendors."""

from dataclasses import replace

from audience.delivery.applications import identify_application
from audience.vendors import get_vendor
from audience.vendors.delivery_spec import Credentials

KEYS = {"access_key_id": "id", "access_key_secret": "secret", "app_key": "app"}
CREDENTIALS = Credentials("https://push.example", KEYS)


def identify(credentials: Credentials, vendor: str = "emas"):
    return identify_application("emas", get_vendor(vendor).delivery, credentials)


def with_keys(**keys: str) -> Credentials:
    return replace(CREDENTIALS, keys={**KEYS, **keys})


def test_application_stays_the_same_when_its_keys_of_access_are_replaced():
    known = identify(CREDENTIALS)
    assert identify(with_keys(access_key_id="new", access_key_secret="new", platform="ios")) == known
    assert identify(replace(CREDENTIALS, base_url="https://push.example/")) == known


def test_versions_of_a_vendor_share_applications():
    assert identify(CREDENTIALS, "emas_v2") == identify(CREDENTIALS)


def test_another_key_or_host_is_another_application():
    digests = {
        identify(each).digest
        for each in (CREDENTIALS, with_keys(app_key="b"), replace(CREDENTIALS, base_url="https://other.example"))
    }
    assert len(digests) == 3


def test_application_has_no_key_in_it():
    engagelab = get_vendor("engagelab").delivery
    keys = {"app_key": "k" * 24, "master_secret": "s" * 24}
    application = identify_application("engagelab", engagelab, Credentials("https://push.example", keys))
    assert not any(key in repr(application) for key in keys.values())
    replaced = Credentials("https://push.example", {**keys, "master_secret": "other"})
    assert identify_application("engagelab", engagelab, replaced) == application
