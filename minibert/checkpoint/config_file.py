"""config.json: reading it, checking that it is BERT's, and putting right what published files get wrong."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.errors import CheckpointError, CheckpointWarning, one_line

__all__ = ["read_config", "relabel", "settle_labels"]


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """config.json of `folder`.

    A missing or empty `model_type` is taken for BERT's: files of the first years do not have it.

    Raises:
        CheckpointError: no such file, not JSON, not a JSON object, or another `model_type` than "bert".
    """
    path = Path(folder) / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {path}; expected a BERT configuration beside the weights") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {one_line(error)}") from error
    except ValueError as error:  # bad JSON and bad UTF-8
        raise CheckpointError(f"{path} is not JSON: {one_line(error)}") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} holds a JSON {type(config).__name__}; expected an object of settings")
    kind = config.get("model_type")
    if kind not in (None, "bert"):
        raise CheckpointError(f'{path} has model_type {kind!r}; minibert reads BERT only ("bert", or none given)')
    if kind is None:
        config.pop("model_type", None)
    return config


def settle_labels(config: Mapping[str, Any], rows: int | None) -> dict[str, Any]:
    """`config` with `num_labels`, `id2label` and `label2id` in agreement.

    Some files say `num_labels: 50` and list two names in `id2label`. The weights decide: `rows` is how many the
    classifier has, None if there is no classifier. If the weights do not say, `num_labels` wins, as it does in
    transformers, with a warning. Names that are not the right number are replaced by LABEL_0, LABEL_1, ...
    """
    settled = dict(config)
    number, names = settled.get("num_labels"), settled.get("id2label")
    if not isinstance(number, int) or not isinstance(names, Mapping) or len(names) == number:
        return settled
    if rows == len(names):
        settled["num_labels"] = rows
        return settled
    if rows != number:
        warnings.warn(
            f"config.json says num_labels {number} but names {len(names)} labels in id2label; taking {number}",
            CheckpointWarning,
            stacklevel=5,
        )
    return relabel(settled, number)


def relabel(config: Mapping[str, Any], number: int) -> dict[str, Any]:
    """`config` for a head of `number` labels, named LABEL_0, LABEL_1, ... unless it has that many names already."""
    changed = {**config, "num_labels": number}
    names = config.get("id2label")
    if not isinstance(names, Mapping) or len(names) != number:
        changed["id2label"] = {str(i): f"LABEL_{i}" for i in range(number)}
        changed["label2id"] = {f"LABEL_{i}": i for i in range(number)}
    return changed
