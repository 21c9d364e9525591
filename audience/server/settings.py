"""Settings of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from audience.server.scopes import Scope


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Settings of the service.

    Attributes:
        indexes: Folders of the indexes by name.
        keys: File of keys; None on loopback only, where every scope but `send` holds.
        catalog: Catalog of what vendors call the attributes.
        runs: Folder whose folders are runs; None if there are none to show.
        credentials: File with the keys of vendors; None is the one of the environment, or its variables.
        vendor_hosts: Names of data centres, or URLs, by vendor; None is that of all others.
        local_scopes: Scopes that hold without keys.
        host: Address to listen on.
        log: File to which each call is logged; None if calls are not logged.
        allowed_hosts: Names that a request's `Host` may have, besides those of loopback and of `host`.
        max_body_bytes: Size of a request's body.
        max_header_bytes: Size of a request's line and headers.
        max_seconds: Time for the answer of one call that is not a stream.
        max_header_seconds: Time for a request's line and headers.
        max_body_seconds: Time for a request's body.
        max_stall_seconds: Time that a caller may take nothing of a stream.
        max_threads: Number of calls that are answered at the same time: half of them light calls, half others.
        max_waiting: Calls that wait for a thread; a further one is refused.
        max_streams: Streams at the same time; a further one is refused.
        grace_seconds: Time for running answers when the service ends.
    """

    indexes: Mapping[str, Path]
    keys: Path | None = None
    catalog: Path | None = None
    runs: Path | None = None
    credentials: Path | None = None
    vendor_hosts: Mapping[str | None, str] = field(default_factory=dict)
    local_scopes: tuple[Scope, ...] = ("count", "ids", "write")
    host: str = "127.0.0.1"
    log: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 1 << 24
    max_header_bytes: int = 1 << 16
    max_seconds: float = 30
    max_header_seconds: float = 10
    max_body_seconds: float = 20
    max_stall_seconds: float = 60
    max_threads: int = 8
    max_waiting: int = 256
    max_streams: int = 32
    grace_seconds: int = 30
