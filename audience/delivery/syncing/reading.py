"""Reading of the tags that a vendor has, for a sync that trusts nothing else."""

import asyncio
from array import array
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from audience.delivery.syncing.worker import SyncOptions, count_concurrent
from audience.delivery.transport.http import Transport, open_transport
from audience.delivery.transport.rate_limit import RateLimiter, name_application
from audience.delivery.transport.retry import MAX_RETRY_AFTER_SECONDS, RetryLater
from audience.errors import DeliveryError, Problem
from audience.index.storage.bitmaps import BitMap, rows_to_bitmap
from audience.tag_sync.alignment import merge_ids
from audience.tag_sync.changes import replace_known
from audience.tag_sync.state import TagState
from audience.tag_sync.tags import DeviceTags, Scope, SyncedTag
from audience.vendors.delivery_spec import (
    Accepted,
    Credentials,
    InDoubt,
    InvalidIds,
    Request,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagReading

AnswerT = TypeVar("AnswerT")


class ReadingError(DeliveryError):
    """Reading that the vendor did not allow to be finished. Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorReader:
    """Reader of the tags of one application.

    Attributes:
        vendor: The vendor.
        reading: How its tags are read.
        credentials: Credentials of the application.
        wanted: Tags that devices of the index should have.
        scope: Tags that are synced.
        find_tag: Returns the tag that the vendor calls by a name, or None if it is not one of *scope*.
        options: Retries, concurrency and callbacks.
    """

    vendor: Vendor
    reading: TagReading
    credentials: Credentials
    wanted: DeviceTags
    scope: Scope
    find_tag: Callable[[str], SyncedTag | None]
    options: SyncOptions

    def read(self, state: TagState) -> tuple[TagState, bool]:
        """Return *state* with the tags that were read from the vendor, and whether devices outside of it have none.

        Raises:
            ReadingError: The vendor cannot be reached, or refuses to answer.
        """
        return asyncio.run(self._read(state))

    async def _read(self, state: TagState) -> tuple[TagState, bool]:
        spec, delivery = self.vendor.tags, self.vendor.delivery
        assert spec is not None and delivery is not None
        of_tags = replace(self.credentials, base_url=spec.find_base_url(self.credentials.base_url))
        limiter = RateLimiter(name_application(self.credentials, delivery), self.options.clock)
        retry, connections = self.options.retry, count_concurrent(spec, self.options)
        async with open_transport(
            delivery, of_tags, retry.timeout, connections, self.options.transport, self.options.clock
        ) as transport:
            caller = _Caller(transport, limiter, self.options, self.reading)
            asked = merge_ids(state.known.ids, self.wanted.ids).ids
            names = await self._read_names(caller, asked.to_list(), state.application.key_type, connections)
            read = self._name_tags(state, names)
            state = replace_known(state, DeviceTags(asked, tuple(read), tuple(read.values())), asked, self.scope)
            return state, await self._has_no_other_devices(caller, read)

    async def _read_names(
        self, caller: "_Caller", ids: Sequence[str], key_type: str, connections: int
    ) -> Mapping[str, "array[int]"]:
        """Return the positions of the ids that have each tag at the vendor, by its name."""
        found: dict[str, array[int]] = {}
        positions = iter(range(len(ids)))
        done = 0

        async def read_some() -> None:
            nonlocal done
            for position in positions:
                request = self.reading.build_request(ids[position], key_type, caller.credentials)
                for name in await caller.call(request, self.reading.parse_tags) or ():
                    found.setdefault(name, array("I")).append(position)
                done += 1
                if done % 100 == 0 or done == len(ids):
                    self.options.progress("reading", done, len(ids))

        await _gather([read_some() for _ in range(min(connections, max(1, len(ids))))])
        return found

    def _name_tags(self, state: TagState, names: Mapping[str, "array[int]"]) -> dict[SyncedTag, BitMap]:
        """Return the devices of each tag of the scope that the vendor has."""
        known = {tag.name: tag for tag in state.known.tags if tag.tag in self.scope}
        read = {}
        for name, positions in sorted(names.items()):
            if (tag := known.get(name) or self.find_tag(name)) is not None:
                read[tag] = rows_to_bitmap(np.sort(np.frombuffer(positions, dtype=np.uint32)))
        return read

    async def _has_no_other_devices(self, caller: "_Caller", read: Mapping[SyncedTag, BitMap]) -> bool:
        """Return whether the vendor counts as many devices of each tag as were read."""
        reading = self.reading
        if reading.build_counts is None or reading.parse_counts is None:
            return False
        expected = {tag.name: 0 for tag in self.wanted.tags} | {tag.name: len(rows) for tag, rows in read.items()}
        for names in _iter_chunks(sorted(expected), reading.max_counted):
            totals = dict.fromkeys(names, 0)
            for request in reading.build_counts(names, caller.credentials):
                counts = await caller.call(request, reading.parse_counts) or {}
                if not set(names) <= set(counts):
                    return False
                totals = {name: total + counts[name] for name, total in totals.items()}
            if any(totals[name] != expected[name] for name in names):
                return False
        return True


@dataclass(frozen=True, slots=True)
class _Caller:
    """Caller of the vendor, which repeats calls that may succeed later."""

    transport: Transport
    limiter: RateLimiter
    options: SyncOptions
    reading: TagReading

    @property
    def credentials(self) -> Credentials:
        """Return the credentials of the calls."""
        return self.transport.credentials

    async def call(self, request: Request, parse: Callable[[Response], AnswerT | VendorReply]) -> AnswerT | None:
        """Return the answer to *request*, or None if the vendor does not know the id in it.

        Raises:
            ReadingError: The vendor refuses to answer.
        """
        try:
            async for attempt in self.options.retry.iter_attempts(self.options.clock.sleep):
                with attempt:
                    return await self._call_once(request, parse)
        except RetryLater as error:
            raise ReadingError(error.problem) from None
        raise AssertionError("a call has at least one attempt")

    async def _call_once(self, request: Request, parse: Callable[[Response], AnswerT | VendorReply]) -> AnswerT | None:
        answers: list[AnswerT] = []

        def parse_answer(response: Response) -> VendorReply:
            answer = parse(response)
            if isinstance(answer, VendorReply):
                return answer
            answers.append(answer)
            return Accepted("-")

        await self.limiter.wait(self.reading.rate_limits)
        match await self.transport.post(request, parse_answer):
            case Accepted():
                return answers[-1]
            case InvalidIds():
                return None
            case Retryable(problem, retry_after):
                self.limiter.pause(min(retry_after or 0, MAX_RETRY_AFTER_SECONDS))
                raise RetryLater(problem, retry_after)
            case InDoubt(problem):
                raise RetryLater(problem)
            case reply:
                raise ReadingError(_explain(reply.problem))


def _explain(problem: Problem) -> Problem:
    return replace(problem, message=f"the tags that the vendor has cannot be read: {problem.message}")


async def _gather(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    """Run *coroutines* at once; the first error ends the others, and is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _iter_chunks(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
