"""A ragged batch for libraries that work on padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minibert.bench.inputs import sorted_batches
from minibert.bench.sides import Job


class PaddedBatches:
    """The batch as one, or sorted by length into several.

    Attributes:
        parts: pairs of ids and mask, each (b, s) int64, padded on the right to the longest of the part.
    """

    def __init__(self, job: Job) -> None:
        batch, lengths = job.batch(), job.what().lengths
        self.groups = sorted_batches(lengths) if job.form == "sorted" else [np.arange(len(lengths))]
        self.mask = batch.mask == 1
        self.parts = []
        for group in self.groups:
            longest = max(lengths[i] for i in group)
            cut = (np.ascontiguousarray(x[group, :longest]) for x in (batch.ids, batch.mask))
            self.parts.append(tuple(cut))

    def real_tokens(self, states: Sequence[np.ndarray]) -> np.ndarray:
        """The parts' states, each (b, s, H), as (T, H) in the order of the whole batch."""
        padded = np.zeros((*self.mask.shape, states[0].shape[-1]), np.float32)  # (B, S, H)
        for group, part in zip(self.groups, states, strict=True):
            padded[group, : part.shape[1]] = part
        real: np.ndarray = padded[self.mask]  # (T, H)
        return real
