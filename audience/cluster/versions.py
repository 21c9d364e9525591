"""Versions of what decides the bytes of an index; they must be the same on all machines of a cluster."""

import platform
from collections.abc import Mapping
from importlib.metadata import version

from audience.errors import ClusterError, Problem

DECISIVE_PACKAGES = ("numpy", "polars", "pyarrow", "pyroaring")


def read_versions() -> dict[str, str]:
    """Return the versions of Python, of audience, and of the packages that write an index.

    >>> sorted(read_versions())
    ['Python', 'audience', 'numpy', 'polars', 'pyarrow', 'pyroaring']
    """
    import audience

    packages = {name: version(name) for name in DECISIVE_PACKAGES}
    return {"Python": platform.python_version(), "audience": audience.__version__, **packages}


def require_versions(expected: Mapping[str, str], found: Mapping[str, str], worker: str) -> None:
    """Raise ClusterError if a worker has other versions than this process.

    >>> require_versions({"polars": "2.1"}, {"polars": "2.0"}, "tls://10.0.0.7:41")
    Traceback (most recent call last):
    audience.errors.ClusterError: other-versions: the worker tls://10.0.0.7:41 has polars 2.0, expected 2.1
       = hint: install the same packages on all machines
    """
    others = [f"{name} {found.get(name)}, expected {value}" for name, value in expected.items()
              if found.get(name) != value]  # fmt: skip
    if others:
        message = f"the worker {worker} has {'; '.join(others)}"
        raise ClusterError(Problem("other-versions", message, hint="install the same packages on all machines"))
