"""Device tables → bitmaps → counts and crowds."""

from audience.index.crowd import Crowd
from audience.index.device_index import DeviceIndex

__all__ = ["Crowd", "DeviceIndex"]
