"""A proxy before an object store, which records each request."""

import http.client
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Lock, Thread
from urllib.parse import unquote

REASON = None if find_spec("moto") and find_spec("obstore") else "moto[server] or obstore is not installed"


def create_bucket(endpoint, name):
    """Create a bucket in the store at *endpoint*."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()


@dataclass
class Recorder:
    """Requests that went through a proxy: method, path without the query, status, and bytes of the reply."""

    address: str = ""
    requests: list[tuple[str, str, int, int]] = field(default_factory=list)
    answers: list[tuple[str, str, int, int]] = field(default_factory=list)  # method, part of the path, times, status
    is_lost: bool = False  # whether these requests reach the store, and only their replies do not come back
    is_unconditional: bool = False  # whether the store ignores the conditions of puts
    lock: Lock = field(default_factory=Lock)

    def take(self):
        """Return the requests since the last time."""
        with self.lock:
            requests, self.requests = self.requests, []
        return requests

    def find_answer(self, method, path):
        """Return the status that a request gets instead of the store's reply, or None."""
        with self.lock:
            for at, (its_method, part, times, status) in enumerate(self.answers):
                if its_method == method and part in path and times:
                    self.answers[at] = its_method, part, times - 1, status
                    return status
        return None


@contextmanager
def record_requests(endpoint):
    """Yield a Recorder, at whose address the store at *endpoint* is."""
    recorder = Recorder()
    host = endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            answer = recorder.find_answer(self.command, self.path)
            if answer is None or recorder.is_lost:
                upstream = http.client.HTTPConnection(host, timeout=60)
                headers = {**self.headers, "Connection": "close"}
                if recorder.is_unconditional and self.command == "PUT":
                    headers = {name: value for name, value in headers.items() if not name.lower().startswith("if-")}
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
                status, headers, data = reply.status, reply.getheaders(), reply.read()
                upstream.close()
            if answer is not None:
                status, headers, data = answer, [], b""
            with recorder.lock:
                path = unquote(self.path.partition("?")[0])
                recorder.requests.append((self.command, path, status, len(data)))
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            given = {name.lower(): value for name, value in headers}.get("content-length")
            self.send_header("Content-Length", given if self.command == "HEAD" and given else str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

        def log_message(self, *_):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=[0.01], daemon=True)  # seconds until it sees that it is to end
    thread.start()
    recorder.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
