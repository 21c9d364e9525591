"""Scopes of keys, and callers that have them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Scope: TypeAlias = Literal["count", "ids", "write", "send"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Caller of an endpoint: the name of its key, and what it permits."""

    name: str
    scopes: frozenset[Scope]
