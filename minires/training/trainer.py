"""The training loop, one for every model, optimiser and data set.

    for each epoch:  for each batch:  loss = cross_entropy(model(inputs), targets), or any other
                                      gradients ← backward;  optimizer.step();  schedule.step()
                     validate, record, save

Between any two steps, the run can be saved, stopped and resumed to the same weights, bit for bit. The `Checkpoint`
holds everything that the next step depends on, and the contents of a batch depend only on the loader's seed, the epoch
and the position.
"""

from __future__ import annotations

import math
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any, Literal, NoReturn

from minires.core import random
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.data import Loader
from minires.distributed.optimizer import DistributedOptimizer
from minires.errors import DeviceError, MiniResError, NonFiniteError
from minires.nn import Module
from minires.optim import Optimizer, ReduceOnPlateau, Schedule, clip_grad_norm_
from minires.training.averaging import WeightAverage
from minires.training.batches import call, sample_count
from minires.training.checkpoint import Checkpoint
from minires.training.cuda_graph import CapturedStep, StepResult
from minires.training.device_io import as_input, as_target
from minires.training.evaluation import Evaluation, measure
from minires.training.finetune import training_mode
from minires.training.interrupt import InterruptHandler, TrainingInterrupted
from minires.training.metrics import EpochRecord, Totals, best_epoch
from minires.training.nonfinite import locate_nonfinite, nonfinite_state
from minires.training.objective import Loss, Metrics, Objective
from minires.training.prefetch import on_device_of
from minires.training.progress import ProgressDisplay
from minires.training.ranks import Ranks, Step, loss_of_nothing, weighted
from minires.training.run_compatibility import check_same_run, compatibility_of, through_json
from minires.training.run_folder import RunFolder
from minires.training.trainer_checks import (
    check_combination,
    check_parts,
    check_settings,
    warn_of_epochs_as_steps,
)


