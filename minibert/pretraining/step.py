"""One optimiser step: forward, backward, clip, update. (BERT, section 3.1 and appendix A.2)"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert import ops
from minibert.backend import to_numpy
from minibert.heads import BertForPreTraining
from minibert.ops import IGNORE_INDEX
from minibert.optim import (
    Adam,
    AdamW,
    BertAdam,
    LRScheduler,
    constant_with_warmup,
    cosine_warmup_decay,
    decay_groups,
    google_warmup_decay,
    inverse_sqrt_warmup_decay,
    linear_warmup_decay,
)
from minibert.precision import LossScaler
from minibert.pretraining.recipe import Recipe
from minibert.pretraining.state import RunError

__all__ = [
    "Losses", "Taken", "check_finite", "check_scale", "make_optimizer", "next_sentence_loss", "take_step",
    "training_step",
]  # fmt: skip

SMALLEST_SCALE = 2.0**-10
"""Nobody needs so small a number: a loss times it has gradients far below what float16 overflows at."""


class Losses(NamedTuple):
    """What a step did.

    Attributes:
        loss: mean loss of masked words plus mean loss of next sentences; `mlm` and `nsp` are the two.
        grad_norm: of all gradients before clipping; None if nothing clips.
        tokens: T, real tokens of the batch.
    """

    loss: float
    mlm: float
    nsp: float
    grad_norm: float | None
    tokens: int


def make_optimizer(model: BertForPreTraining, recipe: Recipe) -> tuple[AdamW | Adam | BertAdam, LRScheduler]:
    """The recipe's optimiser and its schedule, before the first step."""
    part, schedule = recipe.optimizer, recipe.schedule
    made: Any = {"adamw": AdamW, "adam": Adam, "bertadam": BertAdam}[part.name]
    options: dict[str, Any] = {"lr": part.lr, "betas": part.betas, "max_grad_norm": part.max_grad_norm or None}
    if part.eps is not None:
        options["eps"] = part.eps
    optimizer = made(decay_groups(model, part.weight_decay), **options)
    endless = {"constant": constant_with_warmup, "inverse_sqrt": inverse_sqrt_warmup_decay}
    if schedule.decay in endless:
        return optimizer, LRScheduler(optimizer, endless[schedule.decay], warmup=schedule.warmup)
    factors = {"linear": linear_warmup_decay, "google": google_warmup_decay, "cosine": cosine_warmup_decay}
    return optimizer, LRScheduler(optimizer, factors[schedule.decay], warmup=schedule.warmup, total=schedule.steps)


class _Piece(NamedTuple):
    """What a piece of a batch gave: its loss (), its scores of next sentences (b, 2), and how much each counts."""

    loss: Any
    logits: Any
    labels: np.ndarray
    of_words: float
    of_examples: float


class Taken(NamedTuple):
    """A step that was taken, its losses still where they came to be: to read numbers on a GPU is to wait for it."""

    pieces: list[_Piece]
    grad_norm: Any
    tokens: int

    def read(self) -> Losses:
        """The losses as numbers."""
        mlm = nsp = 0.0
        for piece in self.pieces:
            sentences = next_sentence_loss(to_numpy(piece.logits), piece.labels)
            nsp += piece.of_examples * sentences
            mlm += piece.of_words * (float(to_numpy(piece.loss)) - sentences)
        norm = None if self.grad_norm is None else float(self.grad_norm)
        return Losses(mlm + nsp, mlm, nsp, norm, self.tokens)


def take_step(
    model: BertForPreTraining, optimizer: AdamW | Adam | BertAdam, pieces: Sequence[Mapping[str, Any]]
) -> Taken:
    """Step `model` once on a batch that comes in pieces; the result is that of the whole batch at once.

    The loss of words is a mean over masked words, that of sentences a mean over examples, so pieces count by how many
    of each they have. On a GPU nothing in here waits for it.

    Args:
        pieces: keyword arguments of the model, each with labels (b, S) and next_sentence_label (b,).
    """
    masked = [int(np.count_nonzero(piece["labels"] != IGNORE_INDEX)) for piece in pieces]
    B, M = sum(len(piece["labels"]) for piece in pieces), max(sum(masked), 1)
    scaler, taken = optimizer.loss_scaler, list[_Piece]()
    for piece, m in zip(pieces, masked, strict=True):
        out = model(**piece, return_logits=False)
        of_words, of_examples = m / M, len(piece["labels"]) / B
        logits, labels = out.seq_relationship_logits, piece["next_sentence_label"]
        taken.append(_Piece(out.loss.data, logits.data, labels, of_words, of_examples))
        loss = out.loss
        if len(pieces) > 1:  # out.loss is the sum of the two, which here count by different shares
            loss = loss * of_words + ops.cross_entropy(logits, labels) * (of_examples - of_words)
        (loss if scaler is None else scaler.scale(loss)).backward()
    optimizer.step()
    optimizer.zero_grad()
    tokens = sum(int(np.count_nonzero(piece["attention_mask"])) for piece in pieces)
    return Taken(taken, optimizer.grad_norm, tokens)


def training_step(
    model: BertForPreTraining, optimizer: AdamW | Adam | BertAdam, pieces: Sequence[Mapping[str, Any]]
) -> Losses:
    """As `take_step`, and wait for the losses."""
    return take_step(model, optimizer, pieces).read()


def check_finite(losses: Losses, step: int, *, scaled: bool) -> None:
    """Whether a step's numbers are finite; a gradient need not be, where the loss was scaled: then nothing was stepped.

    Raises:
        RunError: they are not.
    """
    what = f"the loss of step {step} is {losses.loss}" if not math.isfinite(losses.loss) else ""
    if not what and not scaled and losses.grad_norm is not None and not math.isfinite(losses.grad_norm):
        what = f"the norm of the gradients of step {step} is {losses.grad_norm}"
    if what:
        raise RunError(f"{what}: the run went astray before; a lower rate or a longer warm-up helps")


def check_scale(scaler: LossScaler, step: int) -> None:
    """Whether loss scaling still finds a number that gradients do not overflow with.

    Raises:
        RunError: it does not, however small.
    """
    number = scaler.state_dict()["number"]
    if number < SMALLEST_SCALE:
        raise RunError(
            f"up to step {step} gradients overflowed again and again, with the loss scaled down to {number:.1e} of "
            "itself: the run went astray before; a lower rate or --precision bfloat16 helps"
        )


def next_sentence_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of (B, 2) scores with labels (B,), in float64."""
    x = logits.astype(np.float64)
    top = x.max(axis=1, keepdims=True)  # (B, 1)
    log_sum_exp = top[:, 0] + np.log(np.exp(x - top).sum(axis=1))  # (B,)
    loss = float(np.mean(log_sum_exp - x[np.arange(len(x)), labels]))
    return loss if math.isfinite(loss) else math.nan
