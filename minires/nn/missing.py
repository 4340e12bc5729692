"""The error for an attribute that a Module has not: it names the nearest one there is, or what to write instead."""

from __future__ import annotations

from typing import Any

# Names of torch.nn.Module that are not here, and what to write.
INSTEAD = {
    "share_memory": "processes here do not share tensors: send each its weights, model.state_dict()",
    "compile": "write minires.inference.compile(model.eval(), example)",
    "register_backward_hook": "write register_full_backward_hook",
    "_register_state_dict_hook": "write register_state_dict_post_hook",
    "bfloat16": "NumPy has no such dtype: write half() or float()",
    "to_empty": "there is no device without numbers: write to(device)",
    "get_extra_state": "keep numbers in a buffer, and what is no number in the checkpoint beside the weights",
    "_parameters": "write named_parameters(recurse=False)",
    "_buffers": "write named_buffers(recurse=False)",
    "_modules": "write named_children()",
    "_forward_hooks": "a hook is taken back by the handle that register_forward_hook returns",
}


class MissingAttribute(AttributeError):
    """Raised for an attribute that a Module has not. The text is made when it is read: `hasattr` must be fast."""

    def __init__(self, module: Any, name: str) -> None:
        super().__init__(f"{type(module).__name__!r} object has no attribute {name!r}")
        self.module = module
        self.missing = name

    def __str__(self) -> str:
        text: str = self.args[0]
        if self.missing in INSTEAD:
            return f"{text}: {INSTEAD[self.missing]}"
        import difflib  # seldom needed, and slow to import

        names = [name for name in dir(self.module) if not name.startswith("_")]
        nearest = difflib.get_close_matches(self.missing, names, 1)
        return f"{text}; the nearest is {nearest[0]!r}" if nearest else text

    def __reduce__(self) -> tuple[Any, ...]:
        return AttributeError, (str(self),)  # the module may not be one that can be pickled
