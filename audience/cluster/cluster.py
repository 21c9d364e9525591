"""Protocol of a cluster: processes, here or on other machines, that call functions for this one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from audience.errors import ClusterError, Problem

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@runtime_checkable
class Cluster(Protocol):
    """Processes that call functions for this one. All of them read and write the same folders under the same paths."""

    def map(self, function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterator[Result]:
        """Yield the result of *function* for each of *arguments*, in their order.

        A call may be made twice, also at once: when a process dies, its calls are made elsewhere. So a function that
        writes must write the same whenever it is called.

        Raises:
            AudienceError: The error of the first call that fails, in the order of the arguments.
            ClusterError: The cluster is lost.
        """


class ThisProcess:
    """Cluster of this process alone.

    >>> list(ThisProcess().map(len, ["a", "bb"]))
    [1, 2]
    """

    def map(self, function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterator[Result]:
        """Yield the result of *function* for each of *arguments*, as `Cluster.map` does."""
        return map(function, arguments)


def reject_cluster(cluster: Cluster | None, url: str | Path) -> None:
    """Raise ClusterError if there is a *cluster*, whose processes build in a folder, and the index is at *url*."""
    if cluster is not None:
        hint = "build in a folder that all machines share, and publish that: audience index push FOLDER URL"
        raise ClusterError(Problem("not-shared", f"a cluster cannot build {url}, which is no folder", hint=hint))
