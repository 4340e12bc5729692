"""A small network, and the explorer's real server with it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from minires import models
from minires.core.random import manual_seed
from minires.explorer import program
from minires.explorer.session import Session
from minires.inference.classifier import Classifier
from minires.training.preprocessing import PREPROCESSINGS


def built(name: str, seed: int = 0, **options: Any) -> Any:
    """A network with random weights and running statistics, in eval mode."""
    manual_seed(seed)
    model = models.build(name, num_classes=7, **options)
    rng = np.random.default_rng(seed)
    for buffer_name, buffer in model.named_buffers():
        if "var" in buffer_name:
            buffer.assign_(rng.uniform(0.5, 2, buffer.shape).astype("float32"))
    return model.eval()


def small_session() -> Session:
    """A ResNet-8 with random weights and two images."""
    preprocessing = PREPROCESSINGS["cifar10"]
    session = Session(Classifier("resnet8", built("resnet8"), tuple("abcdefg"), True, preprocessing, None, 3, None))
    for number, name in enumerate(("first", "second")):
        session.add(np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8), name)
    return session


def served(session: Session) -> tuple[str, int]:
    """Serve a session on a free port until the process ends: (host, port)."""
    said: list[str] = []
    arguments = (session, "127.0.0.1", 0, False, said.append)
    thread = threading.Thread(target=program.serve, args=arguments, daemon=True)
    thread.start()
    while not said:
        assert thread.is_alive()
        thread.join(0.02)
    return "127.0.0.1", int(said[0].split("127.0.0.1:")[1].split("/")[0])
