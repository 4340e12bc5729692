"""A generator of random numbers with torch's name. In a file of its own, since its base class imports numpy.random."""

from __future__ import annotations

import numpy as np

from minires.core.settings import integer


class Generator(np.random.Generator):
    """A generator of random numbers (torch.Generator), seeded by the operating system or by `manual_seed`.

    It is NumPy's, so it goes wherever an argument is called `generator`. Numbers are drawn on the CPU, so that a GPU
    gets the same ones: another device is refused with ValueError.
    """

    def __init__(self, device: str = "cpu") -> None:
        if device != "cpu":
            raise ValueError(f"Generator: numbers are drawn on the CPU for every device, not on {device!r}")
        super().__init__(np.random.PCG64())

    def manual_seed(self, seed: int) -> Generator:
        """Restart from `seed`, with the same numbers as after `minires.manual_seed(seed)`. Returns the generator."""
        self.bit_generator.state = np.random.PCG64(integer("manual_seed", "seed", seed, 0)).state
        return self
