"""Ctrl-C while a command is being loaded: nothing was begun, so the process ends at once and without a word.

An exception in the middle of an import may be lost there, or crash a compiled module.
"""

import os
import signal

INTERRUPTED_EXIT_CODE = 130  # what a shell makes of Ctrl-C


def exit_on_sigint() -> None:
    """From now on Ctrl-C ends the process, unless whoever started it has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_immediately)


def restore_sigint() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, as Python has it: there is work that it has to end in order."""
    if signal.getsignal(signal.SIGINT) is _exit_immediately:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_immediately(*_: object) -> None:
    os._exit(INTERRUPTED_EXIT_CODE)
