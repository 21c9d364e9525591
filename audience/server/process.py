"""Processes of the service: the socket, one or several workers, the file that says it is ready, and signals."""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing import parent_process
from shutil import rmtree
from threading import Thread

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors import Multiprocess

from audience.activity_log import open_activity_log
from audience.errors import Problem, ServiceError
from audience.server.app import create_app
from audience.server.http_protocol import CONNECTIONS_KEY, Connections, LimitedProtocol
from audience.server.indexes import ServedIndexes
from audience.server.metrics import WORKERS_FOLDER_VARIABLE, Metrics
from audience.server.settings import ServeSettings

BACKLOG = 2_048
KEEP_ALIVE_SECONDS = 75
HANG_SECONDS = 60  # after which a worker that does not react is replaced
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
logger = logging.getLogger("audience.server")


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ServiceError: The address is invalid, or the port is taken.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with ExitStack() as stack:
            # asyncio turns off Nagle's algorithm, which delays each answer by 40 ms, only for sockets that say TCP
            listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host.strip("[]"), port))
            listener.listen(BACKLOG)
            stack.pop_all()
        return listener
    except OSError as error:
        if isinstance(error, socket.gaierror):
            problem = Problem("bad-address", f"{host!r:.80} is not an address of this machine", hint="--host 127.0.0.1")
        else:
            hint = "--port 0 takes a free one"
            problem = Problem("port-taken", f"{host}:{port}: {os.strerror(error.errno or 0)}", hint=hint)
        raise ServiceError(problem) from None


def run_service(settings: ServeSettings, listener: socket.socket, workers: int, on_ready: Callable[[], None]) -> None:
    """Answer calls until SIGINT or SIGTERM; running answers have a grace time then.

    Args:
        settings: Settings of the service.
        listener: Socket that listens.
        workers: Number of processes.
        on_ready: Called when calls are answered.
    """
    _raise_file_limit()
    handlers = {number: signal.signal(number, _ignore_signal) for number in STOP_SIGNALS}
    try:
        if workers == 1:
            _Server(_configure(settings, 1), on_ready).run([listener])
        else:
            _run_workers(settings, listener, workers, on_ready)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def log_to_stderr() -> None:
    """Write the log of the service to standard error, a line a message; uvicorn's own messages are left out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(process)d %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)


class _Server(uvicorn.Server):
    """Server that reports when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]):
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        await super().startup(sockets)
        self._on_ready()


class _Supervisor(Multiprocess):
    """Supervisor of workers that reports when all of them are ready."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], on_ready: Callable[[], None]):
        super().__init__(config, sockets)
        self._on_ready = on_ready

    def init_processes(self) -> None:
        """Start the workers, and wait for them."""
        super().init_processes()
        self._close_worker_ends()
        for process in self.processes:
            while not process.wait_until_ready(1, self.should_exit):
                self.handle_signals()
                if self.should_exit.is_set() or not process.process.is_alive():
                    return
        self._on_ready()

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have ended or hang."""
        super().keep_subprocess_alive()
        self._close_worker_ends()

    def _close_worker_ends(self) -> None:
        """Close the workers' ends of their pipes here, so that a worker that dies while it is asked is noticed at once.

        Otherwise this process holds the pipe open itself, and waits for the answer of a dead worker.
        """
        for process in self.processes:
            process.child_conn.close()


def _run_workers(settings: ServeSettings, listener: socket.socket, workers: int, on_ready: Callable[[], None]) -> None:
    folder = tempfile.mkdtemp(prefix="audience-metrics-")
    os.environ[WORKERS_FOLDER_VARIABLE] = folder
    try:
        _Supervisor(_configure(settings, workers), [listener], on_ready).run()
    finally:
        del os.environ[WORKERS_FOLDER_VARIABLE]
        rmtree(folder, ignore_errors=True)


def _configure(settings: ServeSettings, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        partial(create_worker_app, settings),
        factory=True,
        loop="asyncio",
        http=LimitedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=workers,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_worker_healthcheck=HANG_SECONDS,
    )


def create_worker_app(settings: ServeSettings) -> ASGIApp:
    """Return the service of a process, which opens the indexes itself."""
    log_to_stderr()
    _log_calls(settings)
    _end_with_parent()
    app = create_app(settings, ServedIndexes.open(settings.indexes), Metrics())
    gc.collect()
    gc.freeze()  # what stays for as long as the process needs no collection
    return _WorkerApp(app, Connections(settings))


def _log_calls(settings: ServeSettings) -> None:
    """Log calls for as long as this process lives, if it is one of several; a single one has the log already."""
    if settings.log is not None and parent_process() is not None:
        open_activity_log(settings.log, "serve", lambda problem: logger.warning(problem.message))


class _WorkerApp:
    """Application of a process: it also gives its connections what they share."""

    def __init__(self, app: ASGIApp, connections: Connections):
        self._app = app
        self._connections = connections
        self._sweep: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or start and stop."""
        if scope["type"] == "lifespan":
            scope["state"][CONNECTIONS_KEY] = self._connections
            self._sweep = asyncio.create_task(self._connections.sweep())
        await self._app(scope, receive, send)


def _end_with_parent() -> None:
    """End this worker if the process that has started it is gone."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=wait, name="audience-parent", daemon=True).start()


def _raise_file_limit() -> None:
    """Let this process hold as many connections as the system permits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _ignore_signal(*_: object) -> None:
    """Do nothing: the server raises the signal that has ended it once more at its end."""
