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


@runtime_checkable
class MachineCluster(Cluster, Protocol):
    """Cluster that may be of this machine alone; then its processes see the temporary folders of this one, too."""

    @property
    def is_of_this_machine(self) -> bool:
        """Return whether all processes are, and will be, on this machine."""


class ThisProcess:
    """Cluster of this process alone.

    >>> list(ThisProcess().map(len, ["a", "bb"]))
    [1, 2]
    """

    is_of_this_machine = True

    def map(self, function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterator[Result]:
        """Yield the result of *function* for each of *arguments*, as `Cluster.map` does."""
        return map(function, arguments)


def reject_other_machines(cluster: Cluster | None, url: str | Path) -> None:
    """Raise ClusterError if *cluster* may have other machines: an index for a store is built in a folder of this one.

    A store has no renames, so shards are written to files, and these are published together when all are checked.
    """
    if cluster is None or (isinstance(cluster, MachineCluster) and cluster.is_of_this_machine):
        return
    message = f"an index for {url} is built in a temporary folder of this machine, which other machines do not see"
    hint = "build in a folder that all machines share, and publish that: audience index push FOLDER URL"
    raise ClusterError(Problem("not-shared", message, hint=hint))
