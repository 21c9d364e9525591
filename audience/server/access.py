"""Check of the key of a call, and of what it permits."""

from collections.abc import Iterable, Mapping

from audience.errors import Problem
from audience.server.keys import KeyRing
from audience.server.problems import HttpError
from audience.server.scopes import Caller, Scope

LOCAL_NAME = "local"
ANONYMOUS_CALLER = Caller("", frozenset())
BEARER = b"bearer "


class Access:
    """Check of the key of a call."""

    def __init__(self, keys: KeyRing | None, local_scopes: Iterable[Scope]):
        self.keys = keys
        self._local_caller = Caller(LOCAL_NAME, frozenset(local_scopes))

    def authorize(self, headers: Mapping[bytes, bytes], scope: Scope | None) -> Caller:
        """Return the caller.

        Raises:
            HttpError: The key is missing or unknown, or does not permit *scope*.
        """
        if self.keys is None:
            caller = self._local_caller
        elif b"authorization" not in headers and scope is None:
            return ANONYMOUS_CALLER
        else:
            caller = self._find_caller(headers.get(b"authorization", b""), self.keys)
        if scope is not None and scope not in caller.scopes:
            raise _missing_scope_error(caller, scope, has_keys=self.keys is not None)
        return caller

    def _find_caller(self, header: bytes, keys: KeyRing) -> Caller:
        token = header[len(BEARER) :].strip() if header[: len(BEARER)].lower() == BEARER else b""
        caller = keys.find_caller(token.decode("latin-1")) if token else None
        if caller is None:
            raise unknown_key_error(has_key=bool(header))
        return caller


def unknown_key_error(*, has_key: bool) -> HttpError:
    """Return the error of a call without a key that the service knows."""
    if has_key:
        problem = Problem("invalid-key", "the service does not know this key", hint="ask who runs it for a new one")
        challenge = 'Bearer realm="audience", error="invalid_token"'
    else:
        problem = Problem("no-key", "this call needs a key", hint="send the header Authorization: Bearer KEY")
        challenge = 'Bearer realm="audience"'
    return HttpError(401, problem, headers={"WWW-Authenticate": challenge})


def _missing_scope_error(caller: Caller, scope: Scope, *, has_keys: bool) -> HttpError:
    if not has_keys:
        hint = "start the service with --keys FILE, and use a key that has the scope"
        message = f"without keys, nobody has the scope {scope!r}"
    else:
        hint = f"use a key with it: audience keys add NAME --scope {scope}"
        message = f"the key {caller.name!r} does not have the scope {scope!r}"
    challenge = f'Bearer realm="audience", error="insufficient_scope", scope="{scope}"'
    return HttpError(403, Problem("no-scope", message, hint=hint), headers={"WWW-Authenticate": challenge})
