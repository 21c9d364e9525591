"""Clusters of Dask: the scheduler of the user, or processes of this machine. Connections are encrypted."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, cast
from urllib.parse import urlsplit

from audience.cluster.cluster import Argument, Cluster, Result
from audience.cluster.versions import read_versions, require_versions
from audience.errors import AudienceError, ClusterError, LostClusterError, Problem

ENCRYPTED_SCHEME, PLAIN_SCHEME = "tls", "tcp"
CONNECT_SECONDS, WORKER_SECONDS, POLL_SECONDS = 20, 60, 2
EXTRA_HINT = "pip install 'audience[cluster]'"
AGAIN_HINT = "start the command again when the cluster is up: a build goes on from its finished shards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Files of certificates for TLS.

    Attributes:
        ca: Certificate of the authority that signed those of scheduler and workers.
        cert: Certificate of this process.
        key: Private key of this process.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@contextmanager
def connect_cluster(
    scheduler: str, *, certificates: Certificates | None = None, insecure: bool = False
) -> Iterator[Cluster]:
    """Yield the cluster of a running scheduler of Dask.

    Args:
        scheduler: Its address, `tls://host:8786`.
        certificates: Files for TLS; None are those of Dask's own configuration.
        insecure: Accept `tcp://`. Whoever reaches the ports of an unencrypted Dask can run any code there.

    Raises:
        ClusterError: The address is invalid or unencrypted, the scheduler is not reached or has no workers, or a worker
            has other versions of what writes an index.
    """
    require_encryption(scheduler, insecure)
    distributed = _import_dask()
    is_encrypted = urlsplit(scheduler).scheme == ENCRYPTED_SCHEME
    with ExitStack() as stack:
        try:
            security = _read_security(distributed, certificates or Certificates()) if is_encrypted else None
            client = stack.enter_context(
                distributed.Client(scheduler, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
            )
        except (OSError, ValueError, TypeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            message = f"the scheduler {scheduler} cannot be reached: {reason}"
            raise ClusterError(Problem("no-cluster", message, hint="check the address and the certificates")) from None
        cluster = DaskCluster(client, scheduler, distributed.wait)
        cluster.require_workers()
        yield cluster


@contextmanager
def local_cluster(workers: int) -> Iterator[Cluster]:
    """Yield a cluster of new processes on this machine, which end with the block.

    They talk by TLS, with a certificate that is made for them, and listen on the loopback interface alone.

    Args:
        workers: Number of processes.

    Raises:
        ClusterError: A package is not installed.
    """
    if workers < 1:
        raise ValueError(f"workers: expected 1 or more, got {workers}")
    distributed = _import_dask()
    with ExitStack() as stack:
        security = distributed.Security.temporary()
        folder = stack.enter_context(TemporaryDirectory(prefix="audience-", ignore_cleanup_errors=True))
        started = stack.enter_context(
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                security=security,
                protocol=f"{ENCRYPTED_SCHEME}://",
                host="127.0.0.1",
                dashboard_address=None,
                memory_limit=0,  # a shard takes what it takes, as in one process
                local_directory=folder,
                silence_logs=logging.CRITICAL,
            )
        )
        client = stack.enter_context(distributed.Client(started, security=security, set_as_default=False))
        cluster = DaskCluster(client, "of this machine", distributed.wait, is_of_this_machine=True)
        cluster.require_workers()
        yield cluster


def require_encryption(scheduler: str, insecure: bool) -> None:
    """Raise ClusterError if the address of a scheduler is invalid, or unencrypted and not *insecure*.

    >>> require_encryption("tcp://10.0.0.7:8786", insecure=False)
    Traceback (most recent call last):
    audience.errors.ClusterError: unencrypted: the connection to tcp://10.0.0.7:8786 is not encrypted
       = hint: start Dask with TLS and write tls://, or accept that whoever reaches its ports can run code: --insecure
    """
    address = urlsplit(scheduler)
    if address.scheme not in (ENCRYPTED_SCHEME, PLAIN_SCHEME) or not address.hostname:
        message = f"{scheduler!r} is not the address of a scheduler"
        raise ClusterError(Problem("bad-scheduler", message, hint="write tls://HOST:PORT"))
    if address.scheme == PLAIN_SCHEME and not insecure:
        message = f"the connection to {scheduler} is not encrypted"
        hint = "start Dask with TLS and write tls://, or accept that whoever reaches its ports can run code: --insecure"
        raise ClusterError(Problem("unencrypted", message, hint=hint))


def _import_dask() -> Any:
    """Return the package of Dask, whose warnings about workers are left to its own logs."""
    try:
        import distributed
    except ImportError as error:
        message = f"a cluster needs the package {error.name}"
        raise ClusterError(Problem("no-extra", message, hint=EXTRA_HINT)) from None
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def _read_security(distributed: Any, files: Certificates) -> Any:
    """Return what Dask needs for TLS. Raises ClusterError if a file cannot be read, or none is named anywhere."""
    given = {"tls_ca_file": files.ca, "tls_client_cert": files.cert, "tls_client_key": files.key}
    for path in given.values():
        if path is not None and not os.access(path, os.R_OK):
            message = f"{path} cannot be read"
            raise ClusterError(Problem("no-certificate", message, hint="check --tls-ca, --tls-cert and --tls-key"))
    named = {name: str(path) for name, path in given.items() if path is not None}
    security = distributed.Security(require_encryption=True, **named)
    if not security.tls_ca_file:  # nor in Dask's own configuration
        message = "no certificate of the authority is named, by which the scheduler would be known"
        raise ClusterError(Problem("no-certificate", message, hint="use --tls-ca, --tls-cert and --tls-key"))
    return security


class DaskCluster:
    """Cluster of a connected client of Dask."""

    def __init__(self, client: Any, name: str, wait: Callable[..., Any], *, is_of_this_machine: bool = False):
        self.is_of_this_machine = is_of_this_machine
        self._client = client
        self._wait_for = wait
        self._name = name
        self._versions = read_versions()
        self._last_seen = monotonic()  # when there were workers

    def __repr__(self) -> str:
        return f"<DaskCluster {self._name}>"

    def require_workers(self) -> None:
        """Wait for a worker, and check the versions of all of them.

        Raises:
            ClusterError: There is none, or one has other versions.
        """
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise _no_workers_error(self._name) from None
        try:
            found = self._client.run(read_versions)
        except AudienceError:
            raise
        except Exception as error:  # noqa: BLE001 - an import of another audience, or of none, may raise anything
            message = f"a worker of {self._name} cannot run audience: {type(error).__name__}: {error}"
            hint = "install the same packages on all machines"
            raise ClusterError(Problem("other-versions", message, hint=hint)) from None
        for worker, versions in found.items():
            require_versions(self._versions, versions, worker)

    def map(self, function: Callable[[Argument], Result], arguments: Sequence[Argument]) -> Iterator[Result]:
        """Yield the result of *function* for each of *arguments*, as `Cluster.map` does."""
        run = token_hex(4)
        futures = [
            self._client.submit(
                _call, self._versions, function, argument, key=f"{function.__name__}-{run}-{number}", pure=False
            )
            for number, argument in enumerate(arguments)
        ]
        self._last_seen = monotonic()
        try:
            while futures:
                result = self._wait(futures[0])
                del futures[0]  # the worker may forget it
                yield result
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel(futures)

    def _wait(self, future: Any) -> Any:
        """Return the result of a call once it is there.

        Raises:
            AudienceError: The error of the call.
            LostClusterError: Workers or the scheduler are lost.
        """
        try:
            while not self._is_done(future):
                self._require_some_workers()
            outcome = future.result()
        except LostClusterError:
            raise
        except Exception as error:
            if future.status == "error" and not _is_of_dask(error):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            message = f"the cluster {self._name} was lost: {reason}"
            raise LostClusterError(Problem("cluster-lost", message, hint=AGAIN_HINT)) from None
        if isinstance(outcome, AudienceError):
            raise outcome
        return outcome

    def _is_done(self, future: Any) -> bool:
        """Return whether a call has ended, or was lost; wait some seconds for that."""
        with suppress(TimeoutError), self._client.as_current():
            self._wait_for(future, timeout=POLL_SECONDS)
        return bool(future.done())

    def _require_some_workers(self) -> None:
        """Raise ClusterError if there was no worker, or no scheduler, for some time."""
        with suppress(OSError, TimeoutError):
            if self._client.scheduler_info()["workers"]:
                self._last_seen = monotonic()
        if monotonic() - self._last_seen > WORKER_SECONDS:
            raise _no_workers_error(self._name)


def _no_workers_error(name: str) -> LostClusterError:
    message = f"the cluster {name} has no workers"
    return LostClusterError(Problem("no-workers", message, hint="start some: dask worker SCHEDULER --nthreads 1"))


def _is_of_dask(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] == "distributed"


def _call(
    versions: Mapping[str, str], function: Callable[[Argument], Result], argument: Argument
) -> Result | AudienceError:
    """Call *function* on a worker, which may have come later than those whose versions were checked.

    An expected error is returned: with its cause and its traceback, which Dask would pickle, it might not be pickled.
    """
    try:
        require_versions(versions, read_versions(), f"process {os.getpid()}")
        return function(argument)
    except AudienceError as error:
        base = next(each for each in type(error).__mro__ if each.__module__ == AudienceError.__module__)
        return cast(AudienceError, base(*error.problems))
