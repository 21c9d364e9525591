"""Options for the cluster that does the work of a command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from audience.cli.declarations import Option
from audience.cluster.cluster import Cluster
from audience.errors import ClusterError, Problem


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Options for a cluster of Dask; without any, a command works in its own process."""

    scheduler: Annotated[
        str | None,
        Option("--scheduler", metavar="tls://HOST:PORT", help="Scheduler of Dask whose workers do the work."),
    ] = None
    local_workers: Annotated[
        int | None,
        Option("--local-workers", min=1, metavar="N", help="Processes of this machine that do the work."),
    ] = None
    tls_ca: Annotated[
        Path | None, Option("--tls-ca", metavar="FILE", help="Certificate of the authority of the scheduler.")
    ] = None
    tls_cert: Annotated[
        Path | None, Option("--tls-cert", metavar="FILE", help="Certificate of this process for the scheduler.")
    ] = None
    tls_key: Annotated[Path | None, Option("--tls-key", metavar="FILE", help="Private key of that certificate.")] = None
    insecure: Annotated[bool, Option("--insecure", help="Accept tcp://, an unencrypted scheduler.")] = False

    @contextmanager
    def open(self) -> Iterator[Cluster | None]:
        """Yield the cluster, or None for the process of the command.

        Raises:
            ClusterError: The options contradict each other, or the cluster cannot be used.
        """
        self._require_sense()
        if self.scheduler is None and self.local_workers is None:
            yield None
            return
        from audience.cluster.dask_cluster import Certificates, connect_cluster, local_cluster

        if self.local_workers is not None:
            with local_cluster(self.local_workers) as cluster:
                yield cluster
        elif self.scheduler is not None:
            files = Certificates(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key)
            with connect_cluster(self.scheduler, certificates=files, insecure=self.insecure) as cluster:
                yield cluster

    def _require_sense(self) -> None:
        """Raise ClusterError for two clusters, or for options of a scheduler without one."""
        if self.scheduler is not None and self.local_workers is not None:
            hint = "use --scheduler, or --local-workers"
            raise ClusterError(Problem("bad-option", "two clusters were given", hint=hint))
        given = {
            "--tls-ca": self.tls_ca,
            "--tls-cert": self.tls_cert,
            "--tls-key": self.tls_key,
            "--insecure": self.insecure or None,
        }
        if self.scheduler is None and any(value is not None for value in given.values()):
            name = next(name for name, value in given.items() if value is not None)
            message = f"{name} is about a scheduler, and none was given"
            raise ClusterError(Problem("bad-option", message, hint="name one: --scheduler tls://HOST:PORT"))
