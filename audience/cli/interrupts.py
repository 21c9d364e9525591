"""Handling of Ctrl-C while a command is imported.

An exception in the middle of an import may be lost there, or crash a compiled module. Nothing has been started at that
time, so the process exits at once and prints nothing.
"""

import os
import signal
from types import FrameType

INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as shells report it


def exit_on_sigint() -> None:
    """Make Ctrl-C end the process at once, unless the parent process has SIGINT ignored: then block it.

    Threads that are started later have it blocked, too.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_immediately)
    elif signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def restore_sigint() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again, so that running work can finish in order."""
    if signal.getsignal(signal.SIGINT) is _exit_immediately:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_in_order_on_sigterm() -> None:
    """Make SIGTERM, by which service managers stop a process, do what Ctrl-C does: calls in flight finish.

    Shells start jobs in the background of a script with SIGINT ignored. There it is blocked, so that Ctrl-C has no
    effect, and event loops need a handler that they know.
    """
    is_blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and is_blocked:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Do what SIGINT does now, also while it is blocked: an event loop has a handler of its own."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)


def _exit_immediately(*_: object) -> None:
    os._exit(INTERRUPTED_EXIT_CODE)
