"""next-sentence: does the second text follow the first? (BERT, section 3.1, task 2)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

from minibert.heads import NextSentence
from minibert.pipelines.answers import FollowsOrNot
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.pairs import text_and_pair
from minibert.pipelines.scores import softmax

__all__ = ["NextSentencePipeline"]


class NextSentencePipeline(Pipeline):
    """Whether texts follow one another.

    Called with a pair, ("It rains.", "Take an umbrella.") or {"text": ..., "text_pair": ...}, it gives {"label",
    "score", "is_next", "not_next"}: "IS_NEXT" or "NOT_NEXT", its probability, and both probabilities.
    A list of pairs gives a list of these.
    """

    task = "next-sentence"
    architectures = ("BertForNextSentencePrediction", "BertForPreTraining")
    pairs = True

    @overload
    def __call__(self, inputs: tuple[str, str] | Mapping[str, str], **options: Any) -> FollowsOrNot: ...
    @overload
    def __call__(
        self, inputs: list[tuple[str, str]] | list[dict[str, str]], **options: Any
    ) -> list[FollowsOrNot]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """See the class. Raises PipelineException for what is no pair, ValueError for options that cannot be."""
        return super().__call__(inputs, **options)

    def prepare(self, item: Any, options: Options) -> list[Row]:
        """One row of two texts."""
        text, pair = text_and_pair(item)
        if pair is None:
            raise ValueError('expected a pair of texts: (first, second) or {"text": first, "text_pair": second}')
        return [self.encode(text, pair, options=options)]

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: Options) -> np.ndarray:
        """(B, 2)."""
        if hasattr(self.model, "cls") and hasattr(self.model.cls, "predictions"):
            # Without rows the MLM head would score the vocabulary at every token, for nothing.
            out = self.model(**inputs, rows=np.zeros(inputs["input_ids"].shape, bool), return_dict=True)
            return softmax(out.seq_relationship_logits.numpy())
        return softmax(self.model(**inputs, return_dict=True).logits.numpy())

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: Options) -> FollowsOrNot:
        """The likelier answer, and both probabilities."""
        scores = kept[0].tolist()
        likely = NextSentence(int(np.argmax(scores)))
        return {
            "label": likely.name,
            "score": scores[likely],
            "is_next": scores[NextSentence.IS_NEXT],
            "not_next": scores[NextSentence.NOT_NEXT],
        }
