"""The samples of PyTorch's layers that fail here, each with its reason.

Layer, as in `module_db` -> {a regular expression, found in the failure's text: the reason}. The text begins with what
differs, and the sample's arguments follow. Each entry must still match a failure: what works is not listed.
"""

from __future__ import annotations

_NO_ROOT = "a window whose sum is negative has no root: where PyTorch's gradient is NaN, ours is NaN or 0"

LISTED: dict[str, dict[str, str]] = {
    "LPPool1d": {r"differs where PyTorch's is not finite\s+LPPool1d\(1\.5": _NO_ROOT},
    "LPPool2d": {r"differs where PyTorch's is not finite\s+LPPool2d\(1\.5": _NO_ROOT},
}

# What PyTorch refuses and is taken here: the text is the layer with its arguments.
LISTED_ERRORS = {
    r"^BatchNorm[123]d\(10, eps=0\.0\)": "eps = 0 is the plain formula; it fails only where a variance is zero",
}

# Arguments that differ from torch's: the text begins with the class or its forward.
LISTED_ARGUMENTS = {
    r"^(Log)?Softm(ax|in): \(dim\)": "dim must be named; torch guesses it, with a warning that this is deprecated",
    r"^SyncBatchNorm: ": "comm, a communicator of minires.distributed, stands where torch has its process_group",
    r"^Hardtanh: ": "min_value and max_value are old names of min_val and max_val, deprecated in torch",
}
