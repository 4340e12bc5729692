"""Floor 5: training and measuring networks, whichever they are.

    history = training.Trainer(model, optimizer, train_loader, validation_loader, epochs=10, out="run").fit()
    training.evaluate(model, loader).top1
    training.load_checkpoint("run/best.safetensors").model

`trainer` is the loop; `checkpoint` and `identity` make it resumable; `run` is the whole of `minires train`,
and `recipe` what is done to the images of each data set.
"""

from minires.training.checkpoint import Checkpoint, checkpoint_metadata, load_checkpoint
from minires.training.evaluation import Evaluation, evaluate
from minires.training.interrupt import TrainingInterrupted
from minires.training.recipe import Recipe
from minires.training.records import EpochRecord
from minires.training.settings import TrainSettings
from minires.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "EpochRecord",
    "Evaluation",
    "Recipe",
    "TrainSettings",
    "Trainer",
    "TrainingInterrupted",
    "checkpoint_metadata",
    "evaluate",
    "load_checkpoint",
]
