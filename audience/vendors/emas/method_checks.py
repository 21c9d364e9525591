"""Checks of EMAS send methods: what one of them cannot carry, for the fields of Push and of PushV2."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from audience.errors import Problem
from audience.vendors.delivery_spec import Credentials
from audience.vendors.emas.app_platform import wrong_platform_problems
from audience.vendors.emas.targeting import EmasTarget
from audience.vendors.emas.timestamps import DEFAULT_LIFETIME, is_duration
from audience.vendors.spec import Payload

LIST_TARGETS = ("DEVICE", "ACCOUNT", "ALIAS")
ALL_PLATFORMS = "ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldReader:
    """Fields of one form of EMAS that send methods check, and their paths.

    Attributes:
        get_target: Returns the target of a targeting object and its value.
        get_platform: Returns the platform of a targeting object or a body in the vendor's words, or None.
        find_platform: Returns the only platform of a targeting object or a body by our name, or None.
        is_of_one_device: Returns whether a body is about a live activity of one device.
        live_activity_path: Path of the live activity.
        is_scheduled: Returns whether a body is pushed at a later time.
        schedule_path: Path of the field that schedules it.
        get_expire_time: Returns the time to live of a body.
        expire_time_path: Path of the time to live.
    """

    get_target: Callable[[Payload], EmasTarget]
    get_platform: Callable[[Payload], str | None]
    find_platform: Callable[[Payload], str | None]
    is_of_one_device: Callable[[Payload], bool]
    live_activity_path: str
    is_scheduled: Callable[[Payload], bool]
    schedule_path: str
    get_expire_time: Callable[[Payload], object]
    expire_time_path: str

    def single_problems(self, body: Payload, targets: Sequence[Payload], credentials: Credentials) -> Iterator[Problem]:
        """Find why one call cannot carry *body* to a single target."""
        yield from self._application_problems(body, targets, credentials)
        for target in targets:
            yield from self._platform_problems(body, target)
        if self.is_of_one_device(body) and not self._is_one_device(targets):
            yield self._live_activity_problem()

    def list_problems(
        self, method_name: str, body: Payload, targets: Sequence[Payload], credentials: Credentials
    ) -> Iterator[Problem]:
        """Find why a method that takes lists of ids only cannot carry *body*."""
        yield from self._application_problems(body, targets, credentials)
        kinds = {kind for kind, _ in map(self.get_target, targets)}
        for kind in sorted(kinds - set(LIST_TARGETS)):
            yield Problem("no-target", f"{method_name} does not take {kind}", hint=f"one of {', '.join(LIST_TARGETS)}")
        if self.is_of_one_device(body):
            yield self._live_activity_problem()

    def continuous_problems(
        self, method_name: str, body: Payload, targets: Sequence[Payload], credentials: Credentials
    ) -> Iterator[Problem]:
        """Find why several calls of one message cannot carry *body*; they share one time to live."""
        yield from self.list_problems(method_name, body, targets, credentials)
        if self.is_scheduled(body):
            yield Problem("no-schedule", f"{method_name} pushes at once", path=self.schedule_path)
        expire_time = self.get_expire_time(body)
        if is_duration(expire_time) and expire_time != DEFAULT_LIFETIME:
            message = "all calls share one ExpireTime, so the last devices would have less time to be reached"
            hint = "set ExpireTime to a timestamp, under vendor"
            yield Problem("shared-expiry", message, path=self.expire_time_path, hint=hint)

    def _application_problems(
        self, body: Payload, targets: Sequence[Payload], credentials: Credentials
    ) -> Iterator[Problem]:
        """Find why an AppKey cannot be used, or is of another platform than the message or the audience."""
        yield from _app_key_problems(credentials)
        yield from wrong_platform_problems(self.find_platform(body), credentials, "$.platforms")
        named = {self.find_platform(target) for target in targets}
        for problems in (wrong_platform_problems(own, credentials, "$") for own in sorted(named - {None}, key=str)):
            yield from problems

    def _platform_problems(self, body: Payload, target: Payload) -> Iterator[Problem]:
        """Find whether *target* is on another platform than *body*: nobody would get the message."""
        named, own = self.get_platform(target), self.get_platform(body)
        if named and own not in (None, ALL_PLATFORMS, named):
            message = f"the audience is on {named}, and the message is for {own} only"
            yield Problem("other-platform", message, path="$.platforms", hint="change the audience or `platforms`")

    def _is_one_device(self, targets: Sequence[Payload]) -> bool:
        match list(map(self.get_target, targets)):
            case [("DEVICE", value)]:
                return "," not in value
        return False

    def _live_activity_problem(self) -> Problem:
        message = "the live activity is that of one device"
        return Problem("one-device", message, path=self.live_activity_path, hint="send it to that device's id alone")


def _app_key_problems(credentials: Credentials) -> Iterator[Problem]:
    key = credentials.keys["app_key"]
    if not (key.isascii() and key.isdigit()):
        yield Problem("bad-key", "an AppKey of EMAS is a number", hint="copy it from the EMAS console")
