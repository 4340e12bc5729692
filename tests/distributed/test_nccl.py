"""The calls of NCCL, against a stand-in: the sums are right, and streams wait where they must.

NCCL itself needs several GPUs, and has never been run by these tests.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minires.distributed.compression import CODECS
from minires.distributed.nccl import NcclCommunicator
from tests.distributed.fake_nccl import Cupy, on_gpu
from tests.distributed.threads import Exchange, on_ranks


@pytest.fixture
def on_gpus(monkeypatch):
    """on_gpus(size, function): what function(communicator, cupy) returns on each rank."""
    local = threading.local()
    monkeypatch.setattr("minires.distributed.nccl.cuda.require", lambda index: local.cupy)

    def run(size, function):
        exchange = Exchange(size)

        def rank(host):
            local.cupy = Cupy(exchange, host.rank)
            return function(NcclCommunicator(host, 0), local.cupy)

        return on_ranks(size, rank)

    return run


class OnGpu:
    """A codec whose results are arrays of the stand-in, as they would be CuPy's."""

    def __init__(self, name):
        self.codec = CODECS[name]

    def encode(self, values):
        return on_gpu(self.codec.encode(np.asarray(values)))

    def decode(self, encoded, dtype):
        return on_gpu(self.codec.decode(np.asarray(encoded), dtype))


def vectors(size, n=12):
    return np.random.default_rng(0).standard_normal((size, n)).astype(np.float32)


def added(arrays):
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    return total


@pytest.mark.parametrize("size", [2, 3, 4])
def test_sums_are_added_in_the_order_of_the_ranks(on_gpus, size):
    given = vectors(size)

    def rank(comm, cupy):
        vector = on_gpu(given[comm.rank])
        comm.start_all_reduce(vector).wait()
        return np.array(vector), np.array(comm.all_reduce(on_gpu(given[comm.rank])))

    for started, direct in on_gpus(size, rank):
        np.testing.assert_array_equal(started, added(given))
        np.testing.assert_array_equal(direct, added(given))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_compressed_sums_are_rounded_as_over_mpi(on_gpus, name):
    given, codec = vectors(2), OnGpu(name)

    def rank(comm, cupy):
        vector = on_gpu(given[comm.rank])
        comm.start_all_reduce(vector, codec).wait()
        return np.array(vector)

    total = added([codec.decode(codec.encode(each), np.float32) for each in given])
    for found in on_gpus(2, rank):
        np.testing.assert_array_equal(found, codec.decode(codec.encode(total), np.float32))


def test_gather_and_broadcast(on_gpus):
    given = vectors(3).reshape(3, 3, 4)

    def rank(comm, cupy):
        own = on_gpu(given[comm.rank])
        return np.array(comm.all_gather(own)), np.array(comm.broadcast(own, root=2)), comm.gather_objects(comm.rank)

    for gathered, sent, numbers in on_gpus(3, rank):
        np.testing.assert_array_equal(gathered, given)
        np.testing.assert_array_equal(sent, given[2])
        assert numbers == [0, 1, 2]


def test_nccl_waits_for_the_gradients_and_the_step_waits_for_nccl(on_gpus):
    def rank(comm, cupy):
        compute, own = cupy.streams
        compute.log.append("backward")
        pending = comm.start_all_reduce(on_gpu(vectors(2)[comm.rank]))
        compute.log.append("more of backward")
        assert ("wait", own, len(own.log)) not in compute.log  # not before the sum is needed
        pending.wait()
        return compute.log, own.log, compute, own

    for compute_log, own_log, compute, own in on_gpus(2, rank):
        # The first work of NCCL's stream is to wait for what the model's had been given: the gradients, and no more.
        assert own_log == [("wait", compute, 1), "recv", "recv", "allGather"]
        assert compute_log == ["backward", "more of backward", ("wait", own, len(own_log))]


def test_all_calls_are_on_the_stream_of_nccl(on_gpus):
    def rank(comm, cupy):
        comm.all_gather(on_gpu(np.ones(4, np.float32)))
        comm.broadcast(on_gpu(np.ones(4, np.float32)))
        comm.start_all_reduce(on_gpu(np.ones(4, np.float32)), OnGpu("bfloat16")).wait()
        return [entry for entry in cupy.streams[0].log if isinstance(entry, str)], len(cupy.streams)

    assert on_gpus(2, rank) == [([], 2), ([], 2)]


def test_what_cannot_be_cut_into_equal_pieces_is_refused(on_gpus):
    def rank(comm, cupy):
        comm.start_all_reduce(on_gpu(np.ones(5, np.float32)))

    with pytest.raises(ValueError, match="multiple of 2"):
        on_gpus(2, rank)
