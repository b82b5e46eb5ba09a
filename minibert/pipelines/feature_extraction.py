"""feature-extraction: the vectors that the encoder makes of texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from minibert.bert import BertModel
from minibert.pipelines.base import Options, Pipeline
from minibert.pipelines.batching import Row
from minibert.pipelines.pooling import pool, pooling_modes, unit_length

__all__ = ["FeatureExtractionPipeline"]

@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """Options of feature-extraction.

    Attributes:
        return_tensors: arrays instead of lists: True, or "np".
        pool: one vector for a text instead of one for each token: one of `minibert.pipelines.pooling.POOLINGS`, such as
            "cls" or "mean", or several of them, which are concatenated. Pads never count.
        skip_tokens: how many tokens at the beginning are excluded from the pool.
        normalize: scale each vector to length one, so that a dot product is a cosine.
    """

    return_tensors: bool | str = False
    pool: str | Sequence[str] | None = None
    skip_tokens: int = 0
    normalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settle("skip_tokens", least=0)
        if self.return_tensors not in (True, False, "np"):
            raise ValueError(f"return_tensors must be True, False or 'np', got {self.return_tensors!r}")
        pooled = self.pool is not None and self.pool != "none"
        object.__setattr__(self, "pool", pooling_modes(self.pool) if pooled and self.pool is not None else None)


class FeatureExtractionPipeline(Pipeline):
    """Last hidden states of texts.

    Called with a text, it gives (1, S, H) as nested lists, or as an array with `return_tensors`; with `pool`, (H,).
    A list of texts gives a list of these. Of a model with a head the encoder is used.
    """

    task = "feature-extraction"
    architectures = ("BertPreTrainedModel",)
    option_type = FeatureOptions

    # Typed as without `pool`.
    @overload
    def __call__(self, inputs: str, *, return_tensors: Literal[True], **options: Any) -> np.ndarray: ...
    @overload
    def __call__(self, inputs: list[str], *, return_tensors: Literal[True], **options: Any) -> list[np.ndarray]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """See the class. Raises PipelineException for what is no text, ValueError for options that cannot be."""
        return super().__call__(inputs, **options)

    def prepare(self, item: Any, options: FeatureOptions) -> list[Row]:
        """One row."""
        return [self.encode(item, options=options)]

    def forward(self, inputs: dict[str, np.ndarray], rows: Sequence[Row], options: FeatureOptions) -> list[np.ndarray]:
        """(S, H) of each row, or (H,) if pooled."""
        encoder = self.model if isinstance(self.model, BertModel) else self.model.bert  # type: ignore[attr-defined]
        hidden = encoder(**inputs, return_dict=True).last_hidden_state.numpy()  # (B, S, H)
        return [_pooled(h[: len(row)], row, options) for h, row in zip(hidden, rows, strict=True)]

    def finish(self, item: Any, rows: Sequence[Row], kept: Sequence[Any], options: FeatureOptions) -> Any:
        """The vectors, in the form that was asked for."""
        vectors: np.ndarray = kept[0] if kept[0].ndim == 1 else kept[0][None]  # (H,) or (1, S, H)
        return vectors if options.return_tensors else vectors.tolist()


def _pooled(hidden: np.ndarray, row: Row, options: FeatureOptions) -> np.ndarray:
    """(S, H), or one vector, from (S, H)."""
    if options.pool is None:
        x = hidden.copy()  # not a view that would keep the whole batch in memory
    else:
        tokens = hidden[np.asarray(row.attention_mask) == 1]  # (T, H)
        x = pool(tokens, options.pool, skip=options.skip_tokens)
    return unit_length(x) if options.normalize else x
