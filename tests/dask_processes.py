"""A scheduler and workers of Dask under TLS, each a process outside pytest, which tests may kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
# Not in the process of pytest: an import of Dask changes how errors are pickled there.
WRITE_CERTIFICATES = """
from pathlib import Path
from distributed.security import Security
security = Security.temporary()
Path("ca.pem").write_text(security.tls_ca_file)
Path("cert.pem").write_text(security.tls_scheduler_cert)
Path("key.pem").write_text(security.tls_scheduler_key)
"""


@dataclass
class DaskProcesses:
    """A running cluster; its files of certificates and of the address of its scheduler are in `folder`."""

    folder: Path
    stack: ExitStack
    preload: Path | None = None
    scheduler: subprocess.Popen | None = None
    workers: list[subprocess.Popen] = field(default_factory=list)
    address: str = ""

    @property
    def files(self) -> dict[str, Path]:
        """The files of certificates by the names of `Certificates`."""
        return {name: self.folder / f"{name}.pem" for name in ("ca", "cert", "key")}

    @property
    def options(self) -> list[str]:
        """The options of the command line."""
        return ["--scheduler", self.address, *(f"--tls-{name}={file}" for name, file in self.files.items())]

    def start_scheduler(self) -> None:
        """Start a scheduler on a free port."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start("scheduler", "--port=0", "--protocol=tls://", "--no-dashboard")
        self.address = next(
            line.split()[-1] for line in self.scheduler.stderr if "Scheduler at:" in line
        )  # fails at the end of its output
        self._drain(self.scheduler)

    def start_worker(self) -> None:
        """Start a worker with one thread, and wait until it is registered."""
        words = ("--nthreads=1", "--no-nanny", "--no-dashboard", "--memory-limit=0")
        loaded = () if self.preload is None else (f"--preload={self.preload}",)
        worker = self._start("worker", self.address, *words, *loaded)
        next(line for line in worker.stderr if "Registered to:" in line)
        self._drain(worker)
        self.workers.append(worker)

    def restore(self, workers: int) -> None:
        """Start what was killed: a scheduler, and so many workers."""
        if self.scheduler.poll() is not None:
            self.start_scheduler()
            for worker in self.workers:
                kill(worker)
            self.workers.clear()
        while len(self.workers) < workers:
            self.start_worker()

    def kill(self, victim: str) -> None:
        """Kill the oldest worker, or the scheduler."""
        kill(self.workers.pop(0) if victim == "worker" else self.scheduler)

    def _start(self, *words: str) -> subprocess.Popen:
        tls = [f"--tls-{'ca-file' if name == 'ca' else name}={file}" for name, file in self.files.items()]
        command = [sys.executable, "-m", "dask", *words, *tls, "--host=127.0.0.1"]
        process = subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        self.stack.callback(kill, process)
        return process

    def _drain(self, process: subprocess.Popen) -> None:
        """Let a process of its own read what else *process* writes, so that it never waits for a reader."""
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        self.stack.callback(drain.wait)
        self.stack.callback(kill, process)  # before the wait: callbacks are called in reverse


def kill(process: subprocess.Popen) -> None:
    """Kill *process* and wait for its end."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@contextmanager
def run_dask(folder: Path, workers: int, preload: Path | None = None) -> Iterator[DaskProcesses]:
    """A cluster whose files are in *folder*, and whose workers load a Python file."""
    subprocess.run([sys.executable, "-c", WRITE_CERTIFICATES], cwd=folder, check=True)
    with ExitStack() as stack:
        processes = DaskProcesses(folder, stack, preload)
        processes.start_scheduler()
        for _ in range(workers):
            processes.start_worker()
        yield processes
