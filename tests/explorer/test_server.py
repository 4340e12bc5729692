"""The explorer's server: what it answers, and what it refuses in one line before it goes on."""

from __future__ import annotations

import io
import json
import socket
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minires.explorer import bundle
from minires.explorer.server import MAX_UPLOAD, App, content_policy, own_names
from tests.explorer.served import small_session

HOST = "127.0.0.1:8000"
OWN = {"HTTP_HOST": HOST, "HTTP_X_MINIRES": "1"}


@pytest.fixture(scope="module")
def app() -> App:
    return App(small_session(), bundle.page({"sources": {}, "network": "served"}), own_names("127.0.0.1", 8000))


def ask(
    app: App, path: str, method: str = "GET", body: bytes = b"", query: str = "", **headers: str
) -> tuple[int, Any]:
    """(status, body) of one request; JSON where it is JSON."""
    said: list[Any] = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)), **OWN, **headers,
    }  # fmt: skip
    answer = b"".join(app({k: v for k, v in environ.items() if v is not None}, lambda *about: said.append(about)))
    kind = dict(said[0][1])["Content-Type"]
    return int(said[0][0].split()[0]), json.loads(answer) if "json" in kind else answer.decode()


def png(size: tuple[int, int] = (40, 30), seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def hostile_files() -> list[bytes]:
    """100 files that are no good images: cut, changed, claimed too large, of other kinds, empty."""
    rng, good = np.random.default_rng(3), png()
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(good)).save(jpeg, "JPEG")
    files = [
        b"",
        b"\0" * 100,
        b"GIF89a",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run",
        b"<svg onload=alert(1)>",
        b"PK\3\4" * 50,
    ]
    bomb = bytearray(good)
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2  # the size in a PNG's header
    files.append(bytes(bomb))
    files += [good[:n] for n in rng.integers(1, len(good) - 20, 30)]
    while len(files) < 100:
        source = bytearray(good if len(files) % 2 else jpeg.getvalue())
        for place in rng.integers(0, min(len(source), 600), 12):
            source[place] = rng.integers(256)
        files.append(bytes(source))
    return files


def assert_one_line(status: int, body: Any) -> None:
    assert status in (400, 411, 413)
    assert isinstance(body, str)
    assert body.count("\n") == 1
    assert "Traceback" not in body


def test_100_hostile_uploads(app: App) -> None:
    refused = 0
    for file in hostile_files():
        status, body = ask(app, "/api/image", "POST", file)
        if status != 200:  # a changed byte of a picture may leave a picture
            assert_one_line(status, body)
            refused += 1
    assert refused >= 60
    status, added = ask(app, "/api/image", "POST", png(seed=5))
    assert status == 200
    assert ask(app, "/api/explore", query=f"image={added['id']}")[0] == 200


def test_an_upload_that_is_too_large_is_not_read(app: App) -> None:
    status, body = ask(app, "/api/image", "POST", b"", CONTENT_LENGTH=str(MAX_UPLOAD + 1))
    assert_one_line(status, body)
    assert status == 413
    for length in ("", "-5", "a", "9" * 30):
        assert_one_line(*ask(app, "/api/image", "POST", b"", CONTENT_LENGTH=length))


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_HOST": "evil.example:8000"},
        {"HTTP_HOST": "127.0.0.1.evil.example:8000"},
        {"HTTP_HOST": "127.0.0.1:9000"},
        {"HTTP_HOST": ""},
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "https://127.0.0.1:8000"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
    ],
)
def test_requests_of_other_sites_are_refused(app: App, headers: dict[str, str]) -> None:
    for path, method in (("/", "GET"), ("/api/network", "GET"), ("/api/image", "POST")):
        status, body = ask(app, path, method, **headers)
        assert status in (403, 421)
        assert body.count("\n") == 1
    assert ask(app, "/api/network")[0] == 200


def test_a_server_for_the_network_answers_to_addresses_and_to_no_foreign_name() -> None:
    everywhere = own_names("0.0.0.0", 8000)
    assert all(
        map(everywhere, ("192.168.1.7:8000", "[fe80::1]:8000", "localhost:8000", f"{socket.gethostname()}:8000"))
    )
    assert not any(
        map(everywhere, ("evil.example:8000", "192.168.1.7:9000", "192.168.1.7", "1.2.3.4.evil.example:8000"))
    )
    here = own_names("127.0.0.1", 80)
    assert here("127.0.0.1")
    assert here("localhost:80")
    assert not here("192.168.1.7")


def test_a_form_of_another_page_cannot_ask(app: App) -> None:
    assert ask(app, "/api/image", "POST", png(), HTTP_X_MINIRES="")[0] == 403
    assert ask(app, "/api/network", HTTP_X_MINIRES="")[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/etc/passwd", "//etc/passwd", "/page/app.js", "/api/../../x", "/api/image/x", "/%2e%2e/x"],
)
def test_a_path_outside_is_not_there(app: App, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        status, body = ask(app, path, method)
        assert status == 404
        assert body == "there is no such page\n"


@pytest.mark.parametrize(
    "query", ["", "image=x", "image=%ff", "image=x&off=a", "off=1.2.3", "target=-1", "a=1&" * 20, "image=" + "x" * 5000]
)
def test_a_query_that_means_nothing_is_refused_in_one_line(app: App, query: str) -> None:
    assert_one_line(*ask(app, "/api/explore", query=query))
    assert_one_line(*ask(app, "/api/paths", query=query))


def test_the_page_may_run_its_own_script_alone(app: App) -> None:
    policy = content_policy(app.page.decode())
    assert "default-src 'none'" in policy
    assert "'unsafe-eval'" not in policy
    assert "script-src 'sha256-" in policy


def test_numbers_that_are_not_finite_are_said() -> None:
    session = small_session()
    session.model.fc.weight.assign_(np.full(session.model.fc.weight.shape, np.nan, np.float32))
    app = App(session, "", own_names("127.0.0.1", 8000))
    key = next(iter(session.images))
    assert "not finite" in ask(app, "/api/explore", query=f"image={key}")[1]


def raw(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


def test_the_real_server_over_a_socket(address: tuple[str, int]) -> None:
    host = b"%s:%d" % (address[0].encode(), address[1])
    own = b"Host: " + host + b"\r\nConnection: close\r\n"
    page = raw(address, b"GET / HTTP/1.1\r\n" + own + b"\r\n")
    assert page.startswith(b"HTTP/1.1 200")
    assert b"Server:" not in page.split(b"\r\n\r\n")[0]
    foreign = raw(address, b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert foreign.startswith(b"HTTP/1.1 421")
    too_large = raw(
        address, b"POST /api/image HTTP/1.1\r\n" + own + b"X-MiniRes: 1\r\nContent-Length: 99999999\r\n\r\n"
    )
    assert too_large.startswith(b"HTTP/1.1 413")
    nonsense = raw(address, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert b"Traceback" not in nonsense
    outside = raw(address, b"GET /../../etc/passwd HTTP/1.1\r\n" + own + b"\r\n")
    assert b"404" in outside.split(b"\r\n")[0] or b"400" in outside.split(b"\r\n")[0]
    assert raw(address, b"GET / HTTP/1.1\r\n" + own + b"\r\n").startswith(b"HTTP/1.1 200")
