"""Fuzz test of the kernels: `python -m tests.backend.cpu.fuzz --seconds 60 --seed 1`.

Every turn runs a case (cases.py) with its own seed and compares the kernel with float64. A failure prints the seed, and
`--seed` with `--turns 1` repeats it. `make sanitize` runs it under AddressSanitizer, which checks memory accesses.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from minires.backend.cpu import isa
from tests.backend.cpu.cases import CASES, Dice, kernels_of


def turn(seed: int) -> str:
    """One case; its name. Raises AssertionError where a kernel is wrong."""
    choices = Dice(seed)
    name = choices.of(list(CASES))
    threads = choices.integer(1, 4)
    with kernels_of(isa.load()[1], threads):
        CASES[name](choices).check()
    return name


def fuzz(seconds: float, seed: int, turns: int | None = None, keep_going: bool = False) -> Counter[str]:
    """Run turns for so many seconds, or so many turns; {kernel or "wrong": number of calls or failures}."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end if turns is None else done.total() < turns:
        try:
            done[turn(seed)] += 1
        except BaseException as problem:
            print(f"fuzz: seed {seed} fails: python -m tests.backend.cpu.fuzz --turns 1 --seed {seed}", file=sys.stderr)
            if not (keep_going and isinstance(problem, AssertionError)):
                raise
            print(f"fuzz: {problem}", file=sys.stderr)
            done["wrong"] += 1
        seed += 1
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--turns", type=int, help="so many instead of seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the first turn")
    parser.add_argument("--keep-going", action="store_true", help="after a wrong number too; the exit status tells")
    wanted = parser.parse_args()
    name, library = isa.load()
    if library is None:
        sys.exit("fuzz: the C kernels are not built here")
    done = fuzz(wanted.seconds, wanted.seed, wanted.turns, wanted.keep_going)
    print(f"fuzz: {done.total()} turns of {len(done)} kinds, seeds from {wanted.seed}, {name}, {library.LANES} lanes")
    sys.exit(done["wrong"] > 0)


if __name__ == "__main__":
    main()
