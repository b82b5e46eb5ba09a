"""Checks of the single values of a `BertConfig`: (name, value) -> the value as it is kept, or a ValueError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minibert.activations import ACTIVATIONS
from minibert.number_like import as_float, as_int, is_float, shown

__all__ = ["CHECKS", "MOST", "OUTPUTS", "by_number", "numbered"]

OUTPUTS = {"output_hidden_states": False, "output_attentions": False, "return_dict": True}
"""What a call returns, and what is usual."""

MOST = {"num_hidden_layers": 4096, "num_labels": 2**22}
"""Far above any BERT: a damaged file must not make a million layers or a billion names."""

_PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
# Settings of transformers that would change what the model computes, with the values that do not.
_ONLY = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


def numbered(number: int) -> dict[int, str]:
    """Names for labels that have none: LABEL_0, LABEL_1, ..."""
    return {i: f"LABEL_{i}" for i in range(number)}


def by_number(labels: Any, setting: str) -> dict[int, str]:
    """Names by the numbers 0, 1, ...; config.json can have only strings as keys.

    Raises:
        ValueError: not numbers to names, or the numbers leave gaps, so that an answer of the model had no name.
    """
    try:
        named = {_number(i): str(label) for i, label in labels.items()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ValueError(f"{setting} must map numbers to names, got {shown(labels)}") from None
    if len(named) != len(labels):
        raise ValueError(f"{setting} gives one number twice: {shown(dict(labels))}")
    if not named or named.keys() != set(range(len(named))):
        raise ValueError(
            f"{setting} must name the labels 0 to {max(len(named), 1) - 1}, got the numbers {list(named)[:8]}"
        )
    return dict(sorted(named.items()))


def _number(key: Any) -> int:
    """A key of id2label: an integer, also as JSON or a table of floats writes it. ValueError for a fraction."""
    number = int(key)
    if not isinstance(key, str) and number != key:
        raise ValueError
    return number


def _size(name: str, value: Any) -> int:
    return as_int(name, value, least=1, most=MOST.get(name, 2**31 - 1))


def _optional_int(name: str, value: Any) -> int | None:
    return None if value is None else as_int(name, value)


def _probability(name: str, value: Any) -> float:
    if not is_float(value) or not 0.0 <= value < 1.0:
        raise ValueError(f"{name} must lie in [0, 1), got {shown(value)}")
    return float(value)


def _optional_probability(name: str, value: Any) -> float | None:
    return None if value is None else _probability(name, value)


def _not_negative(name: str, value: Any) -> float:
    return as_float(name, value, least=0)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be true or false, got {shown(value)}")
    return bool(value)


def _activation(name: str, value: Any) -> str:
    return _one_of(name, value, ACTIVATIONS)


def _problem(name: str, value: Any) -> str | None:
    return None if value is None else _one_of(name, value, _PROBLEM_TYPES)


def _one_of(name: str, value: Any, known: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {shown(value)}; expected one of {', '.join(known)}")
    return value


def _extra(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must map names to values, got {shown(value)}")
    for setting, harmless in _ONLY.items():
        if setting in value and value[setting] not in harmless:
            raise ValueError(
                f"{setting} is {shown(value[setting])}, and only {harmless[0]!r} is built: minibert's BERT is an "
                "encoder with absolute positions, no decoder"
            )
    return dict(value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(
        ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "max_position_embeddings", "type_vocab_size"), _size),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), _probability),
    **dict.fromkeys(("initializer_range", "layer_norm_eps"), _not_negative),
    **dict.fromkeys(("tie_word_embeddings", *OUTPUTS), _flag),
    "classifier_dropout": _optional_probability,
    "pad_token_id": _optional_int,
    "hidden_act": _activation,
    "problem_type": _problem,
    "id2label": lambda name, value: by_number(value, name),
    "extra": _extra,
}  # fmt: skip
