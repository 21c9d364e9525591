"""Device types of Airship, beside the audience: platforms, mail, text messages and open platforms."""

from collections.abc import Iterator, Mapping

from audience.vendors.platform_field import PlatformField, write_list_field

DEVICE_TYPES = ("android", "amazon", "ios", "web", "sms", "mms", "email", "wns")
OPEN_PREFIX = "open::"  # before the name of a platform that the customer connects


class DeviceTypeNames(Mapping[str, str]):
    """Airship's word for each platform, which is its name in expressions: those listed, and every open platform.

    >>> names = DeviceTypeNames()
    >>> "ios" in names, names["open::toaster"], "harmonyos" in names
    (True, 'open::toaster', False)
    """

    def __getitem__(self, platform: str) -> str:
        if platform in DEVICE_TYPES or platform.removeprefix(OPEN_PREFIX) not in ("", platform):
            return platform
        raise KeyError(platform)

    def __iter__(self) -> Iterator[str]:
        return iter((*DEVICE_TYPES, f"{OPEN_PREFIX}NAME"))

    def __len__(self) -> int:
        return len(DEVICE_TYPES) + 1


PLATFORMS = PlatformField(names=DeviceTypeNames(), write=write_list_field("device_types"))


def read_device_type(name: str) -> str:
    """Return the platform that Airship calls *name*, whose case matters for open platforms only.

    >>> read_device_type("IOS"), read_device_type("open::Toaster")
    ('ios', 'open::Toaster')
    """
    return name.lower() if name.lower() in DEVICE_TYPES else name