class Trainer:
    """Trains `model`, as a classifier or with a `loss` of your own. Make one for each run, and call `fit` once.

    Args:
        model: images (B, C, H, W) -> logits (B, classes); with a `loss`, whatever goes in and out. It is trained on the
            device of its parameters (`model.to("cuda")`). A module whose own parameters are all frozen stays in eval
            mode: frozen batch norm keeps its statistics.
        optimizer: updates the parameters to train. A `distributed.DistributedOptimizer` trains in several processes:
            each takes its share of the batches of `train_loader`, which has those of all together, and rank 0 saves.
        train_loader: its `epoch(e, start)` gives the batches, pairs (inputs, targets). Of inputs that are a tuple
            `model(*inputs)` is called, of a dict `model(**inputs)`. Floats get the dtype of the model.
        validation_loader: measured after each epoch; None for no validation.
        loss: (outputs, targets) -> a Tensor with one element, the mean over the batch, for example `F.mse_loss`. None
            for the cross-entropy of logits (B, classes) and integer labels (B,), with the accuracy.
        metrics: {"name": function of (outputs, targets) that returns a number}, averaged over the samples of each
            epoch. Each number that is read from a GPU waits for it.
        epochs: the total number, including those before a resume.
        schedule: advances after each step, or with schedule_per="epoch" after each epoch. `ReduceOnPlateau` needs
            "epoch" and watches the validation loss (with mode "max" the accuracy, which a `loss` of your own lacks);
            without validation, the training's.
        schedule_per: "step" or "epoch".
        out: the folder for log.jsonl, curves.png, last.safetensors and best.safetensors; None saves nothing.
        metadata: facts to store in checkpoints (model name, class names, …), as JSON can hold them; must be equal on
            resume.
        label_smoothing: the label smoothing of the usual training loss.
        clip_norm: scale the gradients so that their common norm is at most this; None for no clipping.
        patience: stop after this many epochs without a better validation accuracy (with a `loss` of your own: without a
            lower validation loss); None for never.
        progress: print a line per epoch, with progress bars below if standard output is a terminal.
        graph: capture the step of a model on a GPU as a CUDA graph, and replay it for each full batch
            (`minires.training.cuda_graph`). The weights are the same, bit for bit. It needs SGD without clip_norm and a
            forward pass without dropout that reads no numbers from the GPU, inputs that are one array, the usual loss,
            and no metrics. Module hooks run only before the capture.
        ema: the decay of an exponential moving average of the weights (`averaging`), for example 0.999. What is
            validated, and what a checkpoint has under the model's names, is then the average. `model` itself is left as
            the optimiser left it, and `averaged_model` is the average.
        checkpoint_seconds, checkpoint_steps: also save within an epoch, at these intervals; None for no such interval.

    Attributes:
        history: the records of the finished epochs.
        averaged_model: the network with the averaged weights; None without `ema`.

    Raises ValueError or TypeError for settings that contradict each other or are of the wrong kind, and DeviceError if
    `graph` is not possible.
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
        loss: Loss | None = None,
        metrics: Metrics | None = None,
        ema: float | None = None,
    ) -> None:
        check_settings(epochs, schedule, schedule_per, clip_norm, patience, checkpoint_seconds, checkpoint_steps)
        check_combination(schedule, graph, loss, metrics, patience, validation_loader, ema)
        distributed = optimizer if isinstance(optimizer, DistributedOptimizer) else None
        single = optimizer if distributed is None else distributed.optimizer
        check_parts(model, single, schedule, train_loader, validation_loader)
        self._ranks = Ranks(model, None if distributed is None else distributed.comm)
        if graph and not self._ranks.alone:
            raise DeviceError("Trainer: a CUDA graph holds no exchange with other processes: leave out graph=True")
        if schedule_per == "step":
            warn_of_epochs_as_steps(schedule, epochs, len(train_loader))
        graph, progress = flag("Trainer", "graph", graph), flag("Trainer", "progress", progress)
        self.model, self.optimizer, self.schedule, self.schedule_per = model, optimizer, schedule, schedule_per
        self.train_loader, self.validation_loader, self.epochs = train_loader, validation_loader, epochs
        self.objective = Objective(loss, metrics, label_smoothing)
        self.clip_norm, self.patience = clip_norm, patience
        self.progress, self.metadata = progress and self._ranks.is_first, through_json(metadata or {})
        self.checkpoint_seconds, self.checkpoint_steps = checkpoint_seconds, checkpoint_steps
        self._last = None if out is None else RunFolder(Path(out)).last
        self.folder = RunFolder(Path(out)) if out is not None and self._ranks.is_first else None
        self._captured = CapturedStep(model, optimizer, train_loader, label_smoothing, clip_norm) if graph else None
        settings = {"schedule_per": schedule_per, "label_smoothing": label_smoothing, "clip_norm": clip_norm}
        settings |= self.objective.facts() | ({} if ema is None else {"ema": ema})
        self.compatibility = compatibility_of(model, single, schedule, train_loader, settings)
        self._average = None if ema is None else WeightAverage(model, ema)
        self.epoch, self.step, self.totals = 0, 0, Totals()
        self.history: list[EpochRecord] = []
        self._batch: Step | None = None  # what the last batch measured; None of a captured step
        self._is_agreed = False  # whether all ranks stop after the same step
        self._trained_seconds = 0.0  # of the epoch
        self._waited = 0.0  # seconds in which this rank has waited for others in this epoch
        self._is_consistent = True  # False within a step, when only a part of the state has been updated
        self._saved_at = time.monotonic()
        self._has_saved_steps = False  # whether the checkpoint holds more than the initial state

    @property
    def averaged_model(self) -> Module | None:
        """The network with the averaged weights; None without `ema`."""
        return None if self._average is None else self._average.model

    def fit(self, resume: bool = False) -> list[EpochRecord]:
        """Train to the end and return the records of all epochs.

        With `resume`, training continues from out/last.safetensors, also in the middle of an epoch, to the same weights
        as an uninterrupted run. A new run that fails before its first saved step leaves no files behind.

        Raises:
            MiniResError: without resume, `out` already holds a run. With resume, it holds none, or one of another
                model, optimiser, schedule, data set, batch size or seed (the message lists the differences). Or the
                disk is full.
            NonFiniteError: the loss or a weight became NaN or infinite. The last checkpoint was saved before that.
            TrainingInterrupted: Ctrl-C or SIGTERM (a KeyboardInterrupt). The run is saved after its last complete step.
        """
        if self.history and not resume:
            raise MiniResError(
                "Trainer: fit was called before: make another Trainer, or resume the run: fit(resume=True)"
            )
        try:
            self._begin(resume)
            self._run(resume)
        except Exception:
            if self.folder is not None and not self._has_saved_steps:
                self.folder.abandon()
            raise
        return self.history

    def _run(self, resume: bool) -> None:
        """Run the remaining epochs and display their progress."""
        with ProgressDisplay(self.progress, self.epochs, len(self.train_loader)) as self._display:
            if resume:
                self._display.show_resumed(self.history, self.epoch, self.step, over=self._is_over())
            self._interruption = InterruptHandler(self._announce_stop)
            try:
                with self._interruption:
                    while not self._is_over():
                        self._stop_if_asked()
                        self._train_epoch()
                        self._finish_epoch()
            except KeyboardInterrupt:
                if not (self._ranks.alone or self._is_agreed):  # a second signal: the other ranks do not stop with this
                    self._ranks.comm.abort(128 + (self._interruption.requested or SIGINT))
                raise TrainingInterrupted(self._stopped(), self._interruption.requested or SIGINT) from None
            if self.epoch < self.epochs:
                idle = self._epochs_without_improvement()
                self._display.print(f"stopped: no improvement for {idle} epoch{'s' if idle > 1 else ''}")

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _train_epoch(self) -> None:
        """Run the remaining steps of this epoch."""
        training_mode(self.model)
        started, waited = time.perf_counter(), self._ranks.comm.seconds
        shares = self._ranks.shares(self.train_loader)
        for inputs, targets in on_device_of(self.model, shares.epoch(self.epoch, start=self.step)):
            self._is_consistent = False
            loss, correct = self._train_step(inputs, targets)
            if (batch := self._batch) is None:
                batch = Step(loss, correct, sample_count(inputs, targets), self.objective.ignored(targets), {}, 1.0)
            self.totals.add(loss, correct, batch.images, batch.ignored, batch.metrics)
            self.totals.seconds += time.perf_counter() - started
            self.step += 1
            self._is_consistent = True
            self._display.show_step(self.epoch, self.step, self.totals)
            if self._stop_if_asked(self._checkpoint_is_due()):
                self._save()
            started = time.perf_counter()
        self._waited = self._ranks.comm.seconds - waited

    def _stop_if_asked(self, is_due: bool = False) -> bool:
        """Raise KeyboardInterrupt on every rank if a signal came to one; else whether on some rank `is_due` is true."""
        number, due = self._ranks.agreed(self._interruption.requested, int(is_due))
        if number:
            self._interruption.requested, self._is_agreed = number, True
            raise KeyboardInterrupt
        return bool(due)

    def _train_step(self, inputs: Any, targets: Any) -> StepResult:
        """Train on a batch; returns the mean loss and, of a classification, the number of correct answers."""
        self.totals.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self._batch = None
        if self._captured is None:
            loss, correct = self._eager_step(inputs, targets)
        else:
            loss, correct = self._captured(inputs, targets, self._eager_step)
            if self._captured.capture_error:
                self._display.print(f"no CUDA graph: {self._captured.capture_error}")
                self._captured = None
        if not math.isfinite(loss):
            self._stop_for_loss(loss, "a step captured as a CUDA graph cannot say in which layer; an eager one does")
        if self._average is not None:
            self._average.update(self.model)
        if self.schedule is not None and self.schedule_per == "step":
            self.schedule.step()
        return loss, correct

    def _eager_step(self, inputs: Any, targets: Any) -> StepResult:
        """One update of the weights, without a CUDA graph or the schedule: (loss, number of correct answers)."""
        random_state = random.get_state()
        self.optimizer.zero_grad()
        x, target = as_input(inputs, self.model), as_target(targets, self.model)
        images, ignored = sample_count(inputs, targets), self.objective.ignored(targets)
        with self._drawing():
            outputs = call(self.model, x)
        loss = self.objective.loss_of(outputs, targets, target) if images > ignored else loss_of_nothing(outputs)
        value, correct = float(loss.item()), self.objective.correct(outputs, target)  # nothing later waits for the GPU
        if not math.isfinite(value) and self._ranks.alone:
            self._stop_for_loss(value, locate_nonfinite(self.model, x, random_state))
        measured = self.objective.measure(outputs, target) if images else dict.fromkeys(self.objective.metrics, 0.0)
        self._batch = batch = self._ranks.add_up(value, correct, images, ignored, measured)
        if not math.isfinite(batch.loss):
            self._stop_for_loss(batch.loss, "a run of one process says in which layer it began")
        weighted(loss, batch.weight).backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self._trained(), self.clip_norm)
        self.optimizer.step()
        return batch.loss, batch.correct

    def _drawing(self) -> AbstractContextManager[None]:
        """What layers draw at this step, on each rank of several."""
        return self._ranks.drawing(getattr(self.train_loader, "seed", 0), self.epoch, self.step)

    def _stop_for_loss(self, loss: float, why: str) -> NoReturn:
        """Raise NonFiniteError for the loss of the current step."""
        raise NonFiniteError(f"{self._position(self.step + 1)}: the loss is {loss}; {why}. {self._advice()}")

    def _trained(self) -> list[Tensor]:
        """The parameters that the optimiser updates, in its order."""
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _finish_epoch(self) -> None:
        """Validate, record, advance the schedule, save."""
        self._check_weights()
        record = self._record()
        self._is_consistent = False
        self.history.append(record)
        if isinstance(self.schedule, ReduceOnPlateau):
            self.schedule.step(self._watched(record, self.schedule))
        elif self.schedule is not None and self.schedule_per == "epoch":
            self.schedule.step()
        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals()
        self._is_consistent = True
        self._display.show_epoch(record)
        self._show_ranks(record)
        self._save(best=best_epoch(self.history) is record)
        if self.folder is not None:
            self.folder.write_history(self.history, over=self._is_over())

    def _show_ranks(self, record: EpochRecord) -> None:
        """Print which rank was the slowest, and how much of the time ranks waited for each other."""
        if not self._ranks.alone:
            computing = self._trained_seconds - self._waited
            rank, seconds, waiting = self._ranks.slowest(computing, self._waited)
            self._display.print(
                f"{'':>9}  {self._ranks.comm.size} ranks; rank {rank} computed longest, {seconds:.1f} s; "
                f"{waiting:.1f} % of the time in communication"
            )

    def _record(self) -> EpochRecord:
        """Measure the validation set and return the record of this epoch."""
        started, self._trained_seconds = time.perf_counter(), self.totals.seconds
        self._ranks.gather_statistics(self.model)
        validation = None
        if self._average is not None:
            batches = self._ranks.shares(self.train_loader).epoch(self.epoch)
            with self._drawing():
                self._average.refresh_statistics(on_device_of(self.model, batches))
            self._ranks.gather_statistics(self._average.model)
        if self.validation_loader is not None:
            validation = measure(
                self.averaged_model or self.model,
                self.validation_loader,
                self._after_validation_batch,
                objective=self.objective.validating(),
                comm=self._ranks.comm,
            )
        totals = self.totals
        return EpochRecord(
            epoch=self.epoch + 1,
            train_loss=totals.mean_loss,
            train_accuracy=totals.accuracy,
            validation_loss=None if validation is None else validation.loss,
            validation_accuracy=validation.top1 if isinstance(validation, Evaluation) else None,
            learning_rate=totals.learning_rate,
            images_per_second=totals.images_per_second,
            seconds=totals.seconds + time.perf_counter() - started,
            train_metrics=totals.mean_metrics,
            validation_metrics={} if validation is None else validation.metrics,
        )

    def _after_validation_batch(self, number: int) -> None:
        assert self.validation_loader is not None
        self._display.show_validation(number, len(self.validation_loader))
        self._stop_if_asked()

    @staticmethod
    def _watched(record: EpochRecord, schedule: ReduceOnPlateau) -> float:
        """The value that the schedule monitors."""
        loss, accuracy = record.validation_loss, record.validation_accuracy
        if loss is None:
            loss, accuracy = record.train_loss, record.train_accuracy
        if schedule.mode == "min":
            return loss
        assert accuracy is not None  # the constructor refuses mode "max" without one
        return accuracy

    def _is_over(self) -> bool:
        """Whether all epochs are finished, or early stopping applies."""
        stops_early = self.patience is not None and self._epochs_without_improvement() >= self.patience
        return stops_early or self.epoch >= self.epochs

    def _epochs_without_improvement(self) -> int:
        """The number of epochs since the best one."""
        best = best_epoch(self.history)
        return 0 if best is None else self.epoch - best.epoch

    # -- saving and resuming ------------------------------------------------------------------------------------------

    def _begin(self, resume: bool) -> None:
        """Resume the run in the folder, or check that there is none and start one."""
        if self._last is None and resume:
            raise MiniResError("resume needs the folder of the run: Trainer(..., out=FOLDER)")
        settings = {"epochs": self.epochs, "resume": resume, "checkpoint_steps": self.checkpoint_steps}
        self._ranks.check({**self.compatibility, **settings, "patience": self.patience, "folder": self._last is None})
        if resume:
            self._restore(self._ranks.from_first(self._load))
        elif self.folder is not None:
            self.folder.claim()
        if not resume:
            self._save()
        elif self.folder is not None:
            self.folder.write_history(self.history, over=self._is_over())

    def _load(self) -> Checkpoint:
        assert self.folder is not None
        return self.folder.load()

    def _checkpoint_is_due(self) -> bool:
        if self.folder is None:
            return False
        seconds, steps = self.checkpoint_seconds, self.checkpoint_steps
        return (steps is not None and self.step % steps == 0) or (
            seconds is not None and time.monotonic() - self._saved_at >= seconds
        )

    def _save(self, best: bool = False) -> None:
        """Write the checkpoint, unless a weight is not finite: the previous checkpoint is then the last good one."""
        if self._last is None:
            return
        self._check_weights()
        self._has_saved_steps = self._has_saved_steps or (self.epoch, self.step) != (0, 0)
        for model in (self.model, *(() if self.averaged_model is None else (self.averaged_model,))):
            self._ranks.gather_statistics(model)
        self._ranks.first_alone(lambda: self._write(best))
        self._saved_at = time.monotonic()

    def _write(self, best: bool) -> None:
        assert self.folder is not None
        self.folder.save(self._checkpoint(), best)

    def _check_weights(self) -> None:
        """Raise NonFiniteError if an update made a weight non-finite, which the loss before that update cannot show."""
        broken = nonfinite_state(self.model)
        if broken is not None:
            raise NonFiniteError(f"{self._position(self.step)}: the update left {broken} non-finite. {self._advice()}")

    def _checkpoint(self) -> Checkpoint:
        """The state of the run, sharing memory with the model."""
        weights = {name: tensor.numpy() for name, tensor in self.model.state_dict().items()}
        averaged = self.averaged_model
        return Checkpoint(
            model=weights if averaged is None else {k: t.numpy() for k, t in averaged.state_dict().items()},
            trained=None if averaged is None else weights,
            optimizer=self.optimizer.state_dict(),
            schedule=None if self.schedule is None else self.schedule.state_dict(),
            epoch=self.epoch,
            step=self.step,
            totals=self.totals,
            random=random.get_state(),
            history=self.history,
            compatibility=self.compatibility,
            metadata=self.metadata,
        )

    def _restore(self, saved: Checkpoint) -> None:
        """Continue from `saved`. Raises MiniResError, changing nothing, if it belongs to another run."""
        check_same_run(saved, self.compatibility, self.metadata, self.model)
        saved.load_into(self.model, self.optimizer, self.schedule)
        if self._average is not None:
            self._average.load(saved.model, saved.epoch * len(self.train_loader) + saved.step)
        self.epoch, self.step, self.totals, self.history = saved.epoch, saved.step, saved.totals, saved.history
        self._has_saved_steps = True

    # -- messages -----------------------------------------------------------------------------------------------------

    def _position(self, step: int) -> str:
        return f"epoch {self.epoch + 1} of {self.epochs}, step {step} of {len(self.train_loader)}"

    def _advice(self) -> str:
        kept = f" The last good checkpoint is {self._last}." if self._last and self._has_saved_steps else ""
        return f"Training has stopped.{kept} A smaller learning rate, a warm-up or clip_norm usually helps."

    def _announce_stop(self) -> None:
        self._display.print("Stopping after this step. (Ctrl-C again stops at once, without saving.)")

    def _stopped(self) -> str:
        """Save the run if it is between two steps, and return the message that says how to resume it."""
        where = f"stopped at {self._position(self.step)}"
        if self._last is None:
            return f"{where}; nothing was saved, because there is no folder for it (out=FOLDER)"
        if self._is_consistent:
            self._save()
            if self.folder is not None:
                self.folder.write_history(self.history, over=True, hurry=self._interruption.requested == SIGTERM)
        saved = f"saved in {self._last}" if self._is_consistent else f"the last checkpoint is {self._last}"
        return f"{where}; {saved}. To resume: the same command with --resume, or fit(resume=True)"
