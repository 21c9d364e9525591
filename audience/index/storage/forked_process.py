"""Reject Polars in forked processes: its threads stay in the parent, and the child would wait for them forever."""

import os
import sys
from pathlib import Path

from audience.errors import AudienceError, Problem

THREADS_FOLDER = Path("/proc/self/task")  # of Linux: a folder for each thread of this process
POLARS_THREAD_PREFIX = "polars-"
_state = {"parent_uses_polars": False, "is_stuck": False}


def reject_polars_after_fork() -> None:
    """Raise AudienceError if this process was forked from one in which Polars had started its threads."""
    if _state["is_stuck"]:
        hint = 'start processes with multiprocessing.get_context("spawn"), or fork before the first index is used'
        message = "Polars does not work in a process that was forked after Polars had started its threads"
        raise AudienceError(Problem("after-fork", message, hint=hint))


def _has_polars_threads() -> bool:
    if "polars" not in sys.modules:
        return False
    try:
        names = [(thread / "comm").read_text() for thread in THREADS_FOLDER.iterdir()]
    except OSError:  # not Linux, or a thread has ended
        return True
    return any(name.startswith(POLARS_THREAD_PREFIX) for name in names)


def _before_fork() -> None:
    _state["parent_uses_polars"] = _has_polars_threads()


def _after_fork_in_child() -> None:
    _state["is_stuck"] = _state["is_stuck"] or _state["parent_uses_polars"]


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
