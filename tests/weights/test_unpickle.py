"""The pickle machine: it builds plain data, refuses every other name, and runs nothing whatever the file says."""

from __future__ import annotations

import argparse
import builtins
import collections
import datetime
import fractions
import functools
import io
import os
import pathlib
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from minires import weights
from minires.errors import WeightsError
from minires.weights.names import find_state_dict, placeholders
from minires.weights.torch_globals import GLOBALS, DtypeName, Ignored, Storage, StorageType, TensorRecord, resolve
from minires.weights.unpickle import MAX_INSTRUCTIONS, Machine
from tests.weights.crafting import call, dictionary, legacy_bytes, name, program, tensor, value, written, zip_bytes


def run(instructions):
    return Machine().run(io.BytesIO(program(instructions)))


def refused(instructions, message):
    with pytest.raises(WeightsError, match=message):
        run(instructions)


# ---- what it reads --------------------------------------------------------------------------------------------------

PLAIN = {
    "none": None,
    "flags": [True, False],
    "integers": [0, 255, 256, 65_535, 65_536, -1, 2**31, -(2**63), 2**100],
    "floats": [1.5, -0.0, 1e300],
    "text": ["", "é", "x" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "nested": {"a": {"b": [{}]}, 3: "three", None: 0, 2.5: 1},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_out_as_pickle_gives_it(protocol):
    plain = {**PLAIN, "bytes": [b"", b"x" * 300]} if protocol > 2 else PLAIN
    assert Machine().run(io.BytesIO(pickle.dumps(plain, protocol))) == plain


def test_shared_and_recursive_lists():
    shared = [1]
    loop = [shared, shared]
    loop.append(loop)
    result = Machine().run(io.BytesIO(pickle.dumps(loop, 2)))
    assert result[0] is result[1]
    assert result[2] is result


def test_instructions_of_older_pickles():
    assert run(b"(K\x01K\x02l") == [1, 2]
    assert run(b"(U\x01aK\x02d") == {"a": 2}
    assert run(b"]K\x01a") == [1]
    assert run(b"}U\x01aK\x02s") == {"a": 2}
    assert run(b"T\x02\0\0\0abU\x01c\x86") == ("ab", "c")


def test_an_ordered_dictionary_as_python_2_wrote_it():
    assert run(call("collections.OrderedDict", value([["b", 1], ["a", 2]]))) == {"b": 1, "a": 2}


def test_a_tensor_is_described_not_built():
    machine = Machine()
    record = machine.run(io.BytesIO(program(tensor(numel=6, offset=1, size=(2, 2), stride=(2, 1)))))
    storage = Storage("0", "float32", 6, 0, 6)
    assert record == TensorRecord(storage, "float32", 1, (2, 2), (2, 1))
    assert machine.storages == {"0": storage}


def test_the_stream_is_left_behind_the_pickle():
    stream = io.BytesIO(program(value(1)) + program(value(2)) + b"rest")
    assert [Machine().run(stream), Machine().run(stream)] == [1, 2]
    assert stream.read() == b"rest"


# ---- what it refuses ------------------------------------------------------------------------------------------------


def test_the_list_of_names_is_closed():
    """Nothing in the table is the object that the name means in Python: it is a record, or one of five functions.

    A name that is not in the table is a record as well.
    """
    functions = {entry for entry in GLOBALS.values() if callable(entry)}
    assert {function.__module__ for function in functions} == {"minires.weights.torch_globals"}
    assert len(functions) == 5
    records = [entry for entry in GLOBALS.values() if not callable(entry)]
    assert all(type(entry) in (StorageType, DtypeName, Ignored) for entry in records)
    assert resolve("os", "system") == Ignored("os.system")


class Attack:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def attacks(marker):
    command = f"touch {marker}"
    return [
        ("os.system", Attack(os.system, command)),
        ("builtins.eval", Attack(builtins.eval, f"open({str(marker)!r}, 'w')")),
        ("builtins.exec", Attack(builtins.exec, f"open({str(marker)!r}, 'w')")),
        ("builtins.getattr", Attack(getattr, Attack(getattr, "", "__class__"), "__mro__")),
        ("io.open", Attack(open, str(marker), "w")),
        ("builtins.__import__", Attack(__import__, "antigravity")),
        ("shutil.copyfile", Attack(shutil.copyfile, __file__, str(marker))),
        ("numpy.fromfile", Attack(np.fromfile, str(marker))),
    ]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("which", range(8))
def test_any_other_name_is_a_placeholder_that_is_never_called(tmp_path, which, protocol):
    marker = tmp_path / "it-ran"
    attack_name, attack = attacks(marker)[which]
    instructions = pickle.dumps(attack, protocol)[2:-1]
    named = {"os.system": f"{os.name}.system"}.get(attack_name, attack_name)
    with pytest.raises(WeightsError, match=f"an object of '{named}', of which nothing was run"):
        weights.load(written(tmp_path, zip_bytes(instructions)))
    for write in (zip_bytes, legacy_bytes):
        with pytest.warns(UserWarning, match=rf"nothing of it run: 'b' \({named}\)"):
            arrays = weights.load(written(tmp_path, write(dictionary({"a": tensor(), "b": instructions}))))
        assert list(arrays) == ["a"]
    with pytest.raises(WeightsError, match=r"not one that torch\.save wrote"):  # where the magic number should be
        weights.load(written(tmp_path, program(instructions)))
    with pytest.raises(WeightsError, match="instruction POP"):
        weights.load(written(tmp_path, program(b"0" + instructions) + b"rest"))
    assert not marker.exists()


@pytest.mark.parametrize(
    "dotted", ["torch.load", "torch._C.FloatStorage", "torch.hub.load", "pickle.loads", "collections.namedtuple"]
)
def test_neighbours_of_known_names_are_placeholders(dotted):
    assert run(name(dotted)) == Ignored(dotted)


@pytest.mark.parametrize(
    ("module", "attribute"),
    [("collections", "OrderedDict.fromkeys"), ("torch._utils", "_rebuild_tensor.__globals__")],
)
def test_attributes_of_known_names_are_placeholders(module, attribute):
    dotted = f"{module}.{attribute}"
    assert run(value(module) + value(attribute) + b"\x93") == run(name(dotted)) == Ignored(dotted)


def test_a_placeholder_absorbs_arguments_items_and_attributes():
    made = call("project.Config", value(1)) + b"(" + value("key") + value(2) + b"u" + value({"a": 1}) + b"b"
    assert run(made) == Ignored("project.Config")
    assert run(call("project.MyList") + b"(" + value(1) + value(2) + b"e") == Ignored("project.MyList")
    assert run(name("project.New") + value((1,)) + value({"k": 1}) + b"\x92") == Ignored("project.New")  # NEWOBJ_EX
    assert run(call("project.Outer", call("project.Inner"))) == Ignored("project.Outer")


@pytest.mark.parametrize("protocol", [2, 4])
def test_values_of_every_kind_beside_the_weights(tmp_path, protocol):
    """Each stands for a kind: built by calling a class, by NEWOBJ, as a subclass, by name, with other keys."""
    beside = {
        "path": pathlib.PurePosixPath("a/b"),
        "namespace": argparse.Namespace(lr=0.1),
        "config": types.SimpleNamespace(depth=18),
        "day": datetime.datetime(2026, 12, 1, tzinfo=datetime.timezone.utc),
        "level": signal.SIGTERM,
        "function": os.path.join,
        "partial": functools.partial(int, base=2),
        "fraction": fractions.Fraction(1, 3),
        "deque": collections.deque([1, 2]),
        "rng": np.random.default_rng(0),
        "scalar": np.float32(1.5),
        "state": np.random.RandomState(0).get_state(),
        "sets": [{1, 2}, frozenset("ab")],
        "keys": {(1, "a"): 2, signal.SIGINT: 3},
    }
    content = zip_bytes(
        dictionary({"model": dictionary({"a": tensor()}), "beside": pickle.dumps(beside, protocol)[2:-1]})
    )
    with pytest.warns(UserWarning, match="the weights were read") as caught:
        assert list(weights.load(written(tmp_path, content))) == ["a"]
    (said,) = [str(each.message) for each in caught]
    assert "'beside.path' (pathlib.PurePosixPath)" in said
    for name_ in ("config", "day", "level", "function", "partial", "fraction", "deque", "rng"):
        assert f"'beside.{name_}' (" in said
    for usual in ("namespace", "scalar", "state", "sets", "keys"):  # what ordinary scripts store needs no warning
        assert f"'beside.{usual}" not in said


def test_a_whole_pickled_network_is_refused_by_its_class(tmp_path):
    """torch.save(model): in the legacy format the class is a persistent id, with its source code."""
    built = value(()) + b"\x81" + dictionary({"training": value(True)}) + b"b"
    legacy = b"(" + value("module") + name("project.Net") + value("net.py") + value("class Net: ...") + b"tQ" + built
    for content in (zip_bytes(name("project.Net") + built), legacy_bytes(legacy, {})):
        with pytest.raises(WeightsError, match=r"it holds an object of 'project.Net', .*; save model.state_dict\(\)"):
            weights.load(written(tmp_path, content))
    with pytest.raises(
        WeightsError, match=r"its keys: 'model'\); it holds an object of 'project.Net', of which nothing"
    ):
        weights.load(written(tmp_path, zip_bytes(dictionary({"model": name("project.Net") + built}))))


def test_placeholders_are_listed_once_each_and_the_list_is_short(tmp_path):
    many = {f"k{i}": call(f"project.C{i}") for i in range(30)}
    content = zip_bytes(dictionary({"a": tensor(), **many, "again": call("project.C0"), "evil": call("x.\x1b[2J")}))
    with pytest.warns(UserWarning, match="not read") as caught:
        weights.load(written(tmp_path, content))
    said = str(caught[0].message)
    assert said.count("project.") == 12
    assert said.endswith(" and 20 more")
    assert said.isprintable()


def test_names_must_be_text():
    refused(value([1]) + value("x") + b"\x93", "asks for something named by a value of type list and 'x'")


def test_a_name_with_control_characters_is_quoted(tmp_path):
    with pytest.raises(WeightsError) as caught:
        weights.load(written(tmp_path, zip_bytes(call("evil.\x1b[2J" + "x" * 500))))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize(
    "instruction",
    [b"0", b"1", b"(i os\nsystem\n", b"(o", b"\x82\x01", b"\x81", b"Pid\n", b"I1\n", b"2", b"\x97"],
    ids=["POP", "POP_MARK", "INST", "OBJ", "EXT1", "NEWOBJ", "PERSID", "INT", "DUP", "NEXT_BUFFER"],
)
def test_instructions_that_no_checkpoint_needs(instruction):
    with pytest.raises(WeightsError, match=r"uses the instruction|calls"):
        run(value(1) + value(()) + instruction)


# Allowed names with arguments that no tensor has.
REFERENCE = value("storage") + name("torch.FloatStorage") + value("0") + value("cpu")


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (tensor(size=(-4,)), "a tensor with -4 for a size"),
        (tensor(offset=-1), "a tensor with -1 for"),
        (tensor(stride=(-1,)), "a tensor with -1 for"),
        (tensor(size=(2**62,)), r"an integer beyond 10\*\*18"),
        (tensor(size=(True,)), "a tensor with True for"),
        (tensor(size=(4.0,)), "a tensor with 4.0 for"),
        (tensor(size=4), "not a short tuple"),
        (tensor(size=(1,) * 65), "not a short tuple"),
        (tensor(size=(2, 2)), "2 sizes but 1 strides"),
        (tensor(numel=-4), "a tensor with -4 for"),
        (tensor(numel="4"), "a tensor with '4' for"),
        (tensor(key=0), "a storage of type .* under the key 0"),
        (b"(" + value(("storage", 1, "0", "cpu", 4))[:-1] + b"tQ", "truncated or damaged|a storage of type 1"),
        (tensor(view=(("v", 3, 2),)), "a view that reaches beyond storage '0'"),
        (tensor(view=(("v", 0),)), "truncated or damaged"),
        (tensor(view=(3,)), "truncated or damaged"),
        (tensor(metadata=value({"neg": True})), "lazily negated"),
        (
            call("torch._utils._rebuild_tensor_v3", *[value(0)] * 6, name("torch.uint16"), value({"neg": True})),
            "lazily",
        ),
        (tensor() + tensor(numel=5) + b"\x86", "described in two ways"),
        (tensor() + tensor(storage="torch.LongStorage") + b"\x86", "described in two ways"),
        (call("torch._utils._rebuild_tensor", value("x"), value(0), value(()), value(())), "whose storage is 'x'"),
        (call("torch._utils._rebuild_tensor"), "truncated or damaged"),
        (call("torch._utils._rebuild_parameter"), "truncated or damaged"),
        (call("torch._utils._rebuild_tensor_v3", *[value(0)] * 7), "whose dtype is 0"),
        (call("torch._utils._rebuild_tensor_v3", *[value(0)] * 6, name("torch.uint16")), "whose storage is 0"),
        (
            call(
                "torch._utils._rebuild_tensor_v3",
                *(b"(" + REFERENCE + value(4) + b"tQ", value(0), value((4,)), value((1,)), *[value(0)] * 2),
                name("torch.uint16"),
            ),
            "not untyped",
        ),
        (call("collections.OrderedDict", value([[[], 1]])), "a dictionary with a value of type list for a key"),
        (call("collections.OrderedDict", value("ab")), "an ordered dictionary made of 'ab'"),
        (call("collections.OrderedDict", value([1])), "truncated or damaged"),
        (name("collections.OrderedDict") + value([1]) + b"R", "its pickle calls"),
        (value("text") + value(()) + b"R", "its pickle calls 'text'"),
        (value("text") + value(()) + b"\x81", "its pickle calls 'text'"),
        (name("torch.FloatStorage") + value((4,)) + b"R", "its pickle calls a value of type StorageType"),
        (value("module") + b"Q", "not a storage"),
        (b"(" + value("module") + value([1, 2, 3, 4]) + b"tQ", "not a storage"),
        (value(3) + value(1) + b"a", "appends to 3"),
        (value([]) + value("k") + value(1) + b"s", "into a value of type list"),
        (b"}(" + value(1) + b"u", "puts 1 keys and values"),
        (b"}" + value([1, 2]) + value(1) + b"s", "a value of type list for a key"),
        (b"}" + value(2**61 - 1) + value(1) + b"s", r"an integer beyond 10\*\*18 for a key"),
        (b"", "its pickle is truncated"),
        (b"a", "without its operands"),
        (b"t", "without its operands"),
        (b"\x86", "without its operands"),
        (b"h\x07", "without its operands"),
        (b"X\xff\xff\xff\x7fabc", "truncated or damaged"),
        (b"\x8d" + b"\xff" * 8, "truncated or damaged"),
        (b"\x8e" + b"\xff" * 7 + b"\x7f", "truncated or damaged"),
        (b"\x8b\xff\xff\xff\x7f", "truncated or damaged"),
        (b"X\x02\0\0\0\xff\xff", "truncated or damaged"),
        (b"\xff", "truncated or damaged"),
        (b"cno newline", "truncated or damaged"),
    ],
)
def test_arguments_and_structures_that_no_tensor_has(instructions, message):
    refused(instructions, message)


