"""Checksums of bytes: the door to xxHash."""

import xxhash


def hash128(data: bytes | memoryview) -> str:
    """One checksum for all of *data*."""
    return xxhash.xxh3_128_hexdigest(data)


def hash64(data: bytes | memoryview) -> int:
    """A checksum of 64 bits, where there are many of them."""
    return xxhash.xxh3_64_intdigest(data)


def new_hasher() -> "xxhash.xxh3_128":
    """The same checksum of bytes that come one after the other: `update` it, then ask for its `hexdigest`."""
    return xxhash.xxh3_128()
