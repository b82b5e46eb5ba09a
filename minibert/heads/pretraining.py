"""The pretraining heads: masked words, and the next sentence. (BERT, section 3.1)"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Unpack

import numpy as np

from minibert import ops
from minibert.autograd import Tensor
from minibert.bert import (
    BertModel,
    BertPreTrainedModel,
    Encoded,
    dense_activation,
    encode_for_head,
    pool_for_head,
)
from minibert.config import BertConfig
from minibert.fusing import own_ops, plain
from minibert.heads.labels import sequence_loss, shaped
from minibert.nn import LayerNorm, Linear, Module, Parameter
from minibert.ops import IGNORE_INDEX
from minibert.outputs import LogitsOutput, PreTrainingOutput
from minibert.packing import ModelInputs, PackedBatch, integers


class NextSentence(IntEnum):
    """Labels of next-sentence prediction; index of the two logits."""

    IS_NEXT = 0
    NOT_NEXT = 1


class BertPredictionHeadTransform(Module):
    """Dense, activation and LayerNorm before the vocabulary."""

    def __init__(self, config: BertConfig) -> None:
        self.dense = Linear(config.hidden_size, config.hidden_size, std=config.initializer_range)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = config.activation

    def forward(self, x: Tensor) -> Tensor:
        """(M, H) to (M, H)."""
        return self.LayerNorm(dense_activation(x, self.dense, self.activation))


class BertLMPredictionHead(Module):
    """A score for every word of the vocabulary: the state's product with each word's embedding, and a bias.

    The decoder's weight is the word embeddings' (unless the configuration unties them): the same parameter, so its
    gradient is the sum of both uses.
    """

    def __init__(self, config: BertConfig, embeddings: Parameter) -> None:
        self.transform = BertPredictionHeadTransform(config)
        tied = embeddings if config.tie_word_embeddings else None
        self.decoder = Linear(config.hidden_size, config.vocab_size, std=config.initializer_range, weight=tied)
        self.bias = self.decoder.bias  # published checkpoints know it by both names

    def forward(self, x: Tensor) -> Tensor:
        """(M, H) to (M, V)."""
        return self.decoder(self.transform(x))

    def loss(self, x: Tensor, labels: Any) -> Tensor:
        """Mean cross-entropy of (M, H) with labels (M,), without ever holding all logits and their gradient."""
        if plain(BertLMPredictionHead, self) and plain(Linear, self.decoder) and own_ops("linear", "cross_entropy"):
            return ops.linear_cross_entropy(self.transform(x), self.decoder.weight, self.decoder.bias, labels)
        return ops.cross_entropy(self(x), labels)


class BertOnlyMLMHead(Module):
    """The masked-word head, under the name `cls.predictions`."""

    def __init__(self, config: BertConfig, embeddings: Parameter) -> None:
        self.predictions = BertLMPredictionHead(config, embeddings)


class BertOnlyNSPHead(Module):
    """The next-sentence head, under the name `cls.seq_relationship`."""

    def __init__(self, config: BertConfig) -> None:
        self.seq_relationship = Linear(config.hidden_size, 2, std=config.initializer_range)


class BertPreTrainingHeads(Module):
    """Both."""

    def __init__(self, config: BertConfig, embeddings: Parameter) -> None:
        self.predictions = BertLMPredictionHead(config, embeddings)
        self.seq_relationship = Linear(config.hidden_size, 2, std=config.initializer_range)


def _words(
    head: BertLMPredictionHead, encoded: Encoded, labels: Any, rows: Any, return_logits: bool
) -> tuple[Any, Any]:
    """The masked-word head on all rows, or on those asked for; and its loss, if there are labels."""
    batch = encoded.batch
    packed_labels = (
        None if labels is None else batch.pack(shaped(integers(labels, "labels"), (batch.B, batch.S), "labels"))
    )
    if not return_logits and packed_labels is None:
        raise ValueError("return_logits=False leaves only the loss, and that needs labels")
    chosen = _chosen_rows(batch, packed_labels, rows if return_logits else "labels")
    x = encoded.x if chosen is None else ops.take_rows(encoded.x, chosen)  # (M, H)
    asked = packed_labels if packed_labels is None or chosen is None else packed_labels[chosen]  # (M,)
    if not return_logits:
        return None, head.loss(x, asked)
    logits: Tensor = head(x)  # (M, V)
    if asked is None:
        return (batch.unpack(logits) if chosen is None else logits), None
    shown, logits = batch.shown(logits) if chosen is None else (logits, logits)
    return shown, ops.cross_entropy(logits, asked)


def _chosen_rows(batch: PackedBatch, packed_labels: np.ndarray | None, rows: Any) -> np.ndarray | None:
    """Numbers of the packed rows that `rows` asks for; None for all."""
    if rows is None:
        return None
    if isinstance(rows, str):
        if rows != "labels" or packed_labels is None:
            raise ValueError(f"rows is None, 'labels' (with labels given) or a boolean array (B, S); got {rows!r}")
        return np.flatnonzero(packed_labels != IGNORE_INDEX)
    wanted = np.asarray(rows)
    if wanted.dtype != bool or wanted.shape != (batch.B, batch.S):
        raise ValueError(f"rows must be boolean of shape {(batch.B, batch.S)}, got {wanted.dtype} {wanted.shape}")
    if wanted.sum() != batch.pack(wanted).sum():
        raise ValueError("rows asks for positions that attention_mask hides")
    return np.flatnonzero(batch.pack(wanted))


class BertForMaskedLM(BertPreTrainedModel):
    """BERT with the masked-word head. (BERT, section 3.1, task 1)"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = BertOnlyMLMHead(config, self.bert.embeddings.word_embeddings.weight)

    def forward(
        self,
        input_ids: Any = None,
        *,
        labels: Any = None,
        rows: Any = None,
        return_logits: bool = True,
        **inputs: Unpack[ModelInputs],
    ) -> LogitsOutput:
        """Scores for every word of the vocabulary.

        Args:
            input_ids, inputs: as for `BertModel`.
            labels: (B, S) the original word ids where a word was masked, -100 elsewhere.
            rows: which positions get logits: None for all, "labels" for those with a label, or a boolean array (B, S).
            return_logits: False in training: only the loss, which then takes the least time and memory.

        Returns:
            `LogitsOutput` with logits (B, S, V), or (M, V) for chosen rows in reading order.

        Raises:
            ValueError: as `BertModel`; labels or rows that do not fit.
        """
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        logits, loss = _words(self.cls.predictions, encoded, labels, rows, return_logits)
        return LogitsOutput(loss, logits, **encoded.extras)


