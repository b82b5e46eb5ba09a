"""From what a pipeline is given (a name, a folder, objects) to a model and a tokenizer."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, cast

import minibert.heads
from minibert.bert import BertModel, BertPreTrainedModel
from minibert.checkpoint.errors import CheckpointError, CheckpointWarning
from minibert.pipelines.base import Pipeline
from minibert.tokenizer import BertTokenizer

__all__ = ["load"]


def load(
    kind: type[Pipeline],
    model: Any,
    tokenizer: Any,
    *,
    device: str | int | None,
    dtype: str | None,
    **source: Any,
) -> tuple[BertPreTrainedModel, Any]:
    """The model and the tokenizer for a pipeline.

    Args:
        kind: which pipeline.
        model: folder, hub name, or a model.
        tokenizer: folder, hub name, tokenizer, or None: from where the model comes.
        device, dtype: where and in which precision to compute; None: as a given model does, else "cpu" and "float32".
        source: revision, cache_dir, local_files_only.

    Raises:
        ValueError: nothing there, nothing that can be read, or a checkpoint without the head that the task needs.
    """
    if isinstance(model, BertPreTrainedModel):
        if tokenizer is None:
            raise ValueError("a model that is given as an object needs its tokenizer too: pipeline(..., tokenizer=...)")
        ready = model if dtype is None else model.to(dtype=dtype)
    elif isinstance(model, str | os.PathLike):
        ready = _load_model(kind, model, dtype=dtype or "float32", **source)
        tokenizer = model if tokenizer is None else tokenizer
    else:
        raise ValueError(f"model must be a folder, a name on the hub or a BERT model, got a {type(model).__name__}")
    if device is not None:
        ready = ready.to(device=_device(device))
    if isinstance(tokenizer, str | Path | os.PathLike):
        tokenizer = BertTokenizer.from_pretrained(tokenizer, **source)
    return ready, tokenizer


def _device(device: str | int) -> str:
    """Our names of devices, also for -1, 0, "cuda:0"."""
    name = {"-1": "cpu", "0": "cuda", "cuda:0": "cuda"}.get(str(device), str(device))
    if name not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; expected 'cpu' or 'cuda'")
    return name


def _load_model(kind: type[Pipeline], name: Any, **options: Any) -> BertPreTrainedModel:
    """The checkpoint as the class that the task needs. One without the task's head is an error: a head of random
    weights answers too, and nobody would notice."""
    headless = kind.architectures == ("BertPreTrainedModel",)
    cls = BertModel if headless else getattr(minibert.heads, kind.architectures[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*newly initialised", category=CheckpointWarning)
        loaded: Any = cls.from_pretrained(name, output_loading_info=True, **options)
    model, told = loaded
    missing = sorted({*told["missing_keys"], *(found[0] for found in told["mismatched_keys"])})
    if headless and all(part.startswith("pooler.") for part in missing):
        if missing:
            model.pooler = None  # published without one, and not needed here
    elif missing:
        raise CheckpointError(
            f"{name} has no weights for {kind.task}: {', '.join(missing[:4])} {'is' if len(missing) == 1 else 'are'} "
            f"missing; it needs a checkpoint of {cls.__name__}"
        )
    return cast(BertPreTrainedModel, model)
