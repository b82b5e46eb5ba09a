"""What models return: named results that answer to `out.logits`, `out["logits"]` and `out[0]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from minibert.autograd import Tensor


@dataclass
class ModelOutput:
    """Base of all outputs. Fields that were not computed are None and do not count among keys and indices.

    The types of `loss` and of logits are those of a call that asks for them: without labels there is no loss, and it is
    None. So a training script needs no assertion before `out.loss.backward()`.
    """

    def keys(self) -> list[str]:
        """Names of the fields that are there."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]

    def values(self) -> list[Any]:
        """The fields that are there."""
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Names and fields that are there."""
        return [(name, getattr(self, name)) for name in self.keys()]

    def to_tuple(self) -> tuple[Any, ...]:
        """The fields that are there, in order."""
        return tuple(self.values())

    def get(self, key: str, default: Any = None) -> Any:
        """The field of that name, or `default` if it is not there."""
        return getattr(self, key) if key in self else default

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(f"{key!r} is not in this output; it has {', '.join(self.keys())}")
        return getattr(self, key)

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[Any]:  # names; with return_dict=False, for type checkers, the values of a tuple
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class BertModelOutput(ModelOutput):
    """Output of `BertModel`.

    Attributes:
        last_hidden_state: (B, S, H); pads are zero.
        pooler_output: (B, H); None if the model has no pooler.
        hidden_states: embeddings and every layer's output, each (B, S, H), if asked for.
        attentions: every layer's attention map, each (B, N, S, S), if asked for; no gradient runs through them.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class LogitsOutput(ModelOutput):
    """Output of the models with one head.

    Attributes:
        loss: a single number, if labels were given.
        logits: (B, S, V) or (M, V) for masked words, (B, 2) for the next sentence, (B, labels) for a sequence,
            (B, S, labels) for tokens, (B, choices) for multiple choice; None if only the loss was wanted
            (return_logits=False).
        hidden_states, attentions: as in `BertModelOutput`.
    """

    loss: Tensor
    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class PreTrainingOutput(ModelOutput):
    """Output of `BertForPreTraining`.

    Attributes:
        loss: the sum of the masked-language-model and the next-sentence loss, of those whose labels were given.
        prediction_logits: (B, S, V), or (M, V) for chosen rows; None if only the loss was wanted
            (return_logits=False).
        seq_relationship_logits: (B, 2); index 0 means "is next".
    """

    loss: Tensor
    prediction_logits: Tensor
    seq_relationship_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class QuestionAnsweringOutput(ModelOutput):
    """Output of `BertForQuestionAnswering`.

    Attributes:
        loss: mean of the losses of start and end, if both were given.
        start_logits, end_logits: (B, S); at pads the lowest number of the dtype, so that no answer begins or ends
            there.
    """

    loss: Tensor
    start_logits: Tensor
    end_logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
