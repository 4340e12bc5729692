"""Floor 3: optimisers and learning-rate schedules, under torch.optim's names where it has them.

Step, MultiStep and ReduceOnPlateau have torch's names too, since their arguments come in torch's order (what torch
calls `factor` is `gamma`). Cosine and OneCycle have not: CosineAnnealingLR takes a lowest rate where Cosine takes a
part of the starting one, and rises again afterwards; OneCycleLR takes the highest rate, which is the optimiser's here.
WarmUp is torch's SequentialLR of a LinearLR and another.
"""

from minires.optim.adam import Adam, AdamW
from minires.optim.optimizer import Optimizer, clip_grad_norm_, decay_groups
from minires.optim.schedules import Constant, Cosine, MultiStep, OneCycle, ReduceOnPlateau, Schedule, Step, WarmUp
from minires.optim.sgd import SGD

MultiStepLR = MultiStep
ReduceLROnPlateau = ReduceOnPlateau
StepLR = Step

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "MultiStep",
    "MultiStepLR",
    "OneCycle",
    "Optimizer",
    "ReduceLROnPlateau",
    "ReduceOnPlateau",
    "Schedule",
    "Step",
    "StepLR",
    "WarmUp",
    "clip_grad_norm_",
    "decay_groups",
]
