"""Options of `emit` and `campaign` that divide an audience into parts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.delivery.part_bodies import require_division
from audience.requests.division import Division, divide_by
from audience.requests.reader import read_message
from audience.vendors import get_vendor


@dataclass(frozen=True, slots=True)
class DivisionOptions:
    """Options for the variants, languages and time zones by which an audience is divided."""

    message: Annotated[
        Path | None,
        Option("--message", metavar="FILE", help="Message in JSON, whose variants and languages divide the audience."),
    ] = None
    language_of: Annotated[
        str | None,
        Option("--language-of", metavar="ATTRIBUTE", help="Attribute with the languages of devices, as zh-CN."),
    ] = None
    timezone_of: Annotated[
        str | None,
        Option(
            "--timezone-of", metavar="ATTRIBUTE", help="Attribute with the time zones of devices, as Asia/Shanghai."
        ),
    ] = None
    timezone_default: Annotated[
        str | None,
        Option("--timezone-default", metavar="ZONE", help="Time zone of devices whose own is not known."),
    ] = None

    def read(self, vendors: Iterable[str]) -> Division | None:
        """Return how the audience of *vendors* is divided; None if all devices get the same.

        Raises:
            MessageError: The file is not a valid message, or a vendor needs requests for each of its languages.
            PlanError: There are no languages to divide by, or a default without an attribute.
        """
        message = None if self.message is None else read_message(self.message)
        division = divide_by(
            message,
            language_of=self.language_of,
            timezone_of=self.timezone_of,
            timezone_default=self.timezone_default,
        )
        if message is not None:
            for name in vendors:
                require_division(message, division, get_vendor(name))
        return division
