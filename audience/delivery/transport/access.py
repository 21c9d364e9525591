"""Access tokens of one transport: requested when they are needed, kept in memory only, and renewed before they expire.

Requesting a token delivers nothing, so a lost reply leaves nothing in doubt: it is requested again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from audience.delivery.transport.redaction import ReplyParser
from audience.vendors.delivery_spec import (
    Accepted,
    AccessToken,
    AccessTokenSource,
    InDoubt,
    Response,
    Retryable,
    VendorReply,
)
from audience.vendors.error_codes import parse_retry_after

TOKEN_MARGIN_SECONDS = 300.0  # before its end, a token is no longer used; at most a tenth of its lifetime

NOTHING_SENT = "no access token came, so that nothing was sent; run `audience resume` later"

TokenCall: TypeAlias = Callable[[ReplyParser], Awaitable[VendorReply]]


class AccessTokenPool:
    """Access token of one transport; *current* is empty until one is received."""

    def __init__(self) -> None:
        self.current = ""
        self._use_until = 0.0
        self._request_lock = asyncio.Lock()
        self._request_count = 0
        self._last_failure: VendorReply | None = None

    async def refresh(
        self, source: AccessTokenSource, make_call: TokenCall, boot_clock: Callable[[], float]
    ) -> VendorReply | None:
        """Request a token unless the current one is still valid; return the reply that has none, or None.

        Callers that wait while another one requests a token share its result, so that a slow failure delays them once.

        Args:
            source: Where tokens come from.
            make_call: Makes the call, and returns what a parser makes of its response.
            boot_clock: Clock that cannot be set.
        """
        if self._is_valid(boot_clock):
            return None
        seen = self._request_count
        async with self._request_lock:
            if self._is_valid(boot_clock):
                return None
            if self._request_count > seen and self._last_failure is not None:
                return self._last_failure
            self._last_failure = await self._request_token(source, make_call, boot_clock)
            self._request_count += 1
            return self._last_failure

    def _is_valid(self, boot_clock: Callable[[], float]) -> bool:
        return bool(self.current) and boot_clock() < self._use_until

    async def _request_token(
        self, source: AccessTokenSource, make_call: TokenCall, boot_clock: Callable[[], float]
    ) -> VendorReply | None:
        asked_at, received = boot_clock(), list[AccessToken]()

        def parse(response: Response) -> VendorReply:
            answer = source.parse_reply(response)
            if isinstance(answer, InDoubt):
                return Retryable(replace(answer.problem, hint=NOTHING_SENT), parse_retry_after(response))
            if not isinstance(answer, AccessToken):
                return answer
            received.append(answer)
            return Accepted("token")

        match await make_call(parse):
            case Accepted() if received:
                token = received[-1]
                margin = min(TOKEN_MARGIN_SECONDS, token.seconds / 10)
                self.current, self._use_until = token.value, asked_at + token.seconds - margin
                return None
            case InDoubt(problem):
                return Retryable(replace(problem, hint=NOTHING_SENT))
            case failure:
                return failure

    def discard(self, token: str) -> None:
        """Use *token* no longer, which the vendor has refused; a newer one stays."""
        if token == self.current:
            self.current = ""
