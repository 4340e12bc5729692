"""The samples of PyTorch's layers that fail here, each with its reason.

Layer, as in `module_db` -> {a regular expression, found in the failure's text: the reason}. The text begins with what
differs, and the sample's arguments follow. Each entry must still match a failure: what works is not listed.
"""

from __future__ import annotations

LISTED: dict[str, dict[str, str]] = {}
