"""Write vectors.npz and examples.npz: values and gradients as PyTorch computes them, for users without PyTorch.

    pip install torch==2.13.0
    python -m tests.oracle.make_vectors

For each case of tests/ops/cases.py and each of a few problems, in float64: the inputs, the constants and options of the
call, the output, a random cotangent, and the gradient of each input. `tests/oracle/test_vectors.py` reads them.

For each of the package's own examples (`tests/oracle/examples.py`), in float32: the outputs, and the gradients of the
inputs. `tests/oracle/test_examples.py` reads them.
"""

from __future__ import annotations

import json
import math
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.ops.cases import CASES, Case
from tests.ops.derivatives import cotangent, theirs
from tests.ops.problems import Draw
from tests.oracle import examples

TARGET = Path(__file__).with_name("vectors.npz")
EXAMPLES = Path(__file__).with_name("examples.npz")
PROBLEMS = 3
MOST_NUMBERS = 150  # a problem is drawn again until it is small: the file stays so


def vectors_of(case: Case) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    """A description of each problem, and the arrays it names."""
    import torch

    seed, found = 1000, 0
    while found < PROBLEMS:
        problem = case.draw(Draw.from_seed(zlib.crc32(case.name.encode()), seed))
        result = theirs(torch, case, problem, 1)
        y, seed = result.pop("output"), seed + 1
        named = {f"input {i}": array for i, array in enumerate(problem.inputs)}
        named |= {f"constant {i}": array for i, array in enumerate(problem.constants)}
        named |= {f"gradient {i}": array for i, array in enumerate(result.values())}
        named |= {"output": y, "cotangent": cotangent(y.shape)}
        limit = MOST_NUMBERS << (seed - 1000) // 100  # some ops have no problem so small
        if not y.size or sum(array.size for array in named.values()) > limit:
            continue
        found += 1
        parts = [(name, array.shape, array.dtype.name) for name, array in named.items()]
        yield {"case": case.name, "options": problem.options, "arrays": parts}, list(named.values())


def main() -> None:
    """One array of all numbers, and a list of what they are: a thousand small members would be mostly zip headers."""
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
    problems = [each for case in CASES for each in vectors_of(case)]
    index = json.dumps([description for description, _ in problems])
    numbers = np.concatenate([np.ravel(array).astype(np.float64) for _, arrays in problems for array in arrays])
    np.savez_compressed(TARGET, index=np.array(index), numbers=numbers)
    print(f"{TARGET.name}: {len(problems)} problems, {TARGET.stat().st_size:,} bytes")
    write_examples()


def write_examples() -> None:
    import torch

    found = {each.name: examples.theirs(torch, each) for each in examples.every_example()}
    index = json.dumps({name: [array.shape for array in arrays] for name, arrays in found.items()})
    numbers = np.concatenate([np.ravel(array).astype(np.float32) for arrays in found.values() for array in arrays])
    np.savez_compressed(EXAMPLES, index=np.array(index), numbers=numbers)
    print(f"{EXAMPLES.name}: {len(found)} examples, {EXAMPLES.stat().st_size:,} bytes")


def read_examples() -> dict[str, list[np.ndarray]]:
    """{example: its outputs, then its gradients} from the file."""
    with np.load(EXAMPLES) as file:
        index, numbers = json.loads(str(file["index"])), file["numbers"]
    found, start = {}, 0
    for name, shapes in index.items():
        found[name] = []
        for shape in shapes:
            stop = start + math.prod(shape)
            found[name].append(numbers[start:stop].reshape(shape))
            start = stop
    return found


def read_vectors() -> dict[str, list[tuple[dict[str, Any], dict[str, np.ndarray]]]]:
    """{case: [(options, {name: array}), …]} from the file."""
    with np.load(TARGET) as file:
        index, numbers = json.loads(str(file["index"])), file["numbers"]
    problems: dict[str, list[tuple[dict[str, Any], dict[str, np.ndarray]]]] = {}
    start = 0
    for description in index:
        arrays = {}
        for name, shape, dtype in description["arrays"]:
            stop = start + math.prod(shape)
            arrays[name] = numbers[start:stop].astype(dtype).reshape(shape)
            start = stop
        problems.setdefault(description["case"], []).append((description["options"], arrays))
    return problems


if __name__ == "__main__":
    main()
