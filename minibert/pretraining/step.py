"""One optimiser step: forward, backward, clip, update. (BERT, section 3.1 and appendix A.2)"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert import ops
from minibert.heads import BertForPreTraining
from minibert.ops import IGNORE_INDEX
from minibert.optim import (
    Adam,
    AdamW,
    BertAdam,
    LRScheduler,
    constant_with_warmup,
    decay_groups,
    google_warmup_decay,
    linear_warmup_decay,
)
from minibert.pretraining.recipe import Recipe

__all__ = ["Losses", "make_optimizer", "next_sentence_loss", "training_step"]


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
    if schedule.decay == "constant":
        return optimizer, LRScheduler(optimizer, constant_with_warmup, warmup=schedule.warmup)
    factor = linear_warmup_decay if schedule.decay == "linear" else google_warmup_decay
    return optimizer, LRScheduler(optimizer, factor, warmup=schedule.warmup, total=schedule.steps)


def training_step(
    model: BertForPreTraining, optimizer: AdamW | Adam | BertAdam, pieces: Sequence[Mapping[str, Any]]
) -> Losses:
    """Step `model` once on a batch that comes in pieces; the result is that of the whole batch at once.

    The loss of words is a mean over masked words, that of sentences a mean over examples, so pieces count by how many
    of each they have.

    Args:
        pieces: keyword arguments of the model, each with labels (b, S) and next_sentence_label (b,).
    """
    masked = [int(np.count_nonzero(piece["labels"] != IGNORE_INDEX)) for piece in pieces]
    B, M = sum(len(piece["labels"]) for piece in pieces), max(sum(masked), 1)
    mlm = nsp = 0.0
    for piece, m in zip(pieces, masked, strict=True):
        out = model(**piece, return_logits=False)
        of_words, of_examples = m / M, len(piece["labels"]) / B
        sentences = next_sentence_loss(out.seq_relationship_logits.numpy(), piece["next_sentence_label"])
        nsp += of_examples * sentences
        mlm += of_words * (float(out.loss.numpy()) - sentences)
        if len(pieces) == 1:
            out.loss.backward()
        else:  # out.loss is the sum of the two, which here count by different shares
            again = ops.cross_entropy(out.seq_relationship_logits, piece["next_sentence_label"])
            (out.loss * of_words + again * (of_examples - of_words)).backward()
    optimizer.step()
    optimizer.zero_grad()
    tokens = sum(int(np.count_nonzero(piece["attention_mask"])) for piece in pieces)
    return Losses(mlm + nsp, mlm, nsp, optimizer.grad_norm, tokens)


def next_sentence_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy of (B, 2) scores with labels (B,), in float64."""
    x = logits.astype(np.float64)
    top = x.max(axis=1, keepdims=True)  # (B, 1)
    log_sum_exp = top[:, 0] + np.log(np.exp(x - top).sum(axis=1))  # (B,)
    loss = float(np.mean(log_sum_exp - x[np.arange(len(x)), labels]))
    return loss if math.isfinite(loss) else math.nan
