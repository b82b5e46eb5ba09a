"""How good a model is on text it has not seen: masked words and next sentences. (BERT, section 3.1)

Held-out examples are masked as in training, and every position that was chosen counts, also the tenth that got another
word and the tenth that stayed. Scores are made for these positions only, a batch at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minibert.autograd import no_grad
from minibert.backend import Array, namespace
from minibert.heads import BertForPreTraining
from minibert.number_like import as_int
from minibert.ops import IGNORE_INDEX
from minibert.pretraining.feed import Data
from minibert.pretraining.step import next_sentence_loss

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out text.

    Attributes:
        mlm_top1, mlm_top5: share of the masked words that are the first, or among the first five, of the vocabulary.
        mlm_loss: mean cross-entropy of the masked words; exp of it is the perplexity.
        most_frequent_top1: the share that the most frequent word among them alone would get.
        nsp_accuracy, nsp_loss: of next-sentence prediction, where a coin gets 0.5 and 0.693; None if it was not tried.
        examples, masked: how many there were.
    """

    mlm_top1: float
    mlm_top5: float
    mlm_loss: float
    most_frequent_top1: float
    nsp_accuracy: float | None
    nsp_loss: float | None
    examples: int
    masked: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate(
    model: BertForPreTraining,
    data: Data,
    *,
    examples: int | None = None,
    batch_size: int = 32,
    epoch: int = 0,
    next_sentence: bool = True,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Run the model on examples of one epoch of `data`.

    Args:
        examples: the first so many of the epoch's order; all if None.
        batch_size: how many at once; the figures do not depend on it (but for the last digits).
        next_sentence: False where the model has not learned that, or the data has no negative pairs.
        on_batch: called with the number of examples done and their total.

    Raises:
        ValueError: no examples, or none with a masked word.
    """
    batch_size = as_int("batch_size", batch_size, least=1)
    examples = None if examples is None else as_int("examples", examples)
    source = data.epoch(epoch)
    total = len(source) if examples is None else min(examples, len(source))
    training, counts = model.training, np.zeros(5)  # top 1, top 5, loss, sentences right, loss of sentences
    labels: list[np.ndarray] = []
    model.eval()
    try:
        with no_grad():
            for first in range(0, total, batch_size):
                last = min(first + batch_size, total)
                batch = dict(source.batch(first, last))
                label = batch["labels"][batch["labels"] != IGNORE_INDEX]  # (M,), in reading order as the logits
                counts += _figures(model, batch, label)
                labels.append(label)
                on_batch(last, total)
    finally:
        model.train(training)
    masked = sum(map(len, labels))
    if masked == 0:
        raise ValueError("the held-out data has no examples with masked words; expected more text")
    top1, top5, loss, right, nsp = counts
    most = int(np.bincount(np.concatenate(labels)).max())
    return Evaluation(
        mlm_top1=float(top1 / masked),
        mlm_top5=float(top5 / masked),
        mlm_loss=float(loss / masked),
        most_frequent_top1=most / masked,
        nsp_accuracy=float(right / total) if next_sentence else None,
        nsp_loss=float(nsp / total) if next_sentence else None,
        examples=total,
        masked=masked,
    )


def _figures(model: BertForPreTraining, batch: dict[str, np.ndarray], label: np.ndarray) -> np.ndarray:
    """Sums over a batch: words first, words among five, their loss; sentences right, their loss."""
    relation = batch["next_sentence_label"]
    inputs: dict[str, Any] = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    out = model(**inputs, rows=batch["labels"] != IGNORE_INDEX)
    sentences = out.seq_relationship_logits.numpy()  # (B, 2)
    right = int((sentences.argmax(axis=1) == relation).sum())
    nsp = len(relation) * next_sentence_loss(sentences, relation)
    if len(label) == 0:
        return np.array([0.0, 0.0, 0.0, right, nsp])
    logits = out.prediction_logits.data  # (M, V), where the model is: only the sums leave a GPU
    xp = namespace(logits)
    own = xp.take_along_axis(logits, xp.asarray(label[:, None], device=logits.device), axis=1)  # (M, 1)
    before = xp.sum(logits > own, axis=1)  # (M,) how many words the model likes better
    first, five = xp.sum(before < 1), xp.sum(before < 5)
    return np.array([int(first), int(five), _loss(logits, own), right, nsp], np.float64)


def _loss(logits: Array, own: Array) -> float:
    """Sum of the cross-entropies of (M, V) scores, own (M, 1) those of the labels."""
    xp = namespace(logits)
    top = xp.max(logits, axis=1, keepdims=True)  # (M, 1)
    exp = xp.exp(logits - top)  # (M, V)
    return float(xp.sum(xp.log(xp.sum(exp, axis=1, dtype=xp.float64)) + (top - own)[:, 0]))
