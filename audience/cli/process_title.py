"""Passwords in the arguments of this process, which everybody on the machine could see in a list of processes."""

import ctypes
from collections.abc import Iterable
from pathlib import Path

from audience.index.ingest.locations.location_names import find_secrets

STAT_FILE = Path("/proc/self/stat")
ARG_START, ARG_END = 45, 46  # fields of that file after the name of the command


def hide_passwords(words: Iterable[str]) -> None:
    """Write asterisks over the passwords of URLs in *words*, where Linux keeps the arguments of this process.

    Elsewhere nothing is done: a password belongs into a file that only its owner reads.
    """
    secrets = {secret.encode() for word in words if "://" in word for secret in find_secrets(word)}
    if not secrets:
        return
    try:
        fields = STAT_FILE.read_text("utf-8", "replace").rpartition(")")[2].split()
        start, end = int(fields[ARG_START]), int(fields[ARG_END])
    except (OSError, IndexError, ValueError):
        return
    if not 0 < start < end:
        return
    arguments = ctypes.string_at(start, end - start)
    for secret in secrets:
        position = arguments.find(secret)
        while position >= 0:
            ctypes.memset(start + position, ord("*"), len(secret))
            position = arguments.find(secret, position + len(secret))
