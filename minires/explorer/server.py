"""Serves the explorer on this machine: the page, and the answers of a Session as JSON.

Other pages that are open in the same browser can send requests to 127.0.0.1 too. So a request is answered only if

    its Host is this server's address      a name that a stranger's DNS points here is refused ("DNS rebinding")
    its Origin, if it has one, is this server's, and the browser does not say that it comes from another site
    it has the header X-MiniRes            which a foreign page may not set without asking first (answers only)

There is no route to a file: the page is one string. Uploads are bounded in size and decoded by `minires.data.images`.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from minires.errors import MiniResError
from minires.explorer.session import UPLOAD, Session

MAX_UPLOAD = 16 << 20  # bytes
LOCAL = ("127.0.0.1", "localhost", "[::1]")

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Refused(Exception):
    """A request that is not answered: its status, and the reason in one line."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class App:
    """The WSGI application.

    Args:
        session: What answers.
        page: The page's HTML.
        is_own: Whether a Host header names this server (`own_names`).
    """

    def __init__(self, session: Session, page: str, is_own: Callable[[str], bool]) -> None:
        self.session, self.page, self.is_own = session, page.encode(), is_own
        self.policy = content_policy(page)
        self.answers: dict[tuple[str, str], Callable[[Environ], Any]] = {
            ("GET", "/api/network"): lambda environ: session.describe(),
            ("GET", "/api/explore"): self._explore,
            ("GET", "/api/paths"): self._paths,
            ("POST", "/api/image"): self._add,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        """Answer one request."""
        try:
            status, kind, body = self._answer(environ)
        except Refused as error:
            status, kind, body = error.status, "text/plain", _line(error)
        except MiniResError as error:
            status, kind, body = "400 Bad Request", "text/plain", _line(error)
        except MemoryError:
            status, kind, body = "413 Content Too Large", "text/plain", b"the image needs more memory than there is\n"
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.policy,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        start_response(status, list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: Environ) -> tuple[str, str, bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        self._check_origin(environ)
        if path == "/":
            if method not in ("GET", "HEAD"):
                raise Refused("405 Method Not Allowed", f"{method} is not for the page")
            return "200 OK", "text/html", self.page
        answer = self.answers.get((method, path))
        if answer is None:
            raise Refused("404 Not Found", "there is no such page")
        if environ.get("HTTP_X_MINIRES") != "1":
            raise Refused("403 Forbidden", "only the explorer's own page is answered")
        return "200 OK", "application/json", json.dumps(answer(environ), allow_nan=False).encode()

    def _check_origin(self, environ: Environ) -> None:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if not self.is_own(host):
            raise Refused("421 Misdirected Request", "this server does not answer under that name")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            raise Refused("403 Forbidden", "requests from other sites are refused")
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
            raise Refused("403 Forbidden", "requests from other sites are refused")

    def _add(self, environ: Environ) -> dict[str, str]:
        length = environ.get("CONTENT_LENGTH") or ""
        if not re.fullmatch(r"[0-9]{1,12}", length):
            raise Refused("411 Length Required", "an upload says how long it is")
        if int(length) > MAX_UPLOAD:
            raise Refused("413 Content Too Large", f"an image may have {MAX_UPLOAD >> 20} MiB, this one has more")
        return self.session.add(environ["wsgi.input"].read(int(length)), UPLOAD)

    def _explore(self, environ: Environ) -> dict[str, Any]:
        query = _query(environ)
        off = [_number("off", each) for each in query.get("off", "").split(".") if each]
        target = query.get("target", "")
        return self.session.explore(query.get("image", ""), _number("target", target) if target else None, off)

    def _paths(self, environ: Environ) -> dict[str, Any]:
        query = _query(environ)
        return self.session.paths(query.get("image", ""), _number("target", query.get("target", "")))


def _query(environ: Environ) -> dict[str, str]:
    try:
        found = parse_qs(environ.get("QUERY_STRING", ""), max_num_fields=8, errors="strict")
    except ValueError as error:
        raise Refused("400 Bad Request", "the query cannot be read") from error
    return {name: values[0] for name, values in found.items()}


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise Refused("400 Bad Request", f"{name} is a number")
    return int(text)


def _line(error: Exception) -> bytes:
    """A reason as one line of printable characters."""
    return "".join(c if c.isprintable() else " " for c in str(error))[:400].encode() + b"\n"


def content_policy(page: str) -> str:
    """The page's Content-Security-Policy: its own script, by hash, its styles, pictures in data URIs, nothing else."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def own_names(host: str, port: int) -> Callable[[str], bool]:
    """A function that tells whether a Host header names the server that listens on `host`.

    A server for this machine alone has its usual names. One for the network also has this machine's name, and every
    address: a stranger's DNS can point a name here, but it cannot make the browser send an address.
    """
    local = is_local(host)
    names = {*LOCAL} if local else {*LOCAL, host.lower(), socket.gethostname().lower()}

    def is_own(header: str) -> bool:
        name, found, digits = header.lower().rpartition(":")
        if not found or not digits.isdecimal():  # a browser leaves out port 80
            name, digits = header.lower(), "80"
        return digits == str(port) and (name in names or (not local and _is_address(name)))

    return is_own


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    return host in ("127.0.0.1", "localhost", "::1")
