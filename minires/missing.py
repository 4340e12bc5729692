"""What an AttributeError says of a name that is not here: the nearest one that is, or what to write instead.

Most names that are asked for in vain are torch's. Some of those are left out on purpose, and `ABSENT` says what does
the same here. Nothing imports this module until a name is missing.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

_NO_LINEAR_ALGEBRA = "linear algebra is left to NumPy: np.linalg on x.numpy(), or a minires.Function with its gradient"
_NO_COUNTING = "it has no gradient: NumPy's function on x.numpy(), and minires.tensor of its result"
_NO_RECURRENT = "call nn.LSTMCell, nn.GRUCell or nn.RNNCell in a loop over the steps of the sequence"
_NO_ATTENTION = "F.softmax(q @ k.transpose(-2, -1) / d**0.5, dim=-1) @ v is attention, from operations that are here"
_NO_PARALLEL = "one process computes on one device, with all threads of the CPU; minires.distributed trains on several"
_NO_MIXED = "there is no automatic mixed precision: leave it out; minires.allow_tf32() makes a GPU's products faster"
_NO_LAYOUT = "the kernels choose the layout in memory: leave it out"
_NO_LAZY = "give the sizes: the layer without Lazy"
_OLD_TENSOR = "write minires.tensor(data, dtype=...)"
_NO_SETTING = "leave the line out: there is no cuDNN to set, and the CPU kernels give the same bits every time"

# package -> {name of torch's: what to do instead}
ABSENT: dict[str, dict[str, str]] = {
    "": {
        "FloatTensor": _OLD_TENSOR,
        "DoubleTensor": _OLD_TENSOR,
        "LongTensor": _OLD_TENSOR,
        "IntTensor": _OLD_TENSOR,
        "BoolTensor": _OLD_TENSOR,
        "ByteTensor": _OLD_TENSOR,
        "HalfTensor": _OLD_TENSOR,
        "Size": "a shape is a tuple",
        "amp": _NO_MIXED,
        "autocast": _NO_MIXED,
        "backends": _NO_SETTING,
        "bernoulli": "(minires.rand_like(p) < p).to(p.dtype)",
        "bfloat16": "NumPy has no bfloat16: use float32",
        "bincount": _NO_COUNTING,
        "broadcast_to": "write x.expand(shape)",
        "bucketize": _NO_COUNTING,
        "compile": "write minires.inference.compile(model.eval(), example); training needs no compilation",
        "det": _NO_LINEAR_ALGEBRA,
        "fft": "Fourier transforms are left to NumPy: np.fft on x.numpy(), or a minires.Function with its gradient",
        "func": "minires.grad(create_graph=True) gives derivatives of any order",
        "fx": "minires.draw_graph shows the graph of a result",
        "histc": _NO_COUNTING,
        "hstack": "write cat(tensors, dim=1), and for vectors cat(tensors)",
        "hub": "minires.models has the networks, minires.weights.load reads their checkpoints",
        "inverse": _NO_LINEAR_ALGEBRA,
        "jit": "write minires.inference.compile(model.eval(), example)",
        "kron": "einsum multiplies along any axes",
        "linalg": _NO_LINEAR_ALGEBRA,
        "multinomial": "(p.log() - (-minires.rand_like(p).log()).log()).argmax(-1) draws one index each",
        "multiprocessing": _NO_PARALLEL,
        "nansum": "write nan_to_num(x).sum()",
        "quantization": "weights are floating-point numbers: use the model as it is",
        "searchsorted": _NO_COUNTING,
        "set_default_device": "give device= or write .to(device)",
        "set_default_tensor_type": "give dtype= or write model.to(minires.float64)",
        "set_float32_matmul_precision": "write minires.allow_tf32()",
        "set_printoptions": "numpy.set_printoptions on x.numpy()",
        "sparse": "arrays are dense",
        "strided": _NO_LAYOUT,
        "svd": _NO_LINEAR_ALGEBRA,
        "tensordot": "einsum multiplies along any axes",
        "unique": _NO_COUNTING,
        "use_deterministic_algorithms": _NO_SETTING,
        "vstack": "write cat(tensors), and for vectors stack(tensors)",
        "vmap": "operations take batches: let the first axis be the batch",
        "adaptive_max_pool1d": "torch's gives indices, too: write functional.adaptive_max_pool1d(…, True)",
        "batch_norm": "its arguments have another order in torch.batch_norm: write functional.batch_norm",
        "embedding": "its arguments have another order in torch.embedding: write functional.embedding",
        "instance_norm": "its arguments have another order in torch.instance_norm: write functional.instance_norm",
    },
    "nn": {
        "DataParallel": _NO_PARALLEL,
        "GRU": _NO_RECURRENT,
        "LSTM": _NO_RECURRENT,
        "LazyBatchNorm2d": _NO_LAZY,
        "LazyConv2d": _NO_LAZY,
        "LazyLinear": _NO_LAZY,
        "MultiheadAttention": _NO_ATTENTION,
        "RNN": _NO_RECURRENT,
        "Transformer": _NO_ATTENTION,
        "TransformerEncoderLayer": _NO_ATTENTION,
        "parallel": _NO_PARALLEL,
    },
    "functional": {
        "multi_head_attention_forward": _NO_ATTENTION,
        "scaled_dot_product_attention": _NO_ATTENTION,
    },
    "optim": {
        "LBFGS": "use optim.Adam, or optim.SGD with momentum",
        "SparseAdam": "gradients are dense: use optim.Adam",
    },
    "cuda": {
        "FloatTensor": _OLD_TENSOR,
        "amp": _NO_MIXED,
        "device_count": "minires info lists the GPUs; cuda.is_available() tells whether there is one",
        "get_device_name": "minires info lists the GPUs",
        "manual_seed": "minires.manual_seed(seed) seeds what is drawn for every device",
        "manual_seed_all": "minires.manual_seed(seed) seeds what is drawn for every device",
        "synchronize": "x.numpy() and x.item() wait for the GPU; minires.profile() measures kernels",
    },
}


def no_attribute(package: str, name: str, names: Iterable[str]) -> AttributeError:
    """The error for `name`, missing in minires.`package` ("" for minires itself), which has `names`."""
    module = f"minires.{package}" if package else "minires"
    text = f"module {module!r} has no attribute {name!r}"
    hint = "" if name.startswith("__") else ABSENT.get(package, {}).get(name) or _near(package, name, names)
    # With a name and an object of its own Python makes no suggestion after this one.
    return AttributeError(f"{text}: {hint}" if hint else text, name=name, obj=None)


def _near(package: str, name: str, names: Iterable[str]) -> str:
    """Where the same name is, or which other ones are like it; "" if none is."""
    for other in ("nn", "functional", "optim", "optim.lr_scheduler", "nn.init", "data", ""):
        module = sys.modules.get(f"minires.{other}" if other else "minires")
        if other != package and name in getattr(module, "__all__", ()):
            return f"there is minires.{other}.{name}" if other else f"there is minires.{name}"
    plain = {_plain(each): each for each in names if not each.startswith("_")}
    found = [plain[each] for each in difflib.get_close_matches(_plain(name), plain, 3, 0.65)]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _plain(name: str) -> str:
    """Names are compared without capitals and underscores: Conv2D is Conv2d, and leakyrelu leaky_relu."""
    return name.replace("_", "").lower()
