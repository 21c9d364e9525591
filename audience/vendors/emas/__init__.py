"""Alibaba EMAS, two vendors: Push and PushV2."""

from audience.vendors.emas import v1, v2

VENDORS = (v1.VENDOR, v2.VENDOR)
