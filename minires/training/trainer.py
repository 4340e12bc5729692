"""The training loop: one for every model, optimiser and data set.

    for each epoch:  for each batch:  loss = cross_entropy(model(images), labels)
                                      gradients ← backward;  optimizer.step();  schedule.step()
                     validate, record, save

Between two steps the run can be saved, stopped and taken up again to the same weights, bit for bit: everything that
the next step depends on is in the `Checkpoint`, and what a batch holds depends on the loader's seed, the epoch and the
position alone.
"""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

from minires.backend import is_array, to_device
from minires.core import random
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.errors import MiniResError, NonFiniteError
from minires.nn import Module, Parameter
from minires.optim import Optimizer, ReduceOnPlateau, Schedule, clip_grad_norm_
from minires.training.captured import CapturedStep
from minires.training.checkpoint import Checkpoint
from minires.training.display import Display
from minires.training.evaluation import measure
from minires.training.identity import abridged, as_read_back, differences, identify, shapes
from minires.training.interrupt import Interruption, TrainingInterrupted
from minires.training.nonfinite import explain_loss, nonfinite_state
from minires.training.placing import as_input, as_target, mean_loss
from minires.training.prefetch import on_device_of
from minires.training.records import EpochRecord, Totals, best_epoch
from minires.training.run_folder import RunFolder


