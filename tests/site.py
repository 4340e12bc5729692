"""A web server on this machine, for tests of downloads: it breaks off, resumes or not, notes what is asked for."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from minires.data.download import Remote

CONTENT = np.random.default_rng(0).bytes(700_000)


@dataclass
class Site:
    """A web server with the given files, and a record of what it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    says_length: bool = True
    breaks_after: int | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def remote(self, name: str, content: bytes = CONTENT) -> Remote:
        """A file with that content, and what its publisher says of it."""
        self.files[name] = content
        return Remote(f"{self.address}/{name}", hashlib.md5(content).hexdigest())


@contextmanager
def serving() -> Iterator[Site]:
    """A site that answers on this machine."""
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, wanted = self.path.lstrip("/"), self.headers.get("Range")
            served.asked.append((name, wanted))
            content = served.files.get(name)
            if content is None:
                self.send_error(404)
                return
            first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and served.ranges else 0
            if first >= len(content):
                self.send_error(416)
                return
            self.send_response(206 if first else 200)
            if served.says_length:
                self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            end = len(content) if served.breaks_after is None else first + served.breaks_after
            self.wfile.write(content[first:end])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()
    thread.join()
