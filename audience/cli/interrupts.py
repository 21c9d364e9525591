"""Handling of Ctrl-C while a command is imported.

An exception in the middle of an import may be lost there, or crash a compiled module. Nothing has been started at that
time, so the process exits at once and prints nothing.
"""

import os
import signal

INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as shells report it


def exit_on_sigint() -> None:
    """Make Ctrl-C end the process at once, unless the parent process has SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_immediately)


def restore_sigint() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again, so that running work can finish in order."""
    if signal.getsignal(signal.SIGINT) is _exit_immediately:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_in_order_on_sigterm() -> None:
    """Make SIGTERM, by which service managers stop a process, do what Ctrl-C does: calls in flight finish."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def _exit_immediately(*_: object) -> None:
    os._exit(INTERRUPTED_EXIT_CODE)
