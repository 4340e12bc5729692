"""Gradients are the mean over the ranks, in every form in which backward passes come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import Tensor, distributed, errors, manual_seed, nn, optim
from minires import functional as F
from minires.distributed.compression import CODECS
from tests.distributed.threads import on_ranks


class Net(nn.Module):
    """Layers of several sizes, one of them unused, one used twice."""

    def __init__(self) -> None:
        self.first, self.twice, self.last = nn.Linear(5, 7), nn.Linear(7, 7), nn.Linear(7, 2)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.last(self.twice(F.relu(self.twice(x))) + x)


def made(comm, **options):
    manual_seed(1)
    model = Net().to("float64")
    inner = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, distributed.DistributedOptimizer(inner, comm, **options)


def loss_of(model, rank, seed=0):
    x = np.random.default_rng([seed, rank]).standard_normal((4, 5))
    return (model(Tensor(x)) ** 2).mean()


def gradients(model):
    return {name: None if p.grad is None else p.grad.numpy().copy() for name, p in model.named_parameters()}


def averaged(size, seeds=(0,)):
    """The mean of the ranks' gradients, summed over backward passes with these seeds, computed in one process."""
    manual_seed(1)
    model = Net().to("float64")
    total = sum(loss_of(model, rank, seed) for rank in range(size) for seed in seeds) / size
    total.backward()
    return gradients(model)