# ---- bombs ----------------------------------------------------------------------------------------------------------


def test_a_dictionary_cannot_be_made_slow_by_colliding_keys():
    """100,000 keys of one hash would take minutes; the first is refused."""
    keys = b"".join(value(k * (2**61 - 1)) + b"N" for k in range(1, 1000))
    start = time.perf_counter()
    refused(b"}(" + keys + b"u", "for a key")
    assert time.perf_counter() - start < 1


@pytest.mark.slow  # 4 s: two million instructions
def test_the_number_of_instructions_is_limited():
    refused(b"]" * (MAX_INSTRUCTIONS + 1), "more than 2,000,000 instructions")


@pytest.mark.parametrize(
    "instructions",
    [
        b"]" * 400_000 + b"a" * 399_999,
        pytest.param(b")" + b"\x85" * 400_000, marks=pytest.mark.slow),  # 1 s each
        pytest.param(b"}" + (b"U\x01a}" * 150_000) + b"s" * 150_000, marks=pytest.mark.slow),
        b"(" * 400_000 + b"t" * 400_000,
    ],
    ids=["lists", "tuples", "dictionaries", "marks"],
)
def test_deep_nesting_is_built_and_torn_down_without_recursion(tmp_path, instructions):
    with pytest.raises(WeightsError, match=r"no state dictionary|not a dictionary"):
        weights.load(written(tmp_path, zip_bytes(instructions)))


