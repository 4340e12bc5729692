"""Floor 3: optimisers and learning-rate schedules, under torch.optim's names where it has them."""

from minires.optim.adam import Adam, AdamW
from minires.optim.optimizer import Optimizer, clip_grad_norm_, decay_groups
from minires.optim.schedules import Constant, Cosine, MultiStep, OneCycle, ReduceOnPlateau, Schedule, Step, WarmUp
from minires.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "MultiStep",
    "OneCycle",
    "Optimizer",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "WarmUp",
    "clip_grad_norm_",
    "decay_groups",
]
