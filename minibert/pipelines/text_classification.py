"""text-classification: a label for a text or a pair of texts. (BERT, figure 4 a and b)"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from minibert.pipelines.answers import LabelScore
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.pairs import text_and_pair
from minibert.pipelines.scores import sigmoid, softmax

__all__ = ["TextClassificationPipeline"]

FUNCTIONS = (None, "default", "sigmoid", "softmax", "none")
NOT_GIVEN = ""
"""`top_k=None` means all labels, so that it cannot also mean "not given"."""


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions(Options):
    """Options of text-classification.

    Attributes:
        top_k: how many labels, best first; None for all.
        function_to_apply: "softmax", "sigmoid" or "none" on the logits. By default none for a regression, sigmoid for
            a model with several labels at once or only one, else softmax.
    """

    top_k: int | str | None = NOT_GIVEN
    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.top_k, str) or self.top_k != NOT_GIVEN:
            self.settle("top_k", least=1)
        if self.function_to_apply is not None and str(self.function_to_apply).lower() not in FUNCTIONS:
            raise ValueError(
                f"unknown function_to_apply {self.function_to_apply!r}; expected 'softmax', 'sigmoid' or 'none'"
            )


class TextClassificationPipeline(Pipeline):
    """Labels for texts, or for pairs given as tuples or {"text": ..., "text_pair": ...}.

    Without `top_k`: a text gives [{"label", "score"}], a pair {"label", "score"}, a list of them a list of
    {"label", "score"}. With `top_k` in the call, each input gives a list of them, best first. (These are the forms of
    the Hugging Face pipeline, with its oddity: `top_k` given when the pipeline is made puts the answer to a single
    text into a list of its own.)
    """

    task = "text-classification"
    architectures = ("BertForSequenceClassification",)
    option_type = ClassificationOptions
    pairs = True
    keeps_none = frozenset({"top_k"})

    @overload
    def __call__(self, inputs: list[str], *, top_k: int | None, **options: Any) -> list[list[LabelScore]]: ...
    @overload
    def __call__(self, inputs: str | list[str], **options: Any) -> list[LabelScore]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """See the class. Raises PipelineException for what is no text or pair, ValueError for impossible options."""
        answer = super().__call__(inputs, **options)
        return [answer] if isinstance(inputs, str) and "top_k" not in options else answer

    def _given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`return_all_scores` is the former name of `top_k=None`."""
        if "return_all_scores" not in options:
            return super()._given(options)
        warnings.warn("return_all_scores is deprecated: use top_k=None", DeprecationWarning, stacklevel=5)
        others = {name: value for name, value in options.items() if name != "return_all_scores"}
        return super()._given({"top_k": None, **others} if options["return_all_scores"] else others)

    @classmethod
    def option_names(cls) -> list[str]:
        """Names of the options that the task has."""
        return [*super().option_names(), "return_all_scores"]

    def prepare(self, item: Any, options: ClassificationOptions) -> list[Row]:
        """One row."""
        text, pair = text_and_pair(item)
        return [self.encode(text, pair, options=options)]

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: ClassificationOptions) -> np.ndarray:
        """(B, labels)."""
        logits = self.model(**inputs, return_dict=True).logits.numpy()  # (B, labels)
        function = self._function(options)
        return softmax(logits) if function == "softmax" else sigmoid(logits) if function == "sigmoid" else logits

    def _function(self, options: ClassificationOptions) -> str:
        asked = (options.function_to_apply or "default").lower()
        if asked != "default":
            return asked
        config = self.model.config
        if config.problem_type == "regression":
            return "none"
        return "sigmoid" if config.problem_type == "multi_label_classification" or config.num_labels == 1 else "softmax"

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: ClassificationOptions) -> Any:
        """The best label, or the best few."""
        names, scores = self.model.config.id2label, kept[0].tolist()
        ranked = [{"label": names[i], "score": scores[i]} for i in np.argsort(-kept[0], kind="stable").tolist()]
        return (
            ranked[0] if options.top_k == NOT_GIVEN else ranked[: None if options.top_k is None else int(options.top_k)]
        )
