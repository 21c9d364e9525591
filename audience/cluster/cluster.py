"""Protocol of a cluster: processes, here or on other machines, that call functions for this one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

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


def may_have_other_machines(cluster: Cluster | None) -> bool:
    """Return whether *cluster* may have processes that do not see the temporary folders of this machine.

    >>> may_have_other_machines(None), may_have_other_machines(ThisProcess())
    (False, False)
    """
    return cluster is not None and not (isinstance(cluster, MachineCluster) and cluster.is_of_this_machine)
