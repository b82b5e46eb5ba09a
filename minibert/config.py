"""The numbers that say which BERT: sizes, probabilities, labels.

Names and defaults are those of published config.json files.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minibert.autograd import Tensor
from minibert.ops import gelu, relu, tanh


def gelu_tanh(x: Tensor) -> Tensor:
    """The GELU's approximation with tanh; a function with a name, so that a model that holds it can be pickled."""
    return gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
    "tanh": tanh,
}
"""`hidden_act` by name. "gelu" is the exact one, with erf."""

_OUTPUTS = {"output_hidden_states": False, "output_attentions": False, "return_dict": True}
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
        num_labels: how many labels a classification head has; if 0, as many as `id2label` names, or 2.
        id2label: their names, by the numbers 0 to num_labels - 1; LABEL_0, LABEL_1, ... if there are not as many.
        problem_type: which loss `BertForSequenceClassification` takes; worked out from the labels if None.
        output_hidden_states, output_attentions, return_dict: what a call of the model that does not say so itself
            returns: these too, and an output object (or a tuple, if False).
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
    num_labels: int = 0
    id2label: dict[int, str] = field(default_factory=dict)
    problem_type: str | None = None
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id2label = _by_number(self.id2label)
        if self.num_labels == 0:
            self.num_labels = len(self.id2label) or 2
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
        merged["id2label"] = labels
        own = {name: value for name, value in merged.items() if name in known}
        made_here = known | {"label2id", "model_type"}
        extra = {name: value for name, value in values.items() if name not in made_here}
        return cls(**own, extra=extra)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        local_files_only: bool = False,
        **overrides: Any,
    ) -> BertConfig:
        """The configuration of a published model, from a folder or by its name on the hub.

        Args:
            name_or_folder, revision, cache_dir, local_files_only: see `minibert.checkpoint.resolve`.
            overrides: replace single values.

        Raises:
            ValueError: nothing there, not readable, not a BERT's, or as `from_dict`.
        """
        from minibert.checkpoint import CONFIG_FILES, read_config, resolve

        where = {"revision": revision, "cache_dir": cache_dir, "local_files_only": local_files_only}
        return cls.from_dict(read_config(resolve(name_or_folder, files=CONFIG_FILES, **where)), **overrides)  # type: ignore[arg-type]

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json into `folder`, which is made if it does not exist.

        Raises:
            ValueError: the folder cannot be written.
        """
        from minibert.checkpoint import write_config

        write_config(folder, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The contents of a config.json: the fields, and what came along in `extra`."""
        values = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("extra", "num_labels")
        }
        values["id2label"] = {str(i): label for i, label in self.id2label.items()}
        values["label2id"] = self.label2id
        for name, usual in _OUTPUTS.items():
            if values[name] == usual:
                del values[name]  # published files name them only where they are unusual
        return {**self.extra, **values, "model_type": "bert"}

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The function that `hidden_act` names."""
        return ACTIVATIONS[self.hidden_act]

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
        if self.hidden_act not in list(ACTIVATIONS):  # a list, since a wrong value may be one that cannot be a key
            raise ValueError(f"unknown hidden_act {self.hidden_act!r}; expected one of {', '.join(ACTIVATIONS)}")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            value = getattr(self, name)
            if name == "classifier_dropout" and value is None:
                continue
            if not isinstance(value, (int, float)) or not 0.0 <= value < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < math.inf:
                raise ValueError(f"{name} must be a finite number, 0 or more, got {value!r}")
        for name in ("tie_word_embeddings", *_OUTPUTS):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if self.problem_type not in _PROBLEM_TYPES:
            raise ValueError(f"unknown problem_type {self.problem_type!r}; expected one of {_PROBLEM_TYPES}")
        if self.extra.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError(
                f"position_embedding_type {self.extra['position_embedding_type']!r}: only 'absolute' is built"
            )
        if self.extra.get("is_decoder") or self.extra.get("add_cross_attention"):
            raise ValueError("is_decoder / add_cross_attention: BERT is an encoder, decoders are not built")


def _by_number(labels: Any) -> dict[int, str]:
    """Names by the numbers 0, 1, ...; config.json can have only strings as keys.

    Raises:
        ValueError: not numbers to names, or the numbers leave gaps, so that an answer of the model had no name.
    """
    try:
        named = {int(i): str(label) for i, label in labels.items()}
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"id2label must map numbers to names, got {labels!r}") from None
    if named.keys() != set(range(len(named))):
        raise ValueError(f"id2label must name the labels 0 to {len(named) - 1}, got the numbers {list(named)[:8]}")
    return named
