"""An S3 on loopback, in a process of its own, whose warnings are not those of the tests."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

KEYS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@contextmanager
def serve_objects():
    """Yield the variables of the environment by which a server is reached that has no buckets yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert server.poll() is None and time.monotonic() < deadline, "moto does not start"
            time.sleep(0.05)
        yield {**KEYS, "AWS_ENDPOINT_URL": url}
    finally:
        server.kill()
        server.wait()


def _answers(url):
    try:
        urlopen(f"{url}/moto-api/", timeout=5).close()
    except (URLError, OSError):
        return False
    return True
