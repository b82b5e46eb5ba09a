"""The mean of several trainings of one model, weight by weight.

Where trainings go on from the same weights, the loss often stays low on the straight line between their ends, and in
the middle it can be lower than at either: the mean of the weights does much of what the mean of the answers would,
and costs no more than one model. (Izmailov et al. 2018; Wortsman et al. 2022, "Model soups")

Models that began apart have nothing in common that a mean could keep: theirs knows nothing. Nobody can tell from the
files which it is; `minibert evaluate` can.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.convert import Conversion, OnTensor, Source, read_source, write_source
from minibert.checkpoint.errors import CheckpointError
from minibert.number_like import is_float, shown

__all__ = ["average"]


def average(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    shares: Sequence[float] | None = None,
    dtype: str | None = None,
    on_tensor: OnTensor | None = None,
    **hub: Any,
) -> Conversion:
    """Write sum(share * weights) of the checkpoints `sources` to the folder `target`.

    Everything but the weights comes from the first. Sums are made in float64.

    Args:
        sources: two or more folders or hub names, of the same names and shapes and the same vocabulary.
        target: the folder to write; it may be one of the sources.
        shares: how much of each, as parts of their sum; equal ones by default.
        dtype: as for `convert`; as the first is stored, by default.
        on_tensor: as for `convert`.
        hub: revision, cache_dir, local_files_only, token, as for `convert`.

    Raises:
        CheckpointError: a checkpoint that cannot be read, checkpoints that do not fit each other, shares that are no
            positive numbers, or a folder that cannot be written.
    """
    if len(sources) < 2:
        raise CheckpointError(f"an average needs two checkpoints or more, got {len(sources)}")
    parts = _parts(shares, len(sources))
    read = [read_source(source, **hub) for source in sources]
    for other in read[1:]:
        _check_alike(read[0], other)
    shapes = read[0].shapes

    def array_of(name: str) -> NDArray[Any]:
        total = np.zeros(shapes[name])
        for part, one in zip(parts, read, strict=True):
            total += part * one.weights[one.names[name]].astype(np.float64)
        return total

    return write_source(read[0], target, array_of, dtype=dtype, on_tensor=on_tensor)


def _parts(shares: Sequence[float] | None, count: int) -> list[float]:
    given = [1.0] * count if shares is None else list(shares)
    if len(given) != count:
        raise CheckpointError(f"got {len(given)} shares for {count} checkpoints; expected one for each")
    if not all(is_float(share) and math.isfinite(share) and share > 0 for share in given):
        raise CheckpointError(f"shares are positive numbers, got {', '.join(shown(share) for share in given)}")
    total = sum(map(float, given))
    return [float(share) / total for share in given]


def _check_alike(first: Source, other: Source) -> None:
    """Raise CheckpointError unless each weight, and each token of the vocabulary, has its partner."""
    ours, theirs = first.shapes, other.shapes
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            told = [str(shapes.get(name, "missing")) for shapes in (ours, theirs)]
            raise CheckpointError(
                f"{name} is {told[0]} in {first.folder} and {told[1]} in {other.folder}; an average is of models of one"
                " shape"
            )
    heads = [one.config.get("num_attention_heads") for one in (first, other)]  # no shape tells these apart
    if heads[0] != heads[1]:
        raise CheckpointError(
            f"{first.folder} has {heads[0]} heads and {other.folder} {heads[1]}; an average is of models of one shape"
        )
    words = [(one.folder / "vocab.txt") for one in (first, other)]
    if all(path.is_file() for path in words) and words[0].read_bytes() != words[1].read_bytes():
        raise CheckpointError(f"{words[0]} and {words[1]} differ; an average needs the same vocabulary")
