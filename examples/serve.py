"""A service: POST a photograph, get its five likeliest classes as JSON.

    python examples/serve.py resnet18-f37072fd.pth 8000
    curl --data-binary @dog.jpg http://127.0.0.1:8000

What is no image is answered by 400 with the reason, what is too large by 413. All threads share one compiled network,
which takes as many images at once as there are cores; so the memory is bounded, however many clients there are.
"""

import json
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import PIL.Image

from minires.errors import DataError
from minires.inference import classifier

PIL.Image.MAX_IMAGE_PIXELS = 50_000_000  # a small file can claim an image that fills the memory


class Handler(BaseHTTPRequestHandler):
    """Answers a POST of an image. `network` is set below, before the first request."""

    timeout = 10  # seconds that a client may be silent

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that has gone needs no answer, and the log no traceback
            super().handle()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or len(length) > 7:
            return self.reply(413 if length.isdecimal() else 411, error="a Content-Length below 10,000,000 is needed")
        try:
            [prediction] = self.network.predict(self.rfile.read(int(length)))
        except DataError as error:
            return self.reply(400, error=str(error))
        return self.reply(200, classes=[vars(guess) for guess in prediction.top(5)], orientation=prediction.orientation)

    def reply(self, status: int, **content: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


if __name__ == "__main__":
    Handler.network = classifier.load("resnet18", sys.argv[1] if len(sys.argv) == 3 else sys.exit(__doc__))
    Handler.network.predict(PIL.Image.new("RGB", (224, 224)))  # compiles the network before the first request
    with suppress(KeyboardInterrupt), ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
