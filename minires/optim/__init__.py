"""Optimisers and learning-rate schedules, under the names of torch.optim where it has them.

Step, MultiStep and ReduceOnPlateau also have torch's names, since they take torch's arguments in torch's order (`gamma`
is torch's `factor`). Cosine and OneCycle differ and do not: CosineAnnealingLR takes a lowest rate where Cosine takes a
fraction of the initial one, and rises again afterwards; OneCycleLR takes the highest rate, which here is the
optimiser's. WarmUp corresponds to torch's SequentialLR of a LinearLR and another schedule.
"""

from typing import TYPE_CHECKING, NoReturn

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

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> NoReturn:
        from minires.missing import no_attribute

        raise no_attribute("optim", name, __all__)
