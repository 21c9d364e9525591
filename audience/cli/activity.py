"""Option `--log` of commands that write requests or send: a log of their steps in lines of JSON."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from audience.cli.declarations import Option
from audience.cli.interrupts import INTERRUPTED_EXIT_CODE
from audience.cli.output.writer import Output
from audience.errors import AudienceError

LogOption = Annotated[
    Path | None,
    Option(
        "--log",
        metavar="FILE",
        help="Append what is done to FILE, as JSON lines without ids, keys, texts or expressions.",
        show_default=False,
    ),
]
Command = TypeVar("Command", bound=Callable[..., None])


def logged_as(name: str) -> Callable[[Command], Command]:
    """Give the function of a command the option `--log`; its lines have the *name* of the command."""

    def mark(function: Command) -> Command:
        function.logged_as = name  # type: ignore[attr-defined]
        return function

    return mark


@contextmanager
def log_command(path: Path | None, name: str, output: Output) -> Iterator[None]:
    """Write the activity log of a command to *path*, if there is one, with its beginning and its end.

    Raises:
        OutputError: The file cannot be opened.
    """
    if path is None:
        yield
        return
    from audience.activity_log import log_activity, write_activity_log

    started = time.monotonic()

    def log_end(exit_code: int | None, code: str | None = None) -> None:
        log_activity("command-ended", exit_code=exit_code, code=code, seconds=round(time.monotonic() - started, 3))

    with write_activity_log(path, name, lambda problem: output.print_warnings([problem])):
        log_activity("command-started")
        try:
            yield
        except AudienceError as error:
            log_end(None, error.code)
            raise
        except SystemExit as exit_:
            log_end(exit_.code if isinstance(exit_.code, int) else 1)
            raise
        except KeyboardInterrupt:
            log_end(INTERRUPTED_EXIT_CODE)
            raise
        except BaseException as error:
            log_end(None, type(error).__name__)
            raise
        log_end(0)
