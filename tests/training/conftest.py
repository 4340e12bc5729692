"""The GPU of the CUDA provider's tests, or the simulator in its place."""

from tests.backend.cuda.conftest import device

__all__ = ["device"]
