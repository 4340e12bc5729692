"""Optimisers and learning-rate schedules, under the names of torch.optim where it has them.

`lr_scheduler` has the schedules of torch under its names, with its arguments, and `swa_utils` averages of weights. Of
MiniRes's own schedules, Step and MultiStep are torch's StepLR and MultiStepLR; ReduceOnPlateau calls `gamma` what
torch's ReduceLROnPlateau calls `factor`. Cosine and OneCycle differ: CosineAnnealingLR takes a lowest rate where Cosine
takes a fraction of the initial one, and rises again afterwards; OneCycleLR takes the highest rate, which for OneCycle
is the optimiser's. WarmUp corresponds to torch's SequentialLR of a LinearLR and another schedule.
"""

from typing import TYPE_CHECKING, NoReturn

from minires.optim import lr_scheduler, swa_utils
from minires.optim.adam import Adam, AdamW, NAdam, RAdam
from minires.optim.adaptive import Adadelta, Adagrad, Adamax, RMSprop, Rprop
from minires.optim.clipping import clip_grad_norm_, clip_grad_value_
from minires.optim.lookahead import Lookahead
from minires.optim.lr_scheduler import MultiStepLR, ReduceLROnPlateau, StepLR
from minires.optim.multi import MultiOptimizer
from minires.optim.muon import Muon
from minires.optim.optimizer import Optimizer
from minires.optim.parameter_groups import decay_groups
from minires.optim.schedule import Schedule
from minires.optim.schedules import Constant, Cosine, MultiStep, OneCycle, ReduceOnPlateau, Step, WarmUp
from minires.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Constant",
    "Cosine",
    "Lookahead",
    "MultiOptimizer",
    "MultiStep",
    "MultiStepLR",
    "Muon",
    "NAdam",
    "OneCycle",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "ReduceLROnPlateau",
    "ReduceOnPlateau",
    "Rprop",
    "Schedule",
    "Step",
    "StepLR",
    "WarmUp",
    "clip_grad_norm_",
    "clip_grad_value_",
    "decay_groups",
    "lr_scheduler",
    "swa_utils",
]

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> NoReturn:
        from minires.missing import no_attribute

        raise no_attribute("optim", name, __all__)
