"""A service under load: good and hostile requests to examples/serve.py, from eight clients, for minutes.

    python benchmarks/serve.py --minutes 20
    python benchmarks/serve.py --minutes 2 --checkpoint resnet18.pth --images photographs/

The service is a process of its own. Each client sends, in random order, photographs (as they are, as PNG, in grey of 8
and 16 bits, turned by EXIF) and requests that nobody should send: cut, altered and invented files, images that claim a
gigantic size, bodies that are too long, too short or missing, connections that break off or fall silent. Each answer
is compared with what it must be: the classes that the network gives in this process, or 400, 411, 413, 501.

The program ends with 1, and says why, if an answer was wrong, if the service died or wrote a traceback, or if its
resident memory was not flat after the first minute. Without arguments it makes the weights and the images itself. Linux
only (it reads /proc).
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

import minires as mr
from minires import models, weights
from minires.inference import classifier

ROOT = Path(__file__).resolve().parent.parent
GROWTH = 1.1  # between the first and the second half of the time after the first minute


# -- requests ---------------------------------------------------------------------------------------------------------


def encoded(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    """The image as the bytes of a file of this kind."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def good_files(images: list[bytes]) -> Iterator[bytes]:
    """The images as they are, and each in some other form."""
    yield from images
    forms: list[Callable[[PIL.Image.Image], bytes]] = [
        lambda image: encoded(image, "PNG"),
        lambda image: encoded(image.convert("L"), "JPEG"),
        lambda image: encoded(image.convert("CMYK"), "JPEG"),
        lambda image: encoded(image.quantize(64), "GIF"),
        lambda image: encoded(image.convert("RGBA"), "WEBP"),
        lambda image: encoded(PIL.Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
        lambda image: encoded(image, "JPEG", exif=_turned(6)),
    ]
    for number, whole in enumerate(images):
        yield forms[number % len(forms)](PIL.Image.open(io.BytesIO(whole)).convert("RGB"))


def _turned(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def bad_files(images: list[bytes]) -> Iterator[bytes]:
    """Files that are no whole images, or too large ones."""
    yield from (b"", b"\0", b"hello", b"<html><body>404</body></html>", b"%!PS-Adobe-3.0\n", b"\xff\xd8\xff", b"GIF89a")
    yield json.dumps({"image": "https://example.com/dog.jpg"}).encode()
    yield from (png_that_claims(*size) for size in ((30_000, 30_000), (60_000_000, 1), (2**31 - 1, 2**31 - 1), (0, 0)))
    yield encoded(PIL.Image.new("1", (1, 2_000_000)), "PNG")  # a line, to be enlarged until it is 256 pixels wide
    yield encoded(PIL.Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF")
    for whole in images:
        yield whole[: len(whole) // 2]
        yield whole[len(whole) // 2 :]


def altered(whole: bytes, rng: random.Random) -> bytes:
    """The file with some bytes changed: it may be an image still, and another one."""
    changed = bytearray(whole)
    for _ in range(rng.randint(1, 20)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def raw_requests(whole: bytes) -> Iterator[tuple[str, bytes, set[int]]]:
    """(kind, bytes on the wire, statuses of which the answer has one; 0 is no answer)."""
    post = b"POST / HTTP/1.1\r\nHost: x\r\n"
    yield "no length", post + b"\r\n", {411}
    yield "negative length", post + b"Content-Length: -5\r\n\r\n", {411}
    yield "length is text", post + b"Content-Length: \xc2\xb2\r\n\r\n", {411}
    yield "chunked", post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", {411, 0}
    yield "too long", post + b"Content-Length: 10000000\r\n\r\n" + whole, {413, 0}  # the rest is not read
    yield "far too long", post + b"Content-Length: " + b"9" * 300 + b"\r\n\r\n", {413}
    yield "breaks off", post + b"Content-Length: %d\r\n\r\n" % len(whole) + whole[:1000], {400, 0}
    yield "GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", {501}
    yield "another path", b"DELETE /../../etc/passwd HTTP/1.1\r\n\r\n", {501}
    yield "no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), {400, 0}
    yield "long header", post + b"X: " + b"x" * 70_000 + b"\r\n\r\n", {431, 0}
    yield "nothing", b"", {0}


# -- clients ----------------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """What all clients share: the requests, the expected answers, and what has come."""

    port: int
    good: list[bytes]
    expected: list[list[tuple[str, float]]]  # for each good file, (name, probability) of its five classes
    bad: list[bytes]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)  # (kind of request, status)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, status: int, complaint: str = "") -> None:
        """Count an answer; `complaint` says what is wrong with it."""
        with self.lock:
            self.answers[kind, status] += 1
            if complaint:
                self.wrong.append(f"{kind}: {status} {complaint}")

    def send_one(self, rng: random.Random, may_linger: bool = True) -> None:
        """One request, chosen at random: half of them good, and few of them by a client that falls silent."""
        draw = rng.random()
        if draw < 0.5:
            number = rng.randrange(len(self.good))
            status, content = self.post(self.good[number])
            self.note("good", status, "" if status == 200 else str(content))
            if status == 200:
                self.compare(content, self.expected[number])
        elif draw < 0.75:
            status, content = self.post(rng.choice(self.bad))
            said = status == 400 and bool(content.get("error"))
            self.note("bad file", status, "" if said else str(content))
        elif draw < 0.85:
            status, content = self.post(altered(rng.choice(self.good), rng))
            self.note("altered", status, "" if status in (200, 400) else str(content))
        else:
            kind, wire, allowed = rng.choice(list(raw_requests(self.good[0])))
            status = self.send_raw(wire, linger=may_linger and rng.random() < 0.02)
            self.note(kind, status, "" if status in allowed else f"not among {allowed}")

    def compare(self, content: dict[str, Any], expected: list[tuple[str, float]]) -> None:
        """Note the answer to a good file if it is not the expected one."""
        found = [(each["name"], each["probability"]) for each in content["classes"]]
        # Classes that are equally probable but for rounding may change places.
        if not np.allclose([p for _, p in found], [p for _, p in expected], rtol=1e-3, atol=1e-6) or (
            expected[0][1] - expected[1][1] > 1e-4 and found[0][0] != expected[0][0]
        ):
            with self.lock:
                self.wrong.append(f"good: {found}, expected {expected}")

    def post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of a request with this body; status −1 and the reason if there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/", body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return -1, {"error": repr(error)}
        finally:
            connection.close()

    def send_raw(self, wire: bytes, linger: bool) -> int:
        """The status of the answer to these bytes; 0 if the connection was closed without one."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                connection.sendall(wire)
                if linger:  # a client that has fallen silent: the service must give up on it
                    time.sleep(15)
                connection.shutdown(socket.SHUT_WR)
                found = re.match(rb"HTTP/1\.\d (\d+)", connection.recv(100))
                return int(found[1]) if found else 0
        except OSError:  # the service has closed the connection while this side still sent
            return 0


def client(load: Load, seed: int, until: float) -> None:
    """Send requests until a time."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        load.send_one(rng)


# -- the service ------------------------------------------------------------------------------------------------------


def resident(process: int) -> float:
    """The resident memory of a process in MiB; 0 if it is gone."""
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def watch(process: int, until: float) -> list[tuple[float, float]]:
    """(seconds since now, resident MiB), each second until a time."""
    began, found = time.monotonic(), []
    while time.monotonic() < until:
        found.append((time.monotonic() - began, resident(process)))
        time.sleep(1)
    return found


def complaint_about(memory: list[tuple[float, float]]) -> str:
    """What is wrong with the course of the memory; empty if it is flat after the first minute."""
    later = [size for seconds, size in memory if seconds >= 60]
    if len(later) < 20:
        return ""
    first, second = (float(np.median(half)) for half in (later[: len(later) // 2], later[len(later) // 2 :]))
    return f"the memory grew from {first:.0f} to {second:.0f} MiB" if second > GROWTH * first else ""


def complaint_about_log(log: str) -> str:
    """What is wrong with what the service wrote: every traceback is; empty if there is none.

    Tracebacks of several threads may interleave, so they are shown from the first on, and not told apart.
    """
    _, first, after = log.partition("Traceback (most recent call last)")
    return f"the service wrote {1 + after.count(first)} tracebacks: {first}{after[:5000]}" if first else ""


def run(options: argparse.Namespace, folder: Path) -> int:
    """Serve, load, compare, print; returns the exit status."""
    checkpoint = options.checkpoint or made_up_weights(folder)
    images = (
        [path.read_bytes() for path in sorted(options.images.glob("*.jpg"))] if options.images else made_up_images()
    )
    good, bad = list(good_files(images)), list(bad_files(images))
    network = classifier.load("resnet18", checkpoint)
    expected = [[(guess.name, guess.probability) for guess in network.predict(each)[0].top(5)] for each in good]

    command = [sys.executable, str(ROOT / "examples" / "serve.py"), str(checkpoint), "0"]
    with open(folder / "log", "wb") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as service:
        assert service.stdout is not None
        port = int(service.stdout.readline().rsplit(b":", 1)[1])
        load, until = Load(port, good, expected, bad), time.monotonic() + 60 * options.minutes
        clients = [threading.Thread(target=client, args=(load, seed, until)) for seed in range(options.clients)]
        for each in clients:
            each.start()
        memory = watch(service.pid, until)
        for each in clients:
            each.join()
        died = service.poll() is not None
        alive = not died and load.post(good[0])[0] == 200
        end = resident(service.pid)
        service.terminate()
    report(load, memory, end)
    complaints = [*load.wrong[:10], *["the service died"] * (not alive), complaint_about(memory)]
    complaints.append(complaint_about_log((folder / "log").read_text("utf-8", "replace")))
    for complaint in filter(None, complaints):
        print(f"WRONG: {complaint}")
    return int(any(complaints))


def report(load: Load, memory: list[tuple[float, float]], end: float) -> None:
    """Print what was sent, what came, and the course of the memory."""
    for (kind, status), count in sorted(load.answers.items()):
        print(f"{kind:<16} {status or 'no answer':>9} {count:>8,}")
    total, seconds = sum(load.answers.values()), memory[-1][0]
    print(f"{total:,} requests in {seconds / 60:.1f} minutes, {total / seconds:.1f} a second; {len(load.wrong)} wrong")
    at = [(minute, [size for when, size in memory if minute <= when / 60 < minute + 1]) for minute in range(10**4)]
    course = ", ".join(f"{np.median(sizes):.0f} (to {max(sizes):.0f})" for _, sizes in at if sizes)
    print(f"resident memory, MiB, median and highest of each minute: {course}; at the end {end:.0f}")


def made_up_weights(folder: Path) -> Path:
    """ResNet-18 with random weights."""
    mr.manual_seed(0)
    weights.save(folder / "resnet18.safetensors", models.resnet18().state_dict())
    return folder / "resnet18.safetensors"


def made_up_images() -> list[bytes]:
    """Photographs of noise, of several sizes."""
    rng = np.random.default_rng(0)
    sizes = [(333, 500), (500, 375), (224, 224), (60, 90), (1200, 1600), (3000, 4000)]
    small = [PIL.Image.fromarray(rng.integers(0, 256, (h // 8 + 1, w // 8 + 1, 3), dtype=np.uint8)) for h, w in sizes]
    return [encoded(image.resize((w, h)), "JPEG") for image, (h, w) in zip(small, sizes, strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """Serve, load, compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--checkpoint", type=Path, help="weights of ResNet-18; random ones by default")
    parser.add_argument("--images", type=Path, help="a folder of .jpg files; noise by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
