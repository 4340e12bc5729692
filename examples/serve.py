"""A service: POST a photograph, get its five likeliest classes as JSON.

    python examples/serve.py resnet18-f37072fd.pth 8000
    curl --data-binary @dog.jpg http://127.0.0.1:8000

What is no image is answered by 400 with the reason, what is too large by 413. All threads share one compiled network.
"""

import json
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

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
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return self.reply(411, error="the request needs a Content-Length")
        if len(length) > 9 or int(length) > MAX_BYTES:
            return self.reply(413, error=f"an image has at most {MAX_BYTES:,} bytes")
        upload = self.rfile.read(int(length))
        try:
            with in_turn:
                [prediction] = self.network.predict(upload)
        except DataError as error:
            return self.reply(400, error=str(error))
        return self.reply(200, classes=[vars(guess) for guess in prediction.top(5)], orientation=prediction.orientation)

    def reply(self, status: int, **content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(checkpoint: str, port: str = "8000", host: str = "127.0.0.1") -> None:
    """Serve ResNet-18 with these weights until Ctrl-C; port 0 is any free one."""
    Handler.network = classifier.load("resnet18", checkpoint)
    Handler.network.predict(PIL.Image.new("RGB", (224, 224)))  # compiles the network before the first request
    with ThreadingHTTPServer((host, int(port)), Handler) as listening, suppress(KeyboardInterrupt):
        print(f"http://{host}:{listening.server_port}", flush=True)
        listening.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:]) if sys.argv[1:] else sys.exit(__doc__)
