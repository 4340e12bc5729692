"""The samples of PyTorch that fail here, each with its reason.

Operation, as in `op_db` -> {a regular expression, found in the failure's text: the reason}. The text begins with what
differs, and the sample's arguments follow. Each entry must still match a failure: what works is not listed.
"""

from __future__ import annotations

LISTED: dict[str, dict[str, str]] = {
    "cfloat": {r"complex64 cannot require gradients": "complex numbers have no gradients here"},
    "cdouble": {r"complex128 cannot require gradients": "complex numbers have no gradients here"},
    "norm.nuc": {r"no p='nuc'": "the nuclear norm needs a singular value decomposition, which there is none of"},
    "nn.functional.dropout": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.dropout2d": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.dropout3d": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.alpha_dropout": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.hardsigmoid": {r"array 1 is off by 5\.\de-09": "PyTorch's 1/6 in the gradient is float32's"},
    "nn.functional.group_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
    "nn.functional.rms_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
    "nn.functional.layer_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
}
