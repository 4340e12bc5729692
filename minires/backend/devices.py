"""The name of a device as torch's programs use it: a string that has a type and an index."""

from __future__ import annotations

import re
from functools import cache

from minires.errors import DeviceError


class device(str):  # a class with a name in small letters, as in torch: it is called like a function
    """ "cpu", "cuda" or "cuda:N", as a string with the attributes of torch.device: `type` and `index`.

    device("cuda", 1) and device(1) are "cuda:1". A tensor's own device has an index, so `x.device == "cuda"` is False
    and `x.device.type == "cuda"` True, as in torch. Raises DeviceError for other names.
    """

    __slots__ = ()

    def __new__(cls, type: str | int, index: int | None = None) -> device:
        name = f"cuda:{type}" if isinstance(type, int) else str(type)
        if index is not None:
            name = f"{name}:{index}" if name != "cpu" or index else "cpu"
        if not is_device(name):
            hint = "; on Apple's GPUs there are no kernels" if name.startswith("mps") else ""
            raise DeviceError(f"unknown device {name!r}: use 'cpu', 'cuda' or 'cuda:N'{hint}")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """ "cpu" or "cuda"."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]  # torch's name; nobody looks for letters in a device
        """The number of the GPU, None where none is named."""
        number = self.partition(":")[2]
        return int(number) if number else None


def is_device(name: object) -> bool:
    """Whether `name` is the name of a device: "cpu", "cuda" or "cuda:N"."""
    return isinstance(name, str) and re.fullmatch(r"cpu|cuda(:[0-9]+)?", name) is not None


CPU = device("cpu")


@cache
def gpu(index: int) -> device:
    """The device "cuda:`index`"."""
    return device("cuda", index)
