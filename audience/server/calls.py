"""Endpoints, and the calls that their handlers answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from audience.index.device_index import DeviceIndex
from audience.server.indexes import ServedIndexes, find_index
from audience.server.scopes import Caller, Scope
from audience.server.settings import ServeSettings

Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class Call:
    """Call of an endpoint.

    Attributes:
        settings: Settings of the service.
        indexes: Indexes by name, each at its current snapshot when the call began.
        caller: Caller, with the scopes of its key.
        path: Parameters of the path by name.
        headers: Headers of the request by their names in lower case.
        query: Validated parameters of the query, an instance of `Endpoint.query`.
        body: Validated body, an instance of `Endpoint.body`.
        served: Indexes of the service; a handler that changes one refreshes it there, and questions never use it.
    """

    settings: ServeSettings
    indexes: Mapping[str, DeviceIndex]
    caller: Caller
    path: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    served: ServedIndexes | None = None

    @property
    def index(self) -> DeviceIndex:
        """Return the index that the path names, at one snapshot. Raises HttpError if there is none."""
        return find_index(self.path["index"], self.indexes)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a handler that is not a plain 200: a JSON form with a status and headers."""

    form: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """Answer that is sent as it is made.

    Attributes:
        media_type: Its media type.
        chunks: Its bytes; an iterator that is closed if the caller hangs up.
        headers: Further headers.
    """

    media_type: str
    chunks: Iterator[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Endpoint of the service. The docstring of its handler is its description in the OpenAPI document.

    Attributes:
        method: HTTP method.
        path: Path with parameters in braces, such as `/v1/indexes/{index}/count`.
        handler: Function that answers a call, in a thread: it returns a form, an `Answer` or a `Stream`.
        answer: Type of the form, usually a `TypedDict`, of which the schema is made.
        scope: Scope that a caller needs; None for what everybody may call, also without a key.
        body: Model of the JSON body; None if there is none.
        query: Model of the query; None if there is none.
        statuses: Statuses other than 200 that stand for success, such as 201.
        media_types: Media types of the answer, the one by default first.
        is_light: Whether all answers are quick. Others share a part of the threads, so that light calls always get one.
    """

    method: Method
    path: str
    handler: Callable[[Call], Any]
    answer: Any
    scope: Scope | None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    statuses: tuple[int, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
    is_light: bool = False
