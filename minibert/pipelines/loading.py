"""From what a pipeline is given (a name, a folder, objects) to a model and a tokenizer."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

import minibert.heads
from minibert.bert import BertModel, BertPreTrainedModel
from minibert.checkpoint.errors import CheckpointError, CheckpointWarning
from minibert.pipelines.base import Pipeline
from minibert.tokenizer import BertTokenizer

__all__ = ["load", "load_encoder", "no_model", "settle_dtype"]


def load(
    kind: type[Pipeline],
    model: Any,
    tokenizer: Any,
    *,
    config: Any = None,
    device: Any = None,
    dtype: Any = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **source: Any,
) -> tuple[BertPreTrainedModel, Any]:
    """The model and the tokenizer for a pipeline.

    Args:
        kind: which pipeline.
        model: folder, hub name, or a model.
        tokenizer: folder, hub name, tokenizer, or None: from where the model comes.
        config: a configuration, or its folder or name, in place of the checkpoint's own.
        device, dtype: where and in which precision to compute; None: as a given model does, else "cpu" and "float32".
        model_kwargs: more arguments for `from_pretrained`.
        source: options of `minibert.checkpoint.HubOptions`.

    Raises:
        ValueError: nothing there, nothing that can be read, or a checkpoint without the head that the task needs.
    """
    dtype = settle_dtype(dtype)
    if isinstance(model, BertPreTrainedModel):
        if tokenizer is None:
            raise ValueError("a model that is given as an object needs its tokenizer too: tokenizer=...")
        if config is not None or model_kwargs:
            raise ValueError("config and model_kwargs are for loading a model, and the model is there already")
        ready = model if dtype in (None, "auto") else model.to(dtype=dtype)
    elif isinstance(model, str | os.PathLike):
        more = {**({} if config is None else {"config": config}), **(model_kwargs or {})}
        ready = _load_model(kind, model, **{"dtype": dtype or "float32", **more, **source})
        tokenizer = model if tokenizer is None else tokenizer
    else:
        raise no_model(model)
    if device is not None:
        ready = ready.to(device=_device(device))
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = BertTokenizer.from_pretrained(tokenizer, **source)
    return ready, tokenizer


def no_model(given: Any) -> ValueError:
    """The error for what is given as a model and is none."""
    if hasattr(given, "save_pretrained"):  # another library's, perhaps of a class of the same name
        return ValueError(
            f"model is another library's, a {type(given).__module__}.{type(given).__name__}; write it with "
            "its save_pretrained(folder) and give the folder"
        )
    return ValueError(f"model must be a folder, a name on the hub or a BERT model, got a {type(given).__name__}")


def settle_dtype(dtype: Any) -> Any:
    """A dtype by its name: "float32" for "float32", "torch.float32", np.float32, torch.float32; None stays None."""
    if dtype is None:
        return None
    if isinstance(dtype, str) or type(dtype).__module__ == "torch":
        return str(dtype).removeprefix("torch.")
    try:
        return np.dtype(dtype).name
    except TypeError:
        return dtype  # left to from_pretrained, which names what it expects


def _device(device: Any) -> str:
    """Our names of devices, also for -1, 0, "cuda:0" and torch's device objects."""
    name = {"-1": "cpu", "cpu:0": "cpu", "0": "cuda", "cuda:0": "cuda"}.get(str(device), str(device))
    if name not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {device!r}; expected 'cpu' or 'cuda' (or -1 or 0)")
    return name


def load_encoder(name: Any, *, purpose: str, **options: Any) -> BertModel:
    """The encoder of a checkpoint. A pooler that the checkpoint does not have is omitted.

    Raises:
        ValueError: nothing there, nothing that can be read, or the encoder is incomplete.
    """
    return cast(BertModel, _loaded(BertModel, name, purpose, **options))


def _load_model(kind: type[Pipeline], name: Any, **options: Any) -> BertPreTrainedModel:
    """The checkpoint as the class that the task needs."""
    if kind.architectures == ("BertPreTrainedModel",):
        return load_encoder(name, purpose=kind.task, **options)
    return _loaded(getattr(minibert.heads, kind.architectures[0]), name, kind.task, **options)


def _loaded(cls: type[BertPreTrainedModel], name: Any, purpose: str, **options: Any) -> BertPreTrainedModel:
    """A checkpoint as class `cls`, without anything initialised at random.

    A head of random weights answers too, and its answers look like any others; so its absence is an error.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*newly initialised", category=CheckpointWarning)
        loaded: Any = cls.from_pretrained(name, output_loading_info=True, **options)
    model, info = loaded
    missing = sorted({*info["missing_keys"], *(found[0] for found in info["mismatched_keys"])})
    if cls is BertModel and all(part.startswith("pooler.") for part in missing):
        if missing:
            model.pooler = None  # published without one, and not needed here
    elif missing:
        raise CheckpointError(
            f"{name} has no weights for {purpose}: {', '.join(missing[:4])} {'is' if len(missing) == 1 else 'are'} "
            f"missing; it needs a checkpoint of {cls.__name__}"
        )
    _warn_of_another_head(model, name, purpose)
    return cast(BertPreTrainedModel, model)


def _warn_of_another_head(model: BertPreTrainedModel, name: Any, purpose: str) -> None:
    """Warn where the weights fit by their names alone: classifiers of sequences and of tokens share them."""
    classifiers = {"BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice"}
    found = classifiers.intersection(map(str, model.config.extra.get("architectures") or ()))
    own = type(model).__name__
    if own in classifiers and found and own not in found:
        warnings.warn(
            f"{name} is a checkpoint of {', '.join(sorted(found))}, and {purpose} needs one of {own}: its classifier "
            "was not trained for this",
            CheckpointWarning,
            stacklevel=6,
        )
