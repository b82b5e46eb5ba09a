"""The numbers that say which BERT: sizes, probabilities, labels. Names and defaults are those of published
config.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minibert.autograd import Tensor
from minibert.ops import gelu, relu, tanh

ACTIVATIONS = {
    "gelu": gelu,
    "gelu_new": lambda x: gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: gelu(x, approximate="tanh"),
    "relu": relu,
    "tanh": tanh,
}
"""`hidden_act` by name. "gelu" is the exact one, with erf."""

_PROBLEM_TYPES = (None, "regression", "single_label_classification", "multi_label_classification")


@dataclass(kw_only=True)
class BertConfig:
    """Sizes and settings of a BERT; the defaults are bert-base-uncased's, as in the published configurations.

    Attributes:
        vocab_size: V.
        hidden_size: H.
        num_hidden_layers: number of encoder layers.
        num_attention_heads: N; must divide H.
        intermediate_size: F, the width inside the feed-forward part.
        hidden_act: a key of `ACTIVATIONS`.
        max_position_embeddings: the longest sequence.
        num_labels: how many labels a classification head has; follows `id2label` when only that is given.
        problem_type: which loss `BertForSequenceClassification` takes; worked out from the labels if None.
        extra: keys of a config.json that mean nothing here; kept, and written back.

    Raises:
        ValueError: values that no BERT can have, or that this library does not build.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    classifier_dropout: float | None = None
    tie_word_embeddings: bool = True
    num_labels: int = 2
    id2label: dict[int, str] = field(default_factory=dict)
    problem_type: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check()
        if len(self.id2label) != self.num_labels:  # num_labels wins: it is what the weights were made with
            self.id2label = {i: f"LABEL_{i}" for i in range(self.num_labels)}

    @property
    def label2id(self) -> dict[str, int]:
        """Label numbers by name."""
        return {label: i for i, label in self.id2label.items()}

    @property
    def head_size(self) -> int:
        """D = H / N."""
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> BertConfig:
        """A configuration from the contents of a config.json; `overrides` replace single values.

        Raises:
            ValueError: an override that is no field, or a value that is not possible.
        """
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        if unknown := sorted(overrides.keys() - known):
            raise ValueError(
                f"unknown configuration value {', '.join(unknown)}; BertConfig knows {', '.join(sorted(known))}"
            )
        if (kind := values.get("model_type", "bert")) != "bert":
            raise ValueError(f"this is a configuration of a {kind!r} model, not of a BERT")
        merged = {**values, **overrides}
        labels = merged.get("id2label") or {}
        if "num_labels" in overrides and "id2label" not in overrides and len(labels) != overrides["num_labels"]:
            labels = {}
        try:
            merged["id2label"] = {int(i): str(label) for i, label in labels.items()}
        except (AttributeError, ValueError):
            raise ValueError(f"id2label must map numbers to names, got {labels!r}") from None
        if "num_labels" not in merged and labels:
            merged["num_labels"] = len(labels)
        own = {name: value for name, value in merged.items() if name in known}
        made_here = known | {"label2id", "model_type"}
        extra = {name: value for name, value in values.items() if name not in made_here}
        return cls(**own, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """The contents of a config.json: the fields, and what came along in `extra`."""
        values = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("extra", "num_labels")
        }
        values["id2label"] = {str(i): label for i, label in self.id2label.items()}
        values["label2id"] = self.label2id
        return {**self.extra, **values, "model_type": "bert"}

    def activation(self, x: Tensor) -> Tensor:
        """`hidden_act` of x."""
        return ACTIVATIONS[self.hidden_act](x)

    def _check(self) -> None:
        for name in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                     "max_position_embeddings", "type_vocab_size", "num_labels"):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(f"unknown hidden_act {self.hidden_act!r}; expected one of {', '.join(ACTIVATIONS)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            if name == "classifier_dropout" and value is None:
                continue
            if not isinstance(value, (int, float)) or not 0.0 <= value < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
        if self.problem_type not in _PROBLEM_TYPES:
            raise ValueError(f"unknown problem_type {self.problem_type!r}; expected one of {_PROBLEM_TYPES}")
        if self.extra.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(
                f"position_embedding_type {self.extra['position_embedding_type']!r}: only 'absolute' is built"
            )
        if self.extra.get("is_decoder") or self.extra.get("add_cross_attention"):
            raise ValueError("is_decoder / add_cross_attention: BERT is an encoder, decoders are not built")