def check(found, expected, rtol=1e-12):
    for name, value in expected.items():
        if value is None:
            assert found[name] is None, name
        else:
            np.testing.assert_allclose(found[name], value, rtol=rtol, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("bucket_bytes", [1, 200, 1 << 20])
def test_gradients_are_the_mean_and_unused_ones_are_none(size, bucket_bytes):
    def rank(comm):
        model, optimizer = made(comm, bucket_bytes=bucket_bytes)
        found = []
        for seed in range(3):  # the second pass cuts the buckets in the order of the first
            optimizer.zero_grad()
            loss_of(model, comm.rank, seed).backward()
            found.append(gradients(model))
        return found

    for found in on_ranks(size, rank):
        for seed in range(3):
            check(found[seed], averaged(size, (seed,)))


def test_the_bits_do_not_depend_on_the_size_of_a_bucket():
    def rank(comm):
        found = []
        for bucket_bytes in (1, 100, 300, 1 << 20):
            model, optimizer = made(comm, bucket_bytes=bucket_bytes)
            for seed in range(2):
                optimizer.zero_grad()
                loss_of(model, comm.rank, seed).backward()
            found.append(b"".join(each.tobytes() for each in gradients(model).values() if each is not None))
        return found

    assert len({bits for found in on_ranks(3, rank) for bits in found}) == 1


def test_a_parameter_that_only_one_rank_uses_has_a_gradient_on_all():
    def rank(comm):
        model, optimizer = made(comm)
        loss = loss_of(model, comm.rank)
        if comm.rank == 1:
            loss = loss + model.unused(Tensor(np.ones((1, 3)))).sum()
        loss.backward()
        optimizer.step()
        return model.unused.bias.grad.numpy()

    for found in on_ranks(2, rank):
        np.testing.assert_array_equal(found, np.full(3, 0.5))


def test_no_sync_adds_up_on_each_rank_before_the_mean():
    def rank(comm):
        model, optimizer = made(comm)
        with optimizer.no_sync():
            loss_of(model, comm.rank, 0).backward()
        assert not comm.calls
        loss_of(model, comm.rank, 1).backward()
        return gradients(model)

    for found in on_ranks(2, rank):
        check(found, averaged(2, (0, 1)))


def test_two_passes_without_zero_grad_add_their_means():
    def rank(comm):
        model, _optimizer = made(comm)
        loss_of(model, comm.rank, 0).backward()
        loss_of(model, comm.rank, 1).backward()
        return gradients(model)

    for found in on_ranks(3, rank):
        check(found, averaged(3, (0, 1)))


def test_gradients_are_sent_before_the_pass_is_over():
    def rank(comm):
        model, optimizer = made(comm, bucket_bytes=1)
        order = []
        model.first.weight.register_hook(lambda gradient: order.append(len(comm.calls)))
        loss_of(model, comm.rank).backward()
        optimizer.zero_grad()
        comm.calls.clear()
        loss_of(model, comm.rank).backward()
        return order[-1]

    assert min(on_ranks(2, rank)) >= 3  # the buckets of the last two layers


def test_weights_make_uneven_shares_right():
    x = np.random.default_rng(0).standard_normal((5, 5))
    ends = [0, 1, 5]

    def rank(comm):
        model, optimizer = made(comm)
        part = x[ends[comm.rank] : ends[comm.rank + 1]]
        ((model(Tensor(part)) ** 2).mean() * optimizer.weight(len(part))).backward()
        return gradients(model)

    manual_seed(1)
    model = Net().to("float64")
    (model(Tensor(x)) ** 2).mean().backward()
    for found in on_ranks(2, rank):
        check(found, gradients(model))


def test_a_new_group_is_averaged_too():
    def rank(comm):
        model, optimizer = made(comm)
        extra = nn.Parameter(np.ones(2))
        optimizer.add_param_group({"params": [extra], "lr": 0.5})
        (loss_of(model, comm.rank) + (extra * float(comm.rank)).sum()).backward()
        return extra.grad.numpy()

    for found in on_ranks(2, rank):
        np.testing.assert_array_equal(found, [0.5, 0.5])


@pytest.mark.parametrize(("compression", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_compressed_gradients_are_rounded_and_no_more(compression, bits):
    def rank(comm):
        model, _optimizer = made(comm, compression=compression)
        loss_of(model, comm.rank).backward()
        return gradients(model)

    expected = averaged(2)
    for found in on_ranks(2, rank):
        for name, value in expected.items():
            if value is not None:
                largest = np.abs(value).max()
                assert np.abs(found[name] - value).max() <= 4 * largest * 2.0**-bits, name


def test_float16_refuses_what_it_cannot_hold():
    with pytest.raises(errors.NonFiniteError, match="bfloat16"):
        CODECS["float16"].encode(np.array([1e5], np.float32))
    assert np.isinf(CODECS["float16"].encode(np.array([np.inf], np.float32))).all()


@given(st.lists(st.floats(width=32), max_size=30))
def test_bfloat16_rounds_to_the_nearest(values):
    codec, given_values = CODECS["bfloat16"], np.array(values, np.float32)
    found = codec.decode(codec.encode(given_values), np.float32)
    assert (np.isnan(found) == np.isnan(given_values)).all()
    is_finite = np.isfinite(given_values) & np.isfinite(found)
    one, other = given_values[is_finite].astype(np.float64), found[is_finite].astype(np.float64)
    assert (np.abs(other - one) <= np.maximum(np.abs(one) * 2.0**-8, 1e-40)).all()


def test_bfloat16_has_the_bits_of_torch(torch):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 20000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[~np.isnan(values)]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(CODECS["bfloat16"].encode(values), expected)


def test_what_is_no_optimizer_or_communicator_is_refused():
    model = Net()
    inner = optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="needs an optimiser of one process"):
        distributed.DistributedOptimizer(distributed.DistributedOptimizer(inner, distributed.SingleProcess()))
    with pytest.raises(TypeError, match="init"):
        distributed.DistributedOptimizer(inner, "world")
    with pytest.raises(ValueError, match="compression"):
        distributed.DistributedOptimizer(inner, distributed.SingleProcess(), compression="int8")


def test_state_and_groups_are_those_of_the_wrapped_optimizer():
    model = Net()
    inner = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer = distributed.DistributedOptimizer(inner, distributed.SingleProcess())
    (model(Tensor(np.ones((1, 5), np.float32)))).sum().backward()
    optimizer.step()
    assert optimizer.param_groups is inner.param_groups
    assert optimizer.state is inner.state
    again = distributed.DistributedOptimizer(optim.SGD(model.parameters(), 1.0, 0.9), distributed.SingleProcess())
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == 0.1
