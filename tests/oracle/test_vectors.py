"""Every op against numbers that PyTorch computed, committed in vectors.npz: no PyTorch is needed here."""

from __future__ import annotations

import pytest

import minires as mr
from tests.ops.cases import CASES
from tests.ops.derivatives import assert_close
from tests.oracle.make_vectors import TARGET, read_vectors

VECTORS = read_vectors()


def numbered(arrays, kind):
    return [arrays[f"{kind} {i}"] for i in range(sum(name.startswith(kind) for name in arrays))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op_equals_what_torch_computed(case):
    assert len(VECTORS.get(case.name, ())) >= 3, "no vectors: run python -m tests.oracle.make_vectors"
    for options, arrays in VECTORS[case.name]:
        gradients = {f"gradient {i}": array for i, array in enumerate(numbered(arrays, "gradient"))}
        for context in (mr.enable_grad(), mr.disable_fused_backward()):
            inputs = [mr.tensor(array, requires_grad=True) for array in numbered(arrays, "input")]
            with context:
                y = case.ours(*inputs, *map(mr.tensor, numbered(arrays, "constant")), **options)
                y.backward(arrays["cotangent"])
            actual = {f"gradient {i}": x.grad.numpy() for i, x in enumerate(inputs)}
            assert_close({"output": y.numpy(), **actual}, {"output": arrays["output"], **gradients}, 1e-10, least=1e-3)


def test_the_file_is_small_and_holds_every_case():
    """After a change of the table: python -m tests.oracle.make_vectors."""
    assert set(VECTORS) == {case.name for case in CASES}
    assert TARGET.stat().st_size < 300_000