class BertForNextSentencePrediction(BertPreTrainedModel):
    """BERT with the next-sentence head. (BERT, section 3.1, task 2)"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertOnlyNSPHead(config)

    def forward(self, input_ids: Any = None, *, labels: Any = None, **inputs: Unpack[ModelInputs]) -> LogitsOutput:
        """Does the second sentence follow the first?

        Args:
            input_ids, inputs: as for `BertModel`.
            labels: (B,) of `NextSentence`.

        Returns:
            `LogitsOutput` with logits (B, 2).

        Raises:
            ValueError: as `BertModel`; labels that do not fit.
        """
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        logits: Tensor = self.cls.seq_relationship(pool_for_head(self.bert, encoded))  # (B, 2)
        return LogitsOutput(sequence_loss(logits, labels), logits, **encoded.extras)


class BertForPreTraining(BertPreTrainedModel):
    """BERT with both pretraining heads; the loss is the sum of both. (BERT, appendix A.2)"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.cls = BertPreTrainingHeads(config, self.bert.embeddings.word_embeddings.weight)

    def forward(
        self,
        input_ids: Any = None,
        *,
        labels: Any = None,
        next_sentence_label: Any = None,
        rows: Any = None,
        return_logits: bool = True,
        **inputs: Unpack[ModelInputs],
    ) -> PreTrainingOutput:
        """Both tasks at once.

        Args:
            input_ids, inputs: as for `BertModel`.
            labels, rows, return_logits: as for `BertForMaskedLM`.
            next_sentence_label: (B,) of `NextSentence`.

        Returns:
            `PreTrainingOutput`.

        Raises:
            ValueError: as `BertModel`; labels or rows that do not fit.
        """
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        words, mlm_loss = _words(self.cls.predictions, encoded, labels, rows, return_logits)
        relation: Tensor = self.cls.seq_relationship(pool_for_head(self.bert, encoded))  # (B, 2)
        nsp_loss = sequence_loss(relation, next_sentence_label)
        losses = [loss for loss in (mlm_loss, nsp_loss) if loss is not None]
        total: Any = losses[0] + losses[1] if len(losses) == 2 else losses[0] if losses else None
        return PreTrainingOutput(total, words, relation, **encoded.extras)
