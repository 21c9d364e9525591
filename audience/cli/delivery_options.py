"""Options of the commands that send, resume, wait for and cancel runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Argument, Option
from audience.cli.options import HOUR_SECONDS, WEEK_SECONDS
from audience.delivery.ledger.connection import MAX_UNKNOWN_SHARE
from audience.delivery.schedule import Schedule, read_schedule

FolderArgument = Annotated[
    Path,
    Argument(metavar="FOLDER", exists=True, help="Folder written by `audience emit` or `audience campaign`."),
]
RunOrIndexArgument = Annotated[
    Path, Argument(metavar="FOLDER", exists=True, help="Folder of requests, or an index with syncs of tags.")
]
MessageOption = Annotated[Path, Option("--message", metavar="FILE", help="Message in JSON.")]
CredentialsOption = Annotated[
    Path | None,
    Option(
        "--credentials",
        metavar="FILE",
        show_default="variables AUDIENCE_<VENDOR>_<KEY>",
        help="TOML file with the vendors' keys, of mode 600.",
    ),
]
HostOption = Annotated[
    list[str] | None,
    Option("--host", metavar="[VENDOR=]HOST", help="Name of a data center, or a URL. Repeatable."),
]
DEFAULT_CONCURRENCY = 32  # calls in flight, unless the send method of a vendor has more
ConcurrencyOption = Annotated[
    int, Option("--concurrency", min=1, max=1_000, metavar="N", help="Maximum number of calls in flight.")
]
SendConcurrencyOption = Annotated[
    int | None,
    Option(
        "--concurrency",
        min=1,
        max=1_000,
        metavar="N",
        show_default="32; more at a vendor whose calls are for one id",
        help="Maximum number of calls in flight.",
    ),
]
TimeoutOption = Annotated[
    float, Option("--timeout", min=0.1, max=HOUR_SECONDS, metavar="SECONDS", help="Time to wait for a reply.")
]
AttemptsOption = Annotated[
    int,
    Option("--attempts", min=1, max=1_000, metavar="N", help="Attempts for a call that failed before delivery."),
]
PolicyIndexOption = Annotated[
    Path | None,
    Option(
        "--index",
        metavar="INDEX",
        help="Index whose policies are checked again.",
        show_default="the one that the requests were emitted from",
    ),
]
RecordOption = Annotated[
    Path | None,
    Option(
        "--record",
        metavar="INDEX",
        exists=True,
        help="Record in this index whom the run reaches, as event `delivered`.",
        show_default=False,
    ),
]
RecordWaitOption = Annotated[
    float,
    Option("--wait", min=0, max=WEEK_SECONDS, metavar="SECONDS", help="Time to wait for another writer of INDEX."),
]
MaxUnknownOption = Annotated[
    str | None,
    Option(
        "--max-unknown",
        metavar="PERCENT",
        help="Stop if the vendor does not know more of the ids, after the first 10,000. The run keeps it.",
        show_default=f"{100 * MAX_UNKNOWN_SHARE:g}%, or what the run has kept",
    ),
]
MethodOption = Annotated[
    str | None,
    Option("--method", metavar="NAME", show_default="the cheapest", help="Send method for ids, see `audience plan`."),
]
SendAtOption = Annotated[
    str | None,
    Option(
        "--send-at",
        metavar="TIME",
        help="Moment, as 2026-12-01T09:00+08:00; without an offset, the local time of each device.",
        show_default="at once",
    ),
]
LocalTimeOption = Annotated[
    str | None, Option("--local-time", metavar="HH:MM", help="The next such time where each device is.")
]
QuietOption = Annotated[
    str | None,
    Option("--quiet", metavar="HH:MM-HH:MM", help="Time of day, where each device is, without sends."),
]
SpreadOption = Annotated[str | None, Option("--spread", metavar="TIME", help="Send evenly over a time, as 2h or 90m.")]
HoldOption = Annotated[
    bool, Option("--hold", help="Leave no call with the vendor until its time: hold all of them here.")
]


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """Options for when a run is sent."""

    send_at: SendAtOption = None
    local_time: LocalTimeOption = None
    quiet: QuietOption = None
    spread: SpreadOption = None

    def read(self, *, timezone: str | None = None, hold: bool = False) -> Schedule:
        """Return the schedule, for devices of the zone *timezone*."""
        return read_schedule(
            send_at=self.send_at,
            local_time=self.local_time,
            quiet=self.quiet,
            spread=self.spread,
            timezone=timezone,
            hold=hold,
        )


@dataclass(frozen=True, slots=True)
class SendScheduleOptions(ScheduleOptions):
    """Options for when a run is sent, where its devices are, and who waits for the moment."""

    timezone: Annotated[
        str | None,
        Option(
            "--timezone", metavar="NAME", help="Time zone of all devices, if the requests are not divided by zones."
        ),
    ] = None
    hold: HoldOption = False

    def read_all(self) -> Schedule:
        """Return the schedule."""
        return self.read(timezone=self.timezone, hold=self.hold)
