"""`minires.autograd`: the names of torch.autograd. What a Function is here, `core/function.py` shows."""

from minires.core.autograd import backward, grad
from minires.core.function import Function
from minires.core.modes import detect_anomaly, enable_grad, inference_mode, no_grad, set_grad_enabled
from minires.gradcheck import gradcheck, hessian, jacobian, jvp, vjp

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "hessian",
    "inference_mode",
    "jacobian",
    "jvp",
    "no_grad",
    "set_grad_enabled",
    "vjp",
]
