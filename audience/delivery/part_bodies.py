"""Messages of the parts of a run, and their bodies at the vendor: the text of each variant and language."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from audience.errors import MessageError, Problem
from audience.messages import Message, resolve_message
from audience.requests.division import Division
from audience.requests.parts import Part
from audience.vendors.delivery_spec import Credentials, DeliverySpec
from audience.vendors.spec import Payload, Vendor

DIVISION_CODES = ("not-divided", "unsupported-language")  # problems that a division solves


@dataclass(frozen=True, slots=True)
class PartBodies:
    """Bodies of a run, each once.

    Attributes:
        messages: Message of each body, without variants and languages.
        bodies: The bodies.
        numbers: Position of the body of each part.
        parts: The parts.
    """

    messages: tuple[Message, ...]
    bodies: tuple[Payload, ...]
    numbers: tuple[int, ...]
    parts: Sequence[Part]

    def list_warnings(self, delivery: DeliverySpec) -> list[Problem]:
        """Return what the vendor does not have, shortens or ignores in any of the messages."""
        unsupported = (delivery.unsupported_fields(message) for message in self.messages)
        warnings = (delivery.warnings(body) for body in self.bodies)
        return [*dict.fromkeys(chain(*unsupported, *warnings))]

    def list_contents(self) -> list[tuple[str | None, str | None, Message]]:
        """Return the variant and language of the first part of each body, with its message."""
        first_parts = (self.parts[self.numbers.index(number)] for number in range(len(self.bodies)))
        return [(part.variant, part.language, text) for part, text in zip(first_parts, self.messages, strict=True)]

    def number_at(self, position: int) -> int:
        """Return the position of the body that the id at *position* is sent; native requests are sent the first."""
        if len(self.bodies) == 1:
            return 0
        return self.numbers[bisect_right(self.parts, position, key=lambda part: part.first) - 1]


def build_bodies(
    message: Message,
    division: Division | None,
    parts: Sequence[Part],
    delivery: DeliverySpec,
    credentials: Credentials | None = None,
) -> PartBodies:
    """Return the bodies of *message* for *parts*, as the application of *credentials* sends it.

    Raises:
        MessageError: The vendor would reject one of them, or the parts have no language of their own and need one.
    """
    keys = [(part.variant, part.language) for part in parts]
    messages = {key: _resolve_part(message, division, *key) for key in dict.fromkeys(keys)}
    if credentials is not None:
        messages = {key: delivery.fit_message(text, credentials) for key, text in messages.items()}
    bodies = {key: delivery.build_body(each) for key, each in messages.items()}
    distinct: list[Payload] = []
    of_distinct: list[Message] = []
    for key, body in bodies.items():
        if body not in distinct:
            distinct.append(body)
            of_distinct.append(messages[key])
    numbers = {key: distinct.index(body) for key, body in bodies.items()}
    return PartBodies(tuple(of_distinct), tuple(distinct), tuple(numbers[key] for key in keys), parts)


def require_division(message: Message, division: Division | None, vendor: Vendor) -> None:
    """Raise MessageError if requests for *vendor* must be divided further for *message*, before they are written.

    Whatever else is wrong with the message can be corrected until it is sent.
    """
    if vendor.delivery is None:
        return
    variants = (None,) if division is None else division.variants
    parts = [Part(first=0, stop=0, variant=variant) for variant in variants]
    try:
        build_bodies(message, division, parts, vendor.delivery)
    except MessageError as error:
        if problems := [problem for problem in error.problems if problem.code in DIVISION_CODES]:
            raise MessageError(*problems) from None


def _resolve_part(message: Message, division: Division | None, variant: str | None, language: str | None) -> Message:
    """Return what devices of one part get; an audience that is not divided by language gets all languages."""
    if division is None or (division.split is None and division.language_of is None):
        return message
    if message.languages and division.language_of is None:
        reason = "the requests are divided by variant and not by language"
        hint = "divide them by both: `audience emit --message FILE --language-of ATTRIBUTE`"
        raise MessageError(Problem("not-divided", reason, path="$.localized", hint=hint))
    return resolve_message(message, variant, language)
