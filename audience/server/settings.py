"""Settings of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of the service.

    Attributes:
        indexes: Folders of the indexes by name.
        keys: File of keys; None on loopback only, where every scope but `send` holds.
        catalog: Catalog of what vendors call the attributes.
        runs: Folder whose folders are runs; None if there are none to show.
        host: Address to listen on.
        allowed_hosts: Names that a request's `Host` may have, besides those of loopback and of `host`.
        max_body_bytes: Size of a request's body.
        max_seconds: Time for the answer of one call that is not a stream.
        max_threads: Calls that are answered at the same time.
    """

    indexes: Mapping[str, Path]
    keys: Path | None = None
    catalog: Path | None = None
    runs: Path | None = None
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 1 << 24
    max_seconds: float = 30
    max_threads: int = 8
