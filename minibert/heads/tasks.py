"""The fine-tuning heads. (BERT, figure 4)"""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minibert import backend, ops
from minibert.autograd import Tensor
from minibert.bert import BertModel, BertPreTrainedModel, encode_for_head, pool_for_head
from minibert.config import BertConfig
from minibert.heads.labels import check_label_count, numbers, sequence_loss, shaped
from minibert.nn import Dropout, Linear
from minibert.ops import IGNORE_INDEX
from minibert.outputs import LogitsOutput, QuestionAnsweringOutput
from minibert.packing import ModelInputs, PackedBatch, integers


def _classifier_dropout(config: BertConfig) -> Dropout:
    p = config.classifier_dropout
    return Dropout(config.hidden_dropout_prob if p is None else p)


class BertForSequenceClassification(BertPreTrainedModel):
    """BERT with a classifier on the pooled state: classes, numbers, or several labels at once."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(config)
        self.classifier = Linear(config.hidden_size, config.num_labels, std=config.initializer_range)

    def forward(self, input_ids: Any = None, *, labels: Any = None, **inputs: Unpack[ModelInputs]) -> LogitsOutput:
        """A score for each label.

        Args:
            input_ids, inputs: as for `BertModel`.
            labels: (B,) class numbers: cross-entropy; (B,) or (B, num_labels) real numbers with problem_type
                "regression" or num_labels 1: mean squared error; (B, num_labels) of 0.0 and 1.0: multi-label.

        Returns:
            `LogitsOutput` with logits (B, num_labels).

        Raises:
            ValueError: as `BertModel`; labels that do not fit.
        """
        check_label_count(self.config, self.classifier)
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        logits: Tensor = self.classifier(self.dropout(pool_for_head(self.bert, encoded)))  # (B, num_labels)
        return LogitsOutput(self._loss(logits, labels), logits, **encoded.extras)

    def _loss(self, logits: Tensor, labels: Any) -> Any:
        if labels is None:
            return None
        y = numbers(labels, "labels")
        K = logits.shape[1]
        problem = self.config.problem_type or _infer_problem(y, logits.shape)
        if problem == "single_label_classification":
            if K == 1:
                raise ValueError(
                    "the cross-entropy of a single label is 0 whatever the weights are; with num_labels 1 set "
                    'problem_type to "regression" or "multi_label_classification", or use num_labels=2'
                )
            return sequence_loss(logits, y.astype(np.int64) if y.dtype.kind == "b" else y)
        if problem == "multi_label_classification":
            y = shaped(y, logits.shape, "labels (real numbers mean several labels at once)")
            if not ((y >= 0) & (y <= 1)).all():
                raise ValueError("labels of several classes at once must lie in 0..1, 1 where a label applies")
            return ops.binary_cross_entropy(logits, y.astype(str(logits.dtype)))
        if not np.isfinite(y).all():
            raise ValueError("labels of a regression must be finite numbers")
        difference = logits - Tensor(
            shaped(y.reshape(-1), (logits.size,), "labels").reshape(logits.shape), dtype=logits.dtype
        )
        return (difference * difference).mean()


def _infer_problem(y: np.ndarray, shape: tuple[int, ...]) -> str:
    """The problem that labels `y` for logits of this shape, (B, K), stand for."""
    if shape[1] == 1:
        return "regression"
    numbered = y.dtype.kind in "iu" or (y.dtype.kind == "b" and y.shape != shape)
    return "single_label_classification" if numbered else "multi_label_classification"


class BertForTokenClassification(BertPreTrainedModel):
    """BERT with a classifier on every token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.dropout = _classifier_dropout(config)
        self.classifier = Linear(config.hidden_size, config.num_labels, std=config.initializer_range)

    def forward(self, input_ids: Any = None, *, labels: Any = None, **inputs: Unpack[ModelInputs]) -> LogitsOutput:
        """A score for each label at each token.

        Args:
            input_ids, inputs: as for `BertModel`.
            labels: (B, S) class numbers, -100 where nothing is asked.

        Returns:
            `LogitsOutput` with logits (B, S, num_labels), zero at pads.

        Raises:
            ValueError: as `BertModel`; labels that do not fit.
        """
        check_label_count(self.config, self.classifier)
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        batch = encoded.batch
        padded, logits = batch.shown(self.classifier(self.dropout(encoded.x)))  # (B, S, num_labels), (T, num_labels)
        loss: Any = None
        if labels is not None:
            loss = ops.cross_entropy(
                logits, batch.pack(shaped(integers(labels, "labels"), (batch.B, batch.S), "labels"))
            )
        return LogitsOutput(loss, padded, **encoded.extras)