class Trainer:
    """Trains `model` on classification batches. Make one for each run, call `fit` once.

    Args:
        model: images (B, C, H, W) -> logits (B, classes). It is trained where its parameters are (`model.to("cuda")`).
            A module whose own parameters are all frozen stays in eval mode: frozen batch norm keeps its statistics.
        optimizer: of the parameters to train.
        train_loader: its `epoch(e, start)` gives the batches; the loss is the mean cross-entropy.
        validation_loader: measured after each epoch, if there is one.
        epochs: how many in all, those before a resume included.
        schedule: moved on after each step, or with schedule_per="epoch" after each epoch. `ReduceOnPlateau` goes by
            epochs and watches the validation loss (its mode "max": the accuracy), without validation the training's.
        out: a folder for log.jsonl, curves.png, last.safetensors and best.safetensors; None keeps nothing.
        metadata: JSON-ready facts to store in checkpoints (model name, class names, …); must be equal on resume.
        label_smoothing: of the training loss.
        clip_norm: scale the gradients so that their common norm is at most this.
        patience: stop when the validation accuracy has not improved for so many epochs.
        progress: print a line an epoch, and show bars below where standard output is a terminal.
        graph: capture the step of a model on a GPU as a CUDA graph, and replay it for each batch of full size
            (`minires.training.captured`). The weights come out the same, bit for bit. Needs SGD; no clip_norm, no
            dropout, and nothing in forward that looks at numbers. Hooks of modules are called before the capture alone.
        checkpoint_seconds, checkpoint_steps: save in the middle of an epoch too, that often; None: not by this measure.

    Attributes:
        history: the records of the finished epochs.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        train_loader: Loader,
        validation_loader: Loader | None = None,
        *,
        epochs: int,
        schedule: Schedule | None = None,
        schedule_per: Literal["step", "epoch"] = "step",
        out: str | os.PathLike[str] | None = None,
        metadata: dict[str, Any] | None = None,
        label_smoothing: float = 0.0,
        clip_norm: float | None = None,
        patience: int | None = None,
        progress: bool = True,
        graph: bool = False,
        checkpoint_seconds: float | None = 300.0,
        checkpoint_steps: int | None = None,
    ) -> None:
        if schedule_per not in ("step", "epoch"):
            raise ValueError(f"Trainer: schedule_per {schedule_per!r} must be 'step' or 'epoch'")
        if isinstance(schedule, ReduceOnPlateau) and schedule_per != "epoch":
            raise ValueError("Trainer: ReduceOnPlateau watches what an epoch achieved: schedule_per='epoch'")
        if patience is not None and validation_loader is None:
            raise ValueError(
                "Trainer: early stopping (patience) watches the validation accuracy: give a validation_loader"
            )
        for name, value in (("epochs", epochs), ("patience", patience), ("checkpoint_steps", checkpoint_steps)):
            if value is not None and value < 1:
                raise ValueError(f"Trainer: {name} must be 1 or more, not {value}")
        self.model, self.optimizer, self.schedule, self.schedule_per = model, optimizer, schedule, schedule_per
        self.train_loader, self.validation_loader, self.epochs = train_loader, validation_loader, epochs
        self.label_smoothing, self.clip_norm, self.patience = label_smoothing, clip_norm, patience
        self.progress, self.metadata = progress, as_read_back(metadata or {})
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self.folder = None if out is None else RunFolder(Path(out))
        self._captured = CapturedStep(model, optimizer, train_loader, label_smoothing, clip_norm) if graph else None
        settings = {"schedule_per": schedule_per, "label_smoothing": label_smoothing, "clip_norm": clip_norm}
        self.identity = identify(model, optimizer, schedule, train_loader, settings)
        self.epoch, self.step, self.totals = 0, 0, Totals()
        self.history: list[EpochRecord] = []
        self._whole = True  # False while a step is under way, when parts of the state are of before and others of after
        self._saved_at = time.monotonic()
        self._has_saved_steps = False  # whether the checkpoint holds more than the start

    def fit(self, resume: bool = False) -> list[EpochRecord]:
        """Train to the end and return the records of all epochs.

        `resume` goes on from out/last.safetensors, in the middle of an epoch if need be, to the weights that the run
        would have come to undisturbed.

        Raises:
            MiniResError: `out` holds a run and resume is False; resume, and it holds none, or one of another model,
                optimiser, schedule, data set, batch size or seed (the message lists what differs); the disk is full.
            NonFiniteError: the loss, or a weight, became NaN or infinite. The last checkpoint is of before.
            TrainingInterrupted: Ctrl-C; the run is saved at its last whole step (a KeyboardInterrupt).

        A new run that fails before it has saved a step leaves nothing behind: it can be started again as it was.
        """
        try:
            self._begin(resume)
            self._run(resume)
        except Exception:
            if self.folder is not None and not self._has_saved_steps:
                self.folder.abandon()
            raise
        return self.history

    def _run(self, resume: bool) -> None:
        """All epochs that are still to be done, with what is to be seen of them."""
        with Display(self.progress, self.epochs, len(self.train_loader)) as self._display:
            if resume:
                self._display.resumed(self.history, self.epoch, self.step, over=self._is_over())
            try:
                with Interruption(self._announce_stop) as self._interruption:
                    while not self._is_over():
                        self._interruption.check()
                        self._train_epoch()
                        self._finish_epoch()
            except KeyboardInterrupt:
                raise TrainingInterrupted(self._stopped()) from None
            if self.epoch < self.epochs:
                idle = self._epochs_without_improvement()
                self._display.note(f"stopped: no improvement for {idle} epoch{'s' if idle > 1 else ''}")

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        """The steps of this epoch that are still to be done."""
        _training_mode(self.model)
        started = time.perf_counter()
        for images, labels in on_device_of(self.model, self.train_loader.epoch(self.epoch, start=self.step)):
            self._whole = False
            loss, correct = self._train_step(images, labels)
            self.totals.add(loss, correct, len(labels))
            self.totals.seconds += time.perf_counter() - started
            self.step += 1
            self._whole = True
            self._display.training(self.epoch, self.step, self.totals)
            self._interruption.check()
            if self._checkpoint_is_due():
                self._save()
            started = time.perf_counter()

    def _train_step(self, images: Any, labels: Any) -> tuple[float, int]:
        """Change the weights by one batch; returns its mean loss, and how many images were right beforehand."""
        self.totals.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        if self._captured is None:
            loss, correct = self._usual_step(images, labels)
        else:
            loss, correct = self._captured(images, labels, self._usual_step)
            if self._captured.capture_error:
                self._display.note(f"no CUDA graph: {self._captured.capture_error}")
                self._captured = None
        if not math.isfinite(loss):
            self._stop_for_loss(loss, "captured as a CUDA graph, a step does not tell in which layer; without, it does")
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        return loss, correct

    def _usual_step(self, images: Any, labels: Any) -> tuple[float, int]:
        """Loss, gradients and the optimiser's step of one batch."""
        random_state = random.get_state()
        self.optimizer.zero_grad()
        x, target = as_input(images, self.model), as_target(labels, self.model)
        logits = self.model(x)
        loss = mean_loss(logits, labels, target, self.label_smoothing)
        right = (logits.data.argmax(axis=1) == target.data).sum()
        value, correct = float(loss.item()), int(right)  # both now: for what comes after, a GPU need not be waited for
        if not math.isfinite(value):
            self._stop_for_loss(value, explain_loss(self.model, x, random_state))
        loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self._trained(), self.clip_norm)
        self.optimizer.step()
        return value, correct

    def _stop_for_loss(self, loss: float, why: str) -> NoReturn:
        """The loss of the step under way is not finite."""
        raise NonFiniteError(f"{self._place(self.step + 1)}: the loss is {loss}; {why}. {self._advice()}")

    def _trained(self) -> list[Tensor]:
        """The parameters that the optimiser changes, in its order."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _finish_epoch(self) -> None:
        """Validate, record, move the schedule, save."""
        self._check_weights()
        record = self._record()
        self._whole = False
        self.history.append(record)
        if isinstance(self.schedule, ReduceOnPlateau):
            self.schedule.step(self._watched(record, self.schedule))
        elif self.schedule is not None and self.schedule_per == "epoch":
            self.schedule.step()
        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals()
        self._whole = True
        self._display.epoch(record)
        if self.folder is not None:
            self._save(best=best_epoch(self.history) is record)
            self.folder.write_journal(self.history, over=self._is_over())

    def _record(self) -> EpochRecord:
        """What this epoch achieved; runs the validation set."""
        started = time.perf_counter()
        validation = None
        if self.validation_loader is not None:
            validation = measure(self.model, self.validation_loader, self._after_validation_batch)
        totals = self.totals
        return EpochRecord(
            epoch=self.epoch + 1,
            train_loss=totals.mean_loss,
            train_accuracy=totals.accuracy,
            validation_loss=None if validation is None else validation.loss,
            validation_accuracy=None if validation is None else validation.top1,
            learning_rate=totals.learning_rate,
            images_per_second=totals.images_per_second,
            seconds=totals.seconds + time.perf_counter() - started,
        )

    def _after_validation_batch(self, number: int) -> None:
        assert self.validation_loader is not None
        self._display.validating(number, len(self.validation_loader))
        self._interruption.check()

    @staticmethod
    def _watched(record: EpochRecord, schedule: ReduceOnPlateau) -> float:
        """The number that the schedule wants to see improve."""
        loss, accuracy = record.validation_loss, record.validation_accuracy
        if loss is None or accuracy is None:
            loss, accuracy = record.train_loss, record.train_accuracy
        return loss if schedule.mode == "min" else accuracy

    def _is_over(self) -> bool:
        """Whether all epochs are done, or the patience is at an end."""
        impatient = self.patience is not None and self._epochs_without_improvement() >= self.patience
        return impatient or self.epoch >= self.epochs

    def _epochs_without_improvement(self) -> int:
        """How many epochs ago the validation accuracy was at its highest."""
        best = best_epoch(self.history)
        return 0 if best is None else self.epoch - best.epoch

    # -- saving and resuming ------------------------------------------------------------------------------------------

    def _begin(self, resume: bool) -> None:
        """Take up the run in the folder, or make sure that there is none and start one."""
        if self.folder is None:
            if resume:
                raise MiniResError("resume needs the folder of the run to go on with: Trainer(..., out=FOLDER)")
        elif resume:
            self._restore(self.folder.load())
            self.folder.write_journal(self.history, over=self._is_over())
        else:
            self.folder.claim()
            self._save()

    def _checkpoint_is_due(self) -> bool:
        if self.folder is None:
            return False
        seconds, steps = self.checkpoint_seconds, self.checkpoint_steps
        return (steps is not None and self.step % steps == 0) or (
            seconds is not None and time.monotonic() - self._saved_at >= seconds
        )

    def _save(self, best: bool = False) -> None:
        """Write the checkpoint, unless a weight is no longer finite: then the last one is the last good one."""
        if self.folder is not None:
            self._check_weights()
            self._has_saved_steps = self._has_saved_steps or (self.epoch, self.step) != (0, 0)
            self.folder.save(self._checkpoint(), best)
            self._saved_at = time.monotonic()

    def _check_weights(self) -> None:
        """Raise NonFiniteError if an update broke a weight: the loss, which is of before it, does not show that."""
        broken = nonfinite_state(self.model)
        if broken is not None:
            raise NonFiniteError(f"{self._place(self.step)}: the update left {broken} non-finite. {self._advice()}")

    def _checkpoint(self) -> Checkpoint:
        """The state of the run; it shares memory with the model."""
        return Checkpoint(
            model={name: tensor.numpy() for name, tensor in self.model.state_dict().items()},
            optimizer=self.optimizer.state_dict(),
            schedule=None if self.schedule is None else self.schedule.state_dict(),
            epoch=self.epoch,
            step=self.step,
            totals=self.totals,
            random=random.get_state(),
            history=self.history,
            identity=self.identity,
            metadata=self.metadata,
        )

    def _restore(self, saved: Checkpoint) -> None:
        """Bring everything to where `saved` was taken. Raises MiniResError, changing nothing, for another run's."""
        found = [
            *differences(saved.identity, self.identity),
            *differences(saved.metadata, self.metadata),
            *differences(shapes(saved.model), shapes(self.model.state_dict()), "model"),
        ]
        if found:
            raise MiniResError(
                f"the run cannot be resumed, for it was started otherwise ({abridged(found)}): bring that back, or "
                "start a new run in another folder"
            )
        self.model.load_state_dict(saved.model)
        states = [
            {key: to_device(value, parameter.device) if is_array(value) else value for key, value in state.items()}
            for parameter, state in zip(self._trained(), saved.optimizer["state"], strict=True)
        ]
        self.optimizer.load_state_dict({**saved.optimizer, "state": states})
        if self.schedule is not None and saved.schedule is not None:
            self.schedule.load_state_dict(saved.schedule)
        random.set_state(saved.random)
        self.epoch, self.step, self.totals, self.history = saved.epoch, saved.step, saved.totals, saved.history
        self._has_saved_steps = True

    # -- what it says -------------------------------------------------------------------------------------------------

    def _place(self, step: int) -> str:
        return f"epoch {self.epoch + 1} of {self.epochs}, step {step} of {len(self.train_loader)}"

    def _advice(self) -> str:
        kept = f" The last good checkpoint is {self.folder.last}." if self.folder and self._has_saved_steps else ""
        return f"Training has stopped.{kept} A smaller learning rate, a warm-up or clip_norm usually helps."

    def _announce_stop(self) -> None:
        self._display.note("Stopping after this step. (Ctrl-C again stops at once, without saving.)")

    def _stopped(self) -> str:
        """Save where the run stands, if it stands between two steps, and say how to go on."""
        where = f"stopped at {self._place(self.step)}"
        if self.folder is None:
            return f"{where}; nothing was saved, for there is no folder to save to (out=FOLDER)"
        if self._whole:
            self._save()
            self.folder.write_journal(self.history, over=True)
        saved = f"saved in {self.folder.last}" if self._whole else f"the last checkpoint is {self.folder.last}"
        return f"{where}; {saved}. To go on: the same command with --resume, or fit(resume=True)"


def _training_mode(model: Module) -> None:
    """`model.train()`, except for modules whose own parameters are all frozen: their running statistics stay too."""
    model.train()
    for module in model.modules():
        own = [value for value in vars(module).values() if isinstance(value, Parameter)]
        if own and not any(parameter.requires_grad for parameter in own):
            module.training = False
