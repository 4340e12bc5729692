"""The service of the examples, and the program that loads it: right answers to good and to hostile requests."""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest

import minires as mr
from benchmarks import serve as load_program
from benchmarks.serve import (
    Load,
    bad_files,
    complaint_about,
    complaint_about_log,
    good_files,
    made_up_images,
    raw_requests,
)
from examples import serve
from minires import models, weights
from minires.errors import DataError
from minires.inference import classifier


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network, so that the test is about the service."""
    path = tmp_path_factory.mktemp("weights") / "resnet8.npz"
    mr.manual_seed(0)
    weights.save(path, models.build("resnet8").state_dict())
    return classifier.load("resnet8", path)


@pytest.fixture
def port(network):
    handler = type("Handler", (serve.Handler,), {"network": network, "log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))  # seconds between looks for shutdown
        thread.start()
        yield listening.server_port
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def images():
    return made_up_images()[3:4]  # a small one


def test_eight_clients_get_right_answers(network, port, images):
    good, bad = list(good_files(images)), list(bad_files(images))
    expected = [[(guess.name, guess.probability) for guess in network.predict(each)[0].top(5)] for each in good]
    load = Load(port, good, expected, bad)

    def client(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(10):
            load.send_one(rng, may_linger=False)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load.wrong == []
    assert load.answers["good", 200] >= 20
    assert load.answers["bad file", 400] >= 5


def test_each_kind_of_request_has_its_answer(port, images):
    load = Load(port, [], [], [])
    for kind, wire, allowed in raw_requests(images[0]):
        assert load.send_raw(wire, linger=False) in allowed, kind
    for whole in bad_files(images):
        status, content = load.post(whole)
        assert (status, list(content)) == (400, ["error"])
        assert content["error"].startswith("an image of ")


def test_a_wrong_answer_is_noticed(network, port, images):
    (expected,) = ([(guess.name, guess.probability) for guess in each.top(5)] for each in network.predict(images[0]))
    load = Load(port, images, [expected], [b""])
    status, content = load.post(images[0])
    assert status == 200
    load.compare(content, expected)
    assert load.wrong == []
    content["classes"][0]["probability"] *= 1.01
    load.compare(content, expected)
    assert len(load.wrong) == 1


class Slow:
    """A network that answers, or refuses, when the client has gone."""

    def __init__(self) -> None:
        self.asked, self.gone = threading.Event(), threading.Event()

    def predict(self, content: bytes) -> None:
        self.asked.set()
        assert self.gone.wait(10)
        raise DataError("not an image") from OSError("cannot identify it")


@pytest.mark.skipif(sys.platform == "win32", reason="SO_LINGER has another layout")
def test_a_client_that_goes_before_its_answer_leaves_no_traceback(capsys):
    """In the log of several threads, tracebacks interleave; this one had three exceptions, the last for the client."""
    network = Slow()
    handler = type("Handler", (serve.Handler,), {"network": network})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        listening.daemon_threads = False  # so that the end of this block waits for them
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        with socket.create_connection(("127.0.0.1", listening.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")
            assert network.asked.wait(10)
        network.gone.set()
        listening.shutdown()
        thread.join()
    said = capsys.readouterr().err
    assert '"POST / HTTP/1.1" 400' in said
    assert complaint_about_log(said) == ""


def test_every_traceback_is_noticed():
    assert complaint_about_log('127.0.0.1 - - [date] "POST / HTTP/1.1" 200 -\n') == ""
    first = "Traceback (most recent call last):\n"
    said = complaint_about_log(f"-----\n{first}----\n{first}OSError: a\nBrokenPipeError\n")
    assert said.startswith("the service wrote 2 tracebacks: Traceback (most recent call last)")
    assert said.endswith("BrokenPipeError\n")


def test_memory_that_grows_is_noticed():
    minutes = np.arange(300.0)
    assert complaint_about([(second, 400 + 50 * np.sin(second)) for second in minutes]) == ""
    assert complaint_about([(second, 1000.0 if second < 60 else 400) for second in minutes]) == ""
    assert complaint_about([(second, 400 + second) for second in minutes]) == "the memory grew from 520 to 640 MiB"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the service in /proc")
@pytest.mark.slow(reason="a service of ResNet-18 and its clients for fifteen seconds")
def test_the_program(capsys):
    assert load_program.main(["--minutes", "0.2", "--clients", "4"]) == 0
    said = capsys.readouterr().out
    assert "; 0 wrong" in said
    assert "resident memory, MiB" in said