class BertForQuestionAnswering(BertPreTrainedModel):
    """BERT with two scores at every token: does the answer begin here, does it end here. (BERT, section 4.2)"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = Linear(config.hidden_size, 2, std=config.initializer_range)

    def forward(
        self,
        input_ids: Any = None,
        *,
        start_positions: Any = None,
        end_positions: Any = None,
        **inputs: Unpack[ModelInputs],
    ) -> QuestionAnsweringOutput:
        """Scores for the answer's first and last token.

        Args:
            input_ids, inputs: as for `BertModel`.
            start_positions, end_positions: (B,) positions 0..S-1; others (an answer outside the window) do not count.

        Returns:
            `QuestionAnsweringOutput`.

        Raises:
            ValueError: as `BertModel`; positions that do not fit, or at a pad.
        """
        encoded = encode_for_head(self.bert, input_ids, **inputs)
        batch = encoded.batch
        logits: Tensor = self.qa_outputs(encoded.x)  # (T, 2)
        padded = batch.unpack(logits) + _lowest_at_pads(batch, logits)  # (B, S, 2)
        start, end = padded[:, :, 0], padded[:, :, 1]  # (B, S)
        loss: Any = None
        if start_positions is not None and end_positions is not None:
            first = _positions(start_positions, batch, "start_positions")
            last = _positions(end_positions, batch, "end_positions")
            loss = (ops.cross_entropy(start, first) + ops.cross_entropy(end, last)) / 2.0
        return QuestionAnsweringOutput(loss, start, end, **encoded.extras)


class BertForMultipleChoice(BertPreTrainedModel):
    """BERT with one score for each of several choices. (BERT, section 4.4)"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.dropout = _classifier_dropout(config)
        self.classifier = Linear(config.hidden_size, 1, std=config.initializer_range)

    def forward(self, input_ids: Any = None, *, labels: Any = None, **inputs: Unpack[ModelInputs]) -> LogitsOutput:
        """A score for each choice.

        Args:
            input_ids, inputs: as for `BertModel`, with an axis of choices: (B, C, S).
            labels: (B,) the right choice, 0..C-1.

        Returns:
            `LogitsOutput` with logits (B, C).

        Raises:
            ValueError: as `BertModel`; shapes without an axis of choices, labels that do not fit.
        """
        lead: Any = input_ids if input_ids is not None else inputs.get("inputs_embeds")
        shape = np.shape(lead.data if isinstance(lead, Tensor) else lead)
        if len(shape) != (3 if input_ids is not None else 4):
            raise ValueError(f"multiple choice needs input_ids (B, C, S), got shape {shape}")
        B, C = shape[:2]
        flat = {name: value if isinstance(value, bool) else _merge_choices(value) for name, value in inputs.items()}
        encoded = encode_for_head(self.bert, _merge_choices(input_ids), **flat)
        logits: Tensor = self.classifier(self.dropout(pool_for_head(self.bert, encoded))).reshape(B, C)  # from (B C, 1)
        return LogitsOutput(sequence_loss(logits, labels), logits, **encoded.extras)


def _merge_choices(x: Any) -> Any:
    """(B, C, ...) to (B C, ...)."""
    if x is None:
        return None
    if isinstance(x, Tensor):
        return x.reshape(-1, *x.shape[2:])
    array = np.asarray(x)
    return array.reshape(-1, *array.shape[2:]) if array.ndim > 2 else array


def _lowest_at_pads(batch: PackedBatch, logits: Tensor) -> Tensor:
    """(B, S, 1): zero at tokens, the dtype's lowest number at pads."""
    dtype = str(logits.dtype)
    lowest = np.full((batch.B * batch.S, 1), np.finfo(dtype).min, dtype)
    lowest[batch.places] = 0.0
    return Tensor(backend.asarray(lowest.reshape(batch.B, batch.S, 1), like=logits.data))


def _positions(x: Any, batch: PackedBatch, name: str) -> np.ndarray:
    """(B,) positions; those outside the window become `IGNORE_INDEX`."""
    y = shaped(integers(x, name).reshape(-1), (batch.B,), name)
    inside = (y >= 0) & (y < batch.S)
    at_pad = inside & ~np.isin(np.arange(batch.B) * batch.S + y, batch.places)
    if at_pad.any():
        raise ValueError(
            f"{name} points at a position that attention_mask hides, in row {int(np.flatnonzero(at_pad)[0])}"
        )
    return np.where(inside, y, IGNORE_INDEX)
