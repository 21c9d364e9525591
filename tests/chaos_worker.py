"""Worker of the chaos: sends or resumes a run with clocks that are right or wrong, in a process of its own."""

import os
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path

from audience.delivery import RetryPolicy, SendOptions, resume, send
from audience.delivery.clock import Clock
from audience.errors import AudienceError
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    UNLIMITED,
    make_delivery,
    make_idempotent_method,
    make_method,
    register_fake_vendors,
)
from audience.vendors.delivery_spec import Credentials

BATCH_IDS = 300
REFUSED = 3  # exit code


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clocks of a worker: error of the wall clock, time that has passed unseen, and the start of the machine."""

    wall_error: float
    elapsed: float
    boot_start: float
    boot_id: str

    def as_clock(self) -> Clock:
        """Return the clocks as the product takes them."""
        return Clock(
            wall=lambda: time.time() + self.elapsed + self.wall_error,
            boot=lambda: time.monotonic() + self.elapsed - self.boot_start,
            boot_id=lambda: self.boot_id,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does."""

    folder: str
    url: str
    drops_repeats: bool
    command: str
    clocks: Clocks


def work(task: Task) -> None:
    """Do *task* and end the process: with 0 if the run went on, REFUSED if it was refused."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    method = (make_idempotent_method if task.drops_repeats else make_method)()
    register_fake_vendors(make_delivery(replace(method, max_ids=BATCH_IDS)))
    credentials = Credentials(task.url, CREDENTIALS.keys)
    retry = RetryPolicy(max_attempts=20, initial_delay=0.01, max_delay=0.1, timeout=20, max_lost=1_000)
    options = SendOptions(retry=retry, concurrency=8, clock=task.clocks.as_clock())
    try:
        if task.command == "send":
            send(task.folder, MESSAGE, credentials, UNLIMITED, options=options)
        else:
            resume(task.folder, credentials, options=options)
    except AudienceError as error:
        with Path(f"{task.folder}.log").open("a") as log:
            print(f"{os.getpid()} {task.command}: {error}", file=log)
        os._exit(REFUSED)
    except KeyboardInterrupt:
        os._exit(130)
