"""A run in memory: steps, and what is due after each (metrics, evaluation, state)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert import philox
from minibert.backend import get_float32_matmul_precision, set_float32_matmul_precision
from minibert.heads import BertForPreTraining
from minibert.nn import skip_init
from minibert.pretraining import state as saving
from minibert.pretraining.compute import Compute
from minibert.pretraining.data import PretrainingData
from minibert.pretraining.evaluation import Evaluation, evaluate
from minibert.pretraining.feed import Feed, Place, StepBatch
from minibert.pretraining.metrics import Metrics, Window
from minibert.pretraining.progress import Progress
from minibert.pretraining.recipe import Phase, Recipe
from minibert.pretraining.signals import StopAsked
from minibert.pretraining.state import RunError, Saved
from minibert.pretraining.step import Taken, check_finite, check_scale, make_optimizer, take_step
from minibert.tokenizer import BertTokenizer

__all__ = ["HELD_OUT_SEED", "Outcome", "Trainer", "open_data", "told_as"]

HELD_OUT_SEED = 0
"""Held-out examples are the same for every run, so that runs can be compared."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its folder.
        step: steps taken.
        finished: whether that is all; RUN/model is there then.
        signal: what stopped it otherwise.
        evaluation: on all held-out examples, of a finished run that has any.
    """

    run: Path
    step: int
    finished: bool
    signal: int | None = None
    evaluation: Evaluation | None = None


def open_data(folder: str, recipe: Recipe, phase: Phase, *, seed: int | None = None) -> PretrainingData:
    """The prepared folder as examples of a phase. Raises ValueError if it is not sound."""
    part = recipe.data
    return PretrainingData(
        folder,
        max_length=phase.max_length,
        seed=recipe.seed if seed is None else seed,
        short_sequence_probability=part.short_sequence_probability,
        masking_probability=part.masking_probability,
        whole_word_masking=part.whole_word_masking,
        next_sentence=part.next_sentence,
    )


class Trainer:
    """A run in memory. Nothing is written before `run_to_the_end`."""

    def __init__(self, recipe: Recipe, run: Path, saved: Saved | None, progress: Progress, compute: Compute) -> None:
        self.recipe, self.run, self.progress, self.compute = recipe, run, progress, compute
        self._opened: dict[int, PretrainingData] = {}
        self.data = self._data_of(recipe.phases[recipe.phase_of(saved.step if saved else 0)])
        if saved is not None and saved.facts["data"] != self.data.fingerprint:
            raise RunError(
                f"the data in {recipe.data.folder} is not what {saved.folder} was trained on: its fingerprint is "
                f"{self.data.fingerprint}, was {saved.facts['data'][:64]!r}"
            )
        config = recipe.config(self.data.vocabulary_size)
        longest = config.max_position_embeddings
        self.tokenizer = BertTokenizer.from_pretrained(str(recipe.data.folder), model_max_length=longest)
        self.held_out = self._open_held_out()
        philox.manual_seed(recipe.seed)
        with skip_init() if saved is not None else nullcontext():
            self.model = BertForPreTraining(config)
        self.optimizer, self.scheduler = make_optimizer(self.model, recipe)
        self.step, self.tokens, self.seconds, self.place, self.window = 0, 0, 0.0, Place(), Window()
        self.rate = 0.0  # of the step just taken
        self.unread: list[tuple[Taken, float, float]] = []  # with the seconds that each took, and waited for its data
        self.scaler = self.optimizer.loss_scaler = compute.scaler()
        self.optimizer.scheduler = self.scheduler
        if saved is None:
            self._start()
        if compute.device != "cpu":
            self.model.to(device=compute.device)
        if saved is not None:
            self._restore(saved)

    def _open_held_out(self) -> PretrainingData | None:
        """Held-out examples, as long as the longest of training. Raises RunError if the vocabulary is another one."""
        if self.recipe.data.held_out is None:
            return None
        phase = max(self.recipe.phases, key=lambda phase: phase.max_length)
        made = open_data(self.recipe.data.held_out, self.recipe, phase, seed=HELD_OUT_SEED)
        if made.tokenizer.get_vocab() != self.data.tokenizer.get_vocab():
            raise RunError(
                f"{self.recipe.data.held_out} was prepared with another vocabulary ({made.vocabulary_size} tokens) "
                f"than the data ({self.data.vocabulary_size}); prepare both with the same"
            )
        return made

    def _start(self) -> None:
        """Weights before the first step."""
        part = self.recipe.start
        if part.initialisation == "cooccurrence":
            from minibert.pretraining.cooccurrence import start_from_cooccurrence

            start_from_cooccurrence(
                self.model, self.data, words=part.words, positions=part.positions, neighbours=part.neighbours
            )
        elif part.checkpoint is not None:
            from minibert.pretraining.continuation import start_from_checkpoint

            start_from_checkpoint(self.model, part.checkpoint, self.tokenizer)

    def _restore(self, saved: Saved) -> None:
        facts = saved.facts
        saving.restore(saved, self.model, self.optimizer)
        try:
            self.scheduler.load_state_dict(facts["schedule"])
            philox.set_state(facts["random"])
            if self.scaler is not None and facts.get("loss_scale") is not None:
                self.scaler.load_state_dict(facts["loss_scale"])
            self.step, self.tokens, self.seconds = saved.step, int(facts["tokens"]), float(facts["seconds"])
            self.place, self.window = Place(**facts["place"]), Window(**facts["window"])
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:  # of a format without digest
            raise RunError(
                f"the state {saved.folder} is damaged: values of state.json are not what was written"
            ) from error

    # ---- the loop ----------------------------------------------------------------------------------------------------

    def run_to_the_end(self) -> Outcome:
        """Every step that is left, or until somebody asks to stop."""
        stop, before = StopAsked(), get_float32_matmul_precision()
        with told_as("cannot write", self.run / "metrics.jsonl"):
            self.metrics = Metrics(self.run / "metrics.jsonl", step=self.step)
        set_float32_matmul_precision(self.recipe.matmul_precision)
        try:
            with stop:
                if self.step == 0:
                    self._save()
                self._train(stop)
                if stop.signal is not None and self.step < self.recipe.schedule.steps:
                    self._save()
                    self.progress.say(f"stopped after step {self.step:,}; go on with `minibert resume {self.run}`")
                    return Outcome(self.run, self.step, finished=False, signal=stop.signal)
                return self._finish()
        finally:
            set_float32_matmul_precision(before)
            self.progress.close()
            self.metrics.close()

    def _train(self, stop: StopAsked) -> None:
        feed = Feed(self.recipe, self._data_of, step=self.step, place=self.place)
        try:
            began = time.perf_counter()
            for batch in feed:
                waited, feed.waited = feed.waited, 0.0
                taken = self._one_step(batch)
                self.unread.append((taken, time.perf_counter() - began, waited))
                self.seconds += self.unread[-1][1]
                if self.compute.device == "cpu" or stop.signal is not None or any(self._due()):
                    self._read()
                self._after_step()
                began = time.perf_counter()
                if stop.signal is not None:
                    self._read()
                    return
        finally:
            feed.close()

    def _one_step(self, batch: StepBatch) -> Taken:
        with self.compute.mixed():
            taken = take_step(self.model, self.optimizer, batch.pieces)
        self.rate = self.scheduler.get_last_lr()[0]
        self.scheduler.step()
        self.step += 1
        self.tokens += taken.tokens
        self.place = batch.after
        return taken

    def _read(self) -> None:
        """Read the losses of the steps since the last time. On a GPU this waits for them."""
        if not self.unread:
            return
        began, first = time.perf_counter(), self.step - len(self.unread) + 1
        self.window.skipped += self.optimizer.settle()
        read = [(taken.read(), seconds, waited) for taken, seconds, waited in self.unread]
        self.unread = []
        rest = time.perf_counter() - began if self.compute.device != "cpu" else 0.0
        self.seconds += rest
        pace = sum(losses.tokens for losses, _, _ in read) / (sum(seconds for _, seconds, _ in read) + rest)
        for step, (losses, seconds, waited) in enumerate(read, first):
            check_finite(losses, step, scaled=self.scaler is not None)
            self.window.add(losses, seconds + rest / len(read), waited)
            self.progress.step(losses.loss, pace)
        if self.scaler is not None:
            check_scale(self.scaler, self.step)
            self.rate = self.scheduler.earlier(self.optimizer.param_groups[0], 1)  # the steps left out are known now

    def _due(self) -> tuple[bool, bool, bool]:
        """Whether metrics, an evaluation, a state are due after the step just taken."""
        recipe, step = self.recipe, self.step
        last = step == recipe.schedule.steps
        evaluation = recipe.evaluate_every and step % recipe.evaluate_every == 0
        return (
            last or step % recipe.log_every == 0,
            self.held_out is not None and bool(last or evaluation),
            last or step % recipe.save_every == 0,
        )

    def _after_step(self) -> None:
        """What is due after this step: metrics, evaluation, state, in this order."""
        log, evaluation, save = self._due()
        last = self.step == self.recipe.schedule.steps
        if log:
            self._log()
        if evaluation:
            self._evaluate(None if last else self.recipe.evaluate_examples)
            if not last:
                self._draw()
        if save:
            self._save()

    def _log(self) -> None:
        line = self.window.line()
        if self.scaler is not None:
            line |= {"loss_scale": self.scaler.state_dict()["number"], "skipped": self.window.skipped}
        phase = self.recipe.phase_of(self.step - 1)
        self._write({"step": self.step, "phase": phase, "tokens": self.tokens, "lr": self.rate, **line})
        self.window = Window()

    def _evaluate(self, examples: int | None) -> None:
        """Look at held-out examples, and say what was found."""
        assert self.held_out is not None
        began = time.perf_counter()
        asked = self.recipe.data.next_sentence
        found = evaluate(self.model, self.held_out, examples=examples, next_sentence=asked)
        self.seconds += time.perf_counter() - began
        self._write({"step": self.step, "evaluation": found.to_dict()})
        words = f"words {found.mlm_top1:.3f} / {found.mlm_top5:.3f}, loss {found.mlm_loss:.3f}"
        sentences = f"; next sentence {found.nsp_accuracy:.3f}" if found.nsp_accuracy is not None else ""
        self.progress.say(f"step {self.step:,}, held out: {words}{sentences}")

    def _write(self, line: dict[str, Any]) -> None:
        with told_as("cannot write", self.metrics.path):
            self.metrics.write({**line, "seconds": round(self.seconds, 3)})

    def _save(self) -> None:
        began = time.perf_counter()
        with told_as("cannot write", self.metrics.path):
            self.metrics.sync()
        facts = {
            "recipe": self.recipe.to_dict(),
            "data": self.data.fingerprint,
            "place": self.place.to_dict(),
            "random": philox.get_state(),
            "schedule": self.scheduler.state_dict(),
            "compute": self.compute.to_dict(),
            "loss_scale": self.scaler.state_dict() if self.scaler is not None else None,
            "tokens": self.tokens,
            "window": self.window.to_dict(),
            "seconds": self.seconds,
        }
        saving.save_state(self.run, self.step, self.model, self.optimizer, self.tokenizer, facts, keep=self.recipe.keep)
        self.seconds += time.perf_counter() - began

    def _finish(self) -> Outcome:
        if not (self.run / "model").exists():
            saving.save_model_folder(self.run, self.model, self.tokenizer)
        if not self._draw():
            self.progress.say("no curves.png: drawing needs matplotlib (pip install matplotlib)")
        return Outcome(self.run, self.step, finished=True, evaluation=self._last_evaluation())

    def _last_evaluation(self) -> Evaluation | None:
        from minibert.pretraining.metrics import read_metrics

        found = [line["evaluation"] for line in read_metrics(self.metrics.path) if "evaluation" in line]
        return Evaluation(**found[-1]) if found else None

    def _draw(self) -> bool:
        """The picture is worth no run: without matplotlib, or room on the disk, there is none."""
        from minibert.pretraining.curves import draw_curves

        try:
            return draw_curves(self.run)
        except OSError:
            return True

    def _data_of(self, phase: Phase) -> PretrainingData:
        """The examples of a phase; opened once, since that looks at every byte."""
        if phase.max_length not in self._opened:
            folder = self.recipe.data.folder
            assert folder is not None
            self._opened[phase.max_length] = open_data(folder, self.recipe, phase)
        return self._opened[phase.max_length]


@contextmanager
def told_as(what: str, path: Path) -> Iterator[None]:
    """What the system refuses, as a sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{what} {path}: {error.strerror or error}") from error
