"""Training and measuring networks, whichever they are.

    history = training.Trainer(model, optimizer, train_loader, validation_loader, epochs=10, out="run").fit()
    training.evaluate(model, loader).top1
    training.load_checkpoint("run/best.safetensors").model

`trainer` holds the loop. `checkpoint` and `run_compatibility` make it resumable. `run` does everything that the command
`minires train` does, and `preprocessing` prepares the images of each data set.
"""

from minires.training.checkpoint import Checkpoint, checkpoint_metadata, load_checkpoint
from minires.training.evaluation import Evaluation, Measurement, evaluate
from minires.training.interrupt import TrainingInterrupted
from minires.training.metrics import EpochRecord
from minires.training.preprocessing import Preprocessing
from minires.training.settings import TrainSettings
from minires.training.trainer import Trainer

__all__ = [
    "Checkpoint",
    "EpochRecord",
    "Evaluation",
    "Measurement",
    "Preprocessing",
    "TrainSettings",
    "Trainer",
    "TrainingInterrupted",
    "checkpoint_metadata",
    "evaluate",
    "load_checkpoint",
]
