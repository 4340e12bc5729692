"""What `run` of a study is given: trainings that survive a kill, the results of earlier tasks, and progress."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minires import data, training, weights
from minires.core.random import manual_seed
from minires.data.loader import Batch
from minires.errors import MiniResError, NonFiniteError
from minires.nn import Module
from minires.studies.recipe import Recipe
from minires.studies.store import Store
from minires.training.evaluation import Evaluation

Report = Callable[[float], None]  # how much of a task is done, from 0 to 1


class _CountedLoader(data.Loader):
    """A loader that reports each batch."""

    report: Callable[[int, int], None]

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for number, batch in enumerate(super().epoch(epoch, start), start=start):
            yield batch
            self.report(epoch, number + 1)


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Attributes:
        model: The network with what it has learnt, in eval mode.
        values: Numbers for the results: "train_loss" and "train_accuracy" on the training images in eval mode (as
            "test_accuracy" is), the list of each epoch's numbers, "parameters"; "diverged" says at which step the loss
            became infinite or NaN, and is None otherwise.
    """

    model: Module
    values: dict[str, Any]


class Work:
    """The surroundings of one task.

    Args:
        store: The folder of the study.
        task: The task's name.
        report: Is told how much of the task is done.
        data_dir: The folder of published data sets; None for the usual one.
    """

    def __init__(
        self, store: Store, task: str, report: Report = lambda share: None, data_dir: Path | None = None
    ) -> None:
        self.store, self.task, self.report, self.data_dir = store, task, report, data_dir

    def result(self, task: str) -> dict[str, Any]:
        """The values of an earlier task."""
        found = self.store.result(task)
        if found is None:
            raise MiniResError(f"the task {self.task} needs {task}, which has not ended")
        return found["values"]

    def load(self, model: Module, task: str) -> Module:
        """Load what the training `task` has learnt into `model`, and put it into eval mode."""
        model.load_state_dict(weights.load(self.store.weights(task)))
        return model.eval()

    def train(
        self, build: Callable[[], Module], recipe: Recipe, seed: int, checkpoint_steps: int | None = None
    ) -> Trained:
        """Train `build()` by a recipe, or go on with the training that a kill has interrupted.

        `build` is called after `manual_seed(seed)`, so a seed gives the same network and the same order of images.
        Afterwards the weights are stored for later tasks. A loss that becomes infinite is a result too.
        """
        manual_seed(seed)
        model = build()
        loader, test = self._loaders(recipe, seed)
        optimizer = recipe.make_optimizer(model)
        folder = self.store.run_folder(self.task)
        resume = (folder / "last.safetensors").is_file()
        if not resume:  # whatever a kill has left there before the first checkpoint
            shutil.rmtree(folder, ignore_errors=True)
        trainer = training.Trainer(
            model,
            optimizer,
            loader,
            test,
            epochs=recipe.epochs,
            schedule=recipe.make_schedule(optimizer, len(loader)),
            label_smoothing=recipe.label_smoothing,
            out=folder,
            progress=False,
            checkpoint_seconds=recipe.checkpoint_seconds,
            checkpoint_steps=checkpoint_steps,
        )
        if trainer.folder is not None:
            trainer.folder.draws_curves = False  # drawing takes longer than a small training
        diverged = None
        try:
            trainer.fit(resume=resume)
        except NonFiniteError as error:
            diverged = str(error).split(":")[0]
        weights.save(self.store.weights(self.task), model.state_dict())
        model.eval()
        values: dict[str, Any] = {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "diverged": diverged,
            "epochs": [
                {
                    key: getattr(record, key)
                    for key in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
                }
                for record in trainer.history
            ],
        }
        return Trained(model, values | self.errors(model, recipe))

    def errors(self, model: Module, recipe: Recipe) -> dict[str, float]:
        """Loss and error in percent of a network on the training images, without augmentation, and on the test ones."""
        found: dict[str, float] = {}
        for part in ("train", "test"):
            images = recipe.images(part == "train", self.data_dir)
            evaluated = training.evaluate(model, images.loader(recipe.evaluation_batch))
            assert isinstance(evaluated, Evaluation)
            found[f"{part}_loss"], found[f"{part}_error"] = evaluated.loss, 100 - evaluated.top1
        return found

    def _loaders(self, recipe: Recipe, seed: int) -> tuple[data.Loader, data.Loader]:
        images = recipe.images(train=True, root=self.data_dir)
        loader = _CountedLoader(
            images.dataset,
            recipe.batch_size,
            transform=recipe.augmented() if recipe.augment else images.transform,
            shuffle=True,
            drop_last=True,
            seed=seed,
            workers=recipe.workers,
        )
        steps = recipe.epochs * len(loader)
        loader.report = lambda epoch, batch: self.report(0.98 * (epoch * len(loader) + batch) / steps)
        return loader, recipe.images(train=False, root=self.data_dir).loader(recipe.evaluation_batch)
