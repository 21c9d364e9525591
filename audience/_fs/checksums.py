"""Checksums with xxHash. No other module imports it."""

import xxhash


def hash128(data: bytes | memoryview) -> str:
    """Return the 128-bit checksum of *data* in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def hash64(data: bytes | memoryview) -> int:
    """Return the 64-bit checksum of *data*."""
    return xxhash.xxh3_64_intdigest(data)


def new_hasher() -> "xxhash.xxh3_128":
    """Return a hasher for data that arrives in chunks: `update` it, then read its `hexdigest`."""
    return xxhash.xxh3_128()
