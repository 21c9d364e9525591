"""Registration of vendors while a test runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import audience.vendors
from audience.vendors.spec import Vendor


@contextmanager
def register_vendors(*vendors: Vendor) -> Iterator[None]:
    """Register *vendors* inside a `with` block, in the place of vendors with the same names.

    Every function of the package finds them there. The previous vendors return at the end, also after an error.

    Args:
        *vendors: Vendor records, as a package declares them as entry points of the group `audience.vendors`.

    >>> from dataclasses import replace
    >>> from audience import get_vendor, vendor_names
    >>> with register_vendors(replace(get_vendor("tpns"), name="pager")):
    ...     "pager" in vendor_names(), get_vendor("pager").max_ids
    (True, 1000)
    >>> "pager" in vendor_names()
    False
    """
    unregister = audience.vendors.register_vendors(*vendors)
    try:
        yield
    finally:
        unregister()
