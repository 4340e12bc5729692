"""The samples of PyTorch that fail here, each with its reason.

Operation, as in `op_db` -> {a regular expression, found in the failure's text: the reason}. The text begins with what
differs, and the sample's arguments follow. Each entry must still match a failure: what works is not listed.
"""

from __future__ import annotations

LISTED: dict[str, dict[str, str]] = {
    "randn": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.dropout": {r"is off by": "random numbers: each library has its own generator"},
    "nn.functional.group_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
    "nn.functional.rms_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
    "nn.functional.layer_norm": {r"eps = -0\.5 must not be negative": "a negative ε is a mistake: it is refused"},
}
