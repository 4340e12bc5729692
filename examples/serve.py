"""A service: POST a photograph, get its five likeliest classes as JSON.

    python examples/serve.py resnet18-f37072fd.pth --port 8000
    curl --data-binary @dog.jpg http://127.0.0.1:8000

What is no image is answered by 400 with the reason, what is too large by 413. All threads share one compiled network.
"""

import argparse
import json
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import PIL.Image

from minires.errors import DataError
from minires.inference import classifier

MAX_BYTES = 20_000_000
PIL.Image.MAX_IMAGE_PIXELS = 50_000_000  # a small file can claim an image that fills the memory
in_turn = threading.BoundedSemaphore(2)  # two images are decoded and classified at once, which bounds the memory


class Handler(BaseHTTPRequestHandler):
    """Answers a POST of an image."""

    network: classifier.Classifier
    timeout = 10  # seconds that a client may be silent

    def do_POST(self) -> None:
        status, content = self.reply()
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reply(self) -> tuple[int, dict[str, Any]]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return 411, {"error": "the request needs a Content-Length"}
        if len(length) > 9 or int(length) > MAX_BYTES:
            return 413, {"error": f"an image has at most {MAX_BYTES:,} bytes"}
        upload = self.rfile.read(int(length))
        try:
            with in_turn:
                [prediction] = self.network.predict(upload)
        except DataError as error:
            return 400, {"error": str(error)}
        return 200, {"classes": [asdict(guess) for guess in prediction.top(5)], "orientation": prediction.orientation}


def server(checkpoint: str, host: str, port: int) -> ThreadingHTTPServer:
    """A server that has loaded and compiled ResNet-18, and listens; port 0 is any free one."""
    network = classifier.load("resnet18", checkpoint)
    network.predict(PIL.Image.new("RGB", (224, 224)))  # compiles the network before the first request
    return ThreadingHTTPServer((host, port), type("Handler", (Handler,), {"network": network}))


def main(arguments: list[str] | None = None) -> None:
    """Serve until Ctrl-C; prints the address."""
    parser = argparse.ArgumentParser(description="Serve ResNet-18 over HTTP.")
    parser.add_argument("checkpoint", help="a .pth, .safetensors or .npz file with ResNet-18's weights")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args(arguments)
    with server(options.checkpoint, options.host, options.port) as listening:
        print(f"http://{options.host}:{listening.server_port}", flush=True)
        try:
            listening.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
