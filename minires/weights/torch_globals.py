"""The global names that mean something in a PyTorch checkpoint, with a substitute for each.

The functions among the substitutes describe a tensor instead of building one. Every other name, whatever it is, becomes
an `Ignored`: a placeholder that is never imported and never called. So a name means what this file says, not what its
module does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minires.errors import WeightsError
from minires.weights.elements import ITEM_SIZE
from minires.weights.messages import brief, printable


@dataclass(frozen=True, slots=True)
class StorageType:
    """`torch.FloatStorage` and similar: the element type of a storage."""

    dtype: str


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of elements, stored outside the pickle.

    Attributes:
        key: its name in the file.
        dtype: the element type.
        total: the number of elements of the whole block.
        start, numel: the part that is selected; only files from before 2018 select less than the whole.
    """

    key: str
    dtype: str
    total: int
    start: int
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """A tensor as the file describes it, not yet checked: x[i, j] is storage[offset + i·stride[0] + j·stride[1]]."""

    storage: Storage
    dtype: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DtypeName:
    """`torch.float32` and similar, as a value in the checkpoint."""

    dtype: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """The substitute for a value beside the weights, and for a tensor that NumPy cannot hold: it is not built."""

    name: str


def natural(value: object) -> int:
    """`value` if it is an integer from 0 to 2**62 - 1. Raises WeightsError otherwise."""
    if type(value) is not int or not 0 <= value < 2**62:
        raise WeightsError(f"a tensor with {brief(value)} for a size, stride, offset or length")
    return value


def _naturals(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > 64:
        raise WeightsError("a tensor whose size or stride is not a short tuple of integers")
    return tuple(natural(value) for value in values)


def _rebuild_tensor(*args: Any) -> TensorRecord | Ignored:
    """torch._utils._rebuild_tensor(storage, offset, size, stride); Ignored if NumPy lacks the storage's dtype."""
    storage, offset, size, stride = args
    if isinstance(storage, Ignored):
        return storage
    if not isinstance(storage, Storage):
        raise WeightsError(f"a tensor whose storage is {brief(storage)}")
    record = TensorRecord(storage, storage.dtype, natural(offset), _naturals(size), _naturals(stride))
    if len(record.size) != len(record.stride):
        raise WeightsError(f"a tensor with {len(record.size)} sizes but {len(record.stride)} strides")
    return record


def _rebuild_tensor_v2(*args: Any) -> TensorRecord | Ignored:
    """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata])."""
    if len(args) > 6:
        _refuse_lazy(args[6])
    return _rebuild_tensor(*args[:4])


def _rebuild_tensor_v3(*args: Any) -> TensorRecord | Ignored:
    """torch._utils._rebuild_tensor_v3: as v2, with the dtype before the metadata, for a storage of untyped bytes."""
    storage, offset, size, stride, _requires_grad, _hooks, dtype, *metadata = args
    if isinstance(dtype, Ignored):  # float8, for instance
        return dtype
    if not isinstance(dtype, DtypeName):
        raise WeightsError(f"a tensor whose dtype is {brief(dtype)}")
    if metadata:
        _refuse_lazy(metadata[0])
    record = _rebuild_tensor(storage, offset, size, stride)
    if isinstance(record, Ignored):
        return record
    if storage.dtype != "uint8" or storage.numel != storage.total:
        raise WeightsError("a tensor with its own dtype over a storage that is not untyped")
    return TensorRecord(record.storage, dtype.dtype, record.offset, record.size, record.stride)


def _refuse_lazy(metadata: object) -> None:
    """Refuse a tensor marked as "negated" or "conjugated": PyTorch stores x and applies the mark when it is read."""
    if metadata:
        raise WeightsError("a lazily negated or conjugated tensor; call .resolve_neg().resolve_conj() before saving")


def _rebuild_parameter(*args: Any) -> Any:
    """torch._utils._rebuild_parameter(tensor, requires_grad, backward_hooks[, state]), and …_with_state."""
    return args[0]


def _ordered_dict(*args: Any) -> dict[Any, Any]:
    """collections.OrderedDict() or, as Python 2 wrote it, OrderedDict([[key, value], ...]).

    The list is emptied, so that a file which passes one long list many times cannot fill the memory.
    """
    pairs = args[0] if args else []
    if not isinstance(pairs, list):
        raise WeightsError(f"an ordered dictionary made of {brief(pairs)}")
    result = {checked_key(key): value for key, value in pairs}
    pairs.clear()
    return result


_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "int8", "QUInt8Storage": "uint8", "QInt32Storage": "int32",  # their tensors are Ignored
}  # fmt: skip

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "collections.OrderedDict": _ordered_dict,
}

# What ordinary training scripts store beside the weights: options, learning-rate milestones, accuracies as NumPy
# scalars, random states. Other names become placeholders too, but `weights.load` warns of these.
_IGNORED = (
    "argparse.Namespace", "collections.Counter", "collections.defaultdict", "_codecs.encode",
    "builtins.bytearray", "builtins.complex", "builtins.dict", "builtins.float", "builtins.int", "builtins.list",
    "builtins.set", "builtins.frozenset", "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray.scalar", "numpy.core.multiarray._reconstruct", "numpy.core.numeric._frombuffer",
    "numpy._core.multiarray.scalar", "numpy._core.multiarray._reconstruct", "numpy._core.numeric._frombuffer",
    "torch.Size", "torch.device",
    "builtins.tuple",  # in place of a tuple that is a key of a dictionary (`checked_key`)
)  # fmt: skip

GLOBALS: dict[str, object] = {
    **{f"torch.{name}": StorageType(dtype) for name, dtype in _STORAGES.items()},
    "torch.storage.UntypedStorage": StorageType("uint8"),
    **{f"torch.{dtype}": DtypeName(dtype) for dtype in ITEM_SIZE},
    **_FUNCTIONS,
    **{name: Ignored(name) for name in _IGNORED},
}
"""{known name: substitute}."""


def resolve(module: object, name: object) -> object:
    """The substitute for `module.name`; __builtin__ is builtins in Python 2. Nothing is imported.

    Raises WeightsError for names that are no text.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise WeightsError(f"its pickle asks for something named by {brief(module)} and {brief(name)}")
    full_name = f"{'builtins' if module == '__builtin__' else module}.{name}"
    if full_name in GLOBALS:
        return GLOBALS[full_name]
    return Ignored(printable(full_name[:200]))  # it may stand in a message


def checked_key(key: object) -> object:
    """`key` if it is a simple scalar or a placeholder; a placeholder for a tuple. Raises WeightsError otherwise.

    Hashing a deeply nested tuple would overflow C's stack, and integers chosen to collide (Python hashes modulo
    2**61 - 1) would make filling a dictionary quadratic.
    """
    if key is None or isinstance(key, str | bytes | float | Ignored) or (isinstance(key, int) and abs(key) < 2**60):
        return key
    if isinstance(key, tuple):
        return GLOBALS["builtins.tuple"]
    raise WeightsError(f"a dictionary with {brief(key)} for a key")