def test_a_billion_laughs_stays_small():
    """Each dictionary holds the one before under every usual key: 3**60 paths through 60 dictionaries."""
    laughs = b"}q\x00" + b"".join(
        dictionary({key: b"h" + bytes([i]) for key in ("state_dict", "model", "net")}) + b"q" + bytes([i + 1])
        for i in range(60)
    )
    start = time.perf_counter()
    with pytest.raises(WeightsError, match="no state dictionary"):
        find_state_dict(run(laughs))
    with pytest.raises(WeightsError, match="no state dictionary"):
        find_state_dict(run(b"}q\x00" + value("model") + b"h\x00s"))  # one that holds itself
    assert time.perf_counter() - start < 1


def test_one_list_is_made_into_a_dictionary_once():
    """A list of n pairs handed over n times would otherwise be n**2 work from a file of n bytes."""
    pairs = value([[i, i] for i in range(20_000)])
    calls = (b"h\xfeh\xfd\x85R") * 20_000
    start = time.perf_counter()
    result = run(name("collections.OrderedDict") + b"q\xfe" + pairs + b"q\xfd" + calls)
    assert result == {}
    assert time.perf_counter() - start < 5


def test_many_placeholders_under_a_long_key_take_time_only_once():
    """Listing them must not copy the key, or search the list, for each of them."""
    nested = dictionary({"k" * 1_000_000: b"](" + b"".join(name(f"p.C{i}") for i in range(20_000)) + b"e"})
    checkpoint = run(nested)
    start = time.perf_counter()
    assert len(placeholders(checkpoint, {})) == 20_000
    assert time.perf_counter() - start < 2


def test_memo_indices_do_not_size_anything():
    assert run(value(1) + b"r" + struct.pack("<I", 2**32 - 1) + b"j" + struct.pack("<I", 2**32 - 1)) == 1


@pytest.mark.slow  # 4 s: a process that unpickles two million instructions
def test_a_hostile_file_costs_little_memory(tmp_path):
    """In a process of its own, with less than 1 GB of address space beyond what starting it takes."""
    pytest.importorskip("resource")
    path = written(tmp_path, zip_bytes(b"]" * 1_900_000 + b"."))
    check = f"""
import resource
from minires import weights
from minires.errors import WeightsError
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
try:
    weights.load({str(path)!r})
except WeightsError as error:
    assert "not a dictionary" in str(error), error
else:
    raise AssertionError
"""
    if not os.path.exists("/proc/self/statm"):
        pytest.skip("the limit of memory is set by Linux's /proc")
    subprocess.run([sys.executable, "-c", check], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()})
