"""Starts the explorer: loads the network, opens the port, and opens the browser."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

from minires.errors import MiniResError
from minires.explorer import bundle, loading
from minires.explorer.server import MAX_UPLOAD, App, own_names
from minires.explorer.session import Session
from minires.explorer.sources import sources
from minires.extras import require

THREADS = 4  # that read requests; the network is computed by one at a time


def open_session(model: str | None, weights: str | None, images: list[Path], say: Callable[[str], None]) -> Session:
    """A Session of the network that was named, with the user's images and some of its data set.

    Raises MiniResError where the weights or an image cannot be read.
    """
    if model is None and weights is None and not images and not loading.has_images(loading.CIFAR10):
        weights = loading.DIGITS  # they come along, so that there is something to see
    session = Session(loading.load(model, weights, say))
    for path in images:
        session.add(path, path.name)
    for image, name in loading.samples(session.classifier):
        session.add(image, name)
    return session


def serve(session: Session, host: str, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C. Port 0 takes any that is free. Raises MiniResError if the port cannot be opened."""
    require("waitress", "the explorer's server")
    from waitress import create_server

    listener = _listen(host, port)
    port = listener.getsockname()[1]
    page = bundle.page({"sources": sources(), "network": "served"})
    server = create_server(
        App(session, page, own_names(host, port)),
        sockets=[listener],
        threads=THREADS,
        max_request_body_size=MAX_UPLOAD + 1,
        ident=None,
        clear_untrusted_proxy_headers=True,
    )
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    say(f"The explorer: {address}  (Ctrl-C ends it)")
    if browser:
        webbrowser.open(address)
    try:
        server.run()
    finally:
        server.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise MiniResError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return listener
