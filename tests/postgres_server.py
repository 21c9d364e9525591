"""A Postgres of this machine, in a folder of its own, that is reached over loopback with a password."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

PASSWORD = "s3cr3t/p@ss"  # which a URL has to encode
ENCODED_PASSWORD = "s3cr3t%2Fp%40ss"


def find_programs() -> Path:
    """Return the folder of initdb. Without one skip the test, or fail it if the environment requires one."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    if folders:
        return folders[-1]
    reason = "Postgres is not installed: apt-get install postgresql"
    if os.environ.get("AUDIENCE_REQUIRE_POSTGRES"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serve_postgres():
    """Yield the port of a new server with the user and database `postgres`."""
    programs = find_programs()
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses root
    folder = Path(mkdtemp(prefix="audience-postgres-"))
    (folder / "password").write_text(PASSWORD)
    if as_user:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    control = [*as_user, programs / "pg_ctl", "-D", folder / "data", "-w"]
    options = f"-p {port} -k {folder} -c fsync=off -c listen_addresses=127.0.0.1"
    try:
        initdb = [*as_user, programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "scram-sha-256"]
        command = [*initdb, "--no-sync", "--pwfile", folder / "password", "--locale=C.UTF-8", "--encoding=UTF8"]
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd="/")
        command = [*control, "-o", options, "-l", folder / "log", "start"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, cwd="/")
        yield port
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, cwd="/")
        shutil.rmtree(folder, ignore_errors=True)
