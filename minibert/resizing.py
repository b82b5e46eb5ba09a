"""Another size of the vocabulary: the word embeddings, and the decoder that is tied to them or as large as they are."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from minibert import backend
from minibert.backend import Array
from minibert.nn import Embedding, Parameter, truncated_normal
from minibert.number_like import as_int

if TYPE_CHECKING:
    from minibert.pretrained import BertPreTrainedModel

__all__ = ["replace_table", "resize"]


def resize(
    model: BertPreTrainedModel, rows: int | None, pad_to_multiple_of: int | None, mean_resizing: bool
) -> Embedding:
    """See `BertPreTrainedModel.resize_token_embeddings`."""
    table, decoder = model.get_input_embeddings(), model.get_output_embeddings()
    size = table.weight.shape[0] if rows is None else as_int("new_num_tokens", rows, least=1)
    if pad_to_multiple_of is not None:
        multiple = as_int("pad_to_multiple_of", pad_to_multiple_of, least=1)
        size = -(-size // multiple) * multiple
    if size == table.weight.shape[0]:
        return table
    _set_vocab_size(model, size)
    _resize(table.weight, size, table.std, mean_resizing)
    if decoder is not None:
        if decoder.weight is not table.weight:
            _resize(decoder.weight, size, decoder.std, mean_resizing)
        _resize(decoder.bias, size, None, mean_resizing)
    return table


def replace_table(model: BertPreTrainedModel, table: Embedding) -> None:
    """See `BertPreTrainedModel.set_input_embeddings`."""
    hidden = model.config.hidden_size
    if not isinstance(table, Embedding):
        raise ValueError(f"expected an Embedding (minibert.nn), got a {type(table).__name__}")
    if table.weight.shape[1:] != (hidden,):
        raise ValueError(f"the embeddings have shape {table.weight.shape}; expected (V, {hidden})")
    size, decoder = table.weight.shape[0], model.get_output_embeddings()
    if size != model.config.vocab_size:
        _set_vocab_size(model, size)
        if decoder is not None:
            _resize(decoder.bias, size, None, True)
            if decoder.weight is not model.get_input_embeddings().weight:
                _resize(decoder.weight, size, decoder.std, True)
    if decoder is not None and decoder.weight is model.get_input_embeddings().weight:
        decoder.weight = table.weight
    model.base_model.embeddings.word_embeddings = table


def _set_vocab_size(model: BertPreTrainedModel, size: int) -> None:
    pad = model.config.pad_token_id
    if pad is not None and size <= pad < model.config.vocab_size:
        raise ValueError(f"a vocabulary of {size} has no place for the pad token, {pad}; set config.pad_token_id first")
    config = copy.copy(model.config)  # other models may have been made of the same one
    config.vocab_size = size
    for part in {id(one): one for one in (model, model.base_model)}.values():
        part.config = config


def _resize(parameter: Parameter, size: int, std: float | None, mean: bool) -> None:
    """Cut the first axis of `parameter`, or fill it up: with the mean, or drawn with `std`, or zeros without one."""
    old: Any = parameter.data
    xp = backend.namespace(old)
    kept = old[:size, ...]
    shape = (size - kept.shape[0], *old.shape[1:])
    new: Array
    if mean:
        new = xp.broadcast_to(xp.astype(xp.mean(xp.astype(old, xp.float64), axis=0), old.dtype), shape)
    elif std is not None:
        new = backend.asarray(truncated_normal(shape, std), like=old)
    else:
        new = xp.zeros(shape, dtype=old.dtype, device=old.device)
    parameter.data, parameter.grad = xp.concat([kept, new]), None
