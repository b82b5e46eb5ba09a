"""The options of a call: what every pipeline takes, and what is said about an option that a pipeline does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minibert.number_like import as_int
from minibert.options import unknown_option

__all__ = ["Options", "option_error", "without_unset"]

# The pipeline decides on these itself.
_NOT_FOR_THE_TOKENIZER = ("return_tensors", "return_overflowing_tokens", "is_split_into_words")

_ERRORS = ("raise", "return")

# Names from other libraries and older versions of them, with what does the same here.
_ELSEWHERE = {
    "topk": "it is called top_k",
    "grouped_entities": 'use aggregation_strategy="simple"',
    "ignore_subwords": 'use aggregation_strategy="first"',
    "max_question_len": "questions are never cut; shorten them before",
    "candidate_labels": "zero-shot classification is not a task of minibert",
    "device": "where to compute is decided when the pipeline is made: pipeline(..., device=...)",
    "dtype": "the precision is decided when the pipeline is made: pipeline(..., dtype=...)",
    "feature_extractor": "it is for sound and images; minibert reads text",
    "image_processor": "it is for images; minibert reads text",
    "processor": "it is for sound and images; minibert reads text",
    "pipeline_class": "call that class itself: PipelineClass(model, tokenizer)",
    "device_map": "a model runs on one device; use device='cpu' or device='cuda'",
    "use_auth_token": "use token=...",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every pipeline has, when it is made and when it is called.

    Attributes:
        tokenizer_kwargs, tokenize_kwargs: more arguments for the tokenizer (two names for one thing).
        truncation, max_length, padding: the tokenizer's, spelled out because they are asked for most.
        batch_size: the most rows that run through the model at once.
        num_workers: accepted as other libraries have it, an integer of at least 0; changes nothing, as texts are
            tokenized in the calling process.
        errors: "raise": an input that cannot be answered raises its PipelineException; "return": the exception stands
            in the place of the answer, and the other inputs are answered.
        show_progress: a progress bar on stderr; None: if it is a terminal and there are many rows.
    """

    tokenizer_kwargs: Mapping[str, Any] | None = None
    tokenize_kwargs: Mapping[str, Any] | None = None
    truncation: bool | str | None = None
    max_length: int | None = None
    padding: bool | str | None = None
    batch_size: int = 32
    num_workers: int | None = None
    errors: str = "raise"
    show_progress: bool | None = None

    def __post_init__(self) -> None:
        self.settle("batch_size", "max_length", least=1)
        self.settle("num_workers", least=0)
        if self.errors not in _ERRORS:
            raise ValueError(f"errors must be 'raise' or 'return', got {self.errors!r}")
        given = {**(self.tokenizer_kwargs or {}), **(self.tokenize_kwargs or {})}
        for name, value in self._spelled_out().items():
            if value is not None and name in given:
                raise ValueError(f"{name} is given twice: by itself and in tokenizer_kwargs; give it once")
        for name in _NOT_FOR_THE_TOKENIZER:
            if name in given:
                raise ValueError(f"tokenizer_kwargs cannot hold {name}: the pipeline decides on it")

    def settle(self, *names: str, least: int) -> None:
        """Turn these fields into Python integers, where they are not None.

        Raises:
            ValueError: one is not an integer of at least `least`.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_int(name, value, least=least))

    def _spelled_out(self) -> dict[str, Any]:
        return {"truncation": self.truncation, "max_length": self.max_length, "padding": self.padding}

    def for_tokenizer(self) -> dict[str, Any]:
        """The arguments of the tokenizer that the options name."""
        given = {**(self.tokenizer_kwargs or {}), **(self.tokenize_kwargs or {})}
        return given | {name: value for name, value in self._spelled_out().items() if value is not None}


def without_unset(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` without those of other libraries that are None, which is to say not given."""
    return {name: value for name, value in options.items() if value is not None or name not in _ELSEWHERE}


def option_error(task: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for an option that a task does not have: what does the same here, or which one may be meant."""
    if name in _ELSEWHERE:
        return ValueError(f"{task} has no option {name!r}; {_ELSEWHERE[name]}")
    return ValueError(unknown_option(task, name, known))
