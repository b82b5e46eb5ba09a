"""Starting from a trained BERT: pretraining goes on, with more text, longer sequences, or more layers.

A deeper model takes the checkpoint's layers and gets new ones on top that change nothing at first (Net2Net, Chen et
al. 2016, section 2.3, for a layer with LayerNorm behind its residual sums):

    h = LayerNorm(x + attention(x))         attention's and the feed-forward's last matrices are zero: h = LayerNorm(x)
    y = LayerNorm(h + feed_forward(h))      and y = LayerNorm(h)

What a LayerNorm without scale and shift has normalised, another leaves as it is. So the scale and shift of the last
layer there was move to the end of the last new one, every LayerNorm between goes without, and the output is the same.
The zeros learn: their gradients are products with what the new layer computes, which is not zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minibert.backend import asarray
from minibert.config import BertConfig
from minibert.heads import BertForPreTraining
from minibert.nn import Parameter
from minibert.pretraining.errors import DataError
from minibert.tokenizer import BertTokenizer

__all__ = ["start_from_checkpoint"]

_ALIKE = (
    "vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "max_position_embeddings",
    "type_vocab_size", "layer_norm_eps",
)  # fmt: skip


def start_from_checkpoint(model: BertForPreTraining, checkpoint: str, tokenizer: BertTokenizer) -> None:
    """Give a new model the weights of a trained one.

    Args:
        model: on the CPU, changed in place; it may have more layers than the checkpoint, and must else be like it.
        checkpoint: a folder or a name, as `from_pretrained` takes it. A head that it lacks begins afresh.
        tokenizer: of the data; its vocabulary must be the checkpoint's.

    Raises:
        DataError: another vocabulary, other sizes, or fewer layers than the checkpoint has.
        CheckpointError: the checkpoint is not found, or is none.
    """
    trained = BertForPreTraining.from_pretrained(checkpoint)
    _compare(model.config, trained.config, checkpoint)
    if BertTokenizer.from_pretrained(checkpoint).get_vocab() != tokenizer.get_vocab():
        raise DataError(f"the data was prepared with another vocabulary than {checkpoint}'s; prepare it with that one")
    parameters = dict(model.named_parameters())
    for name, parameter in trained.named_parameters():
        parameters[name].data = parameter.data
    layers: Any = model.bert.encoder.layer
    before = trained.config.num_hidden_layers
    if len(layers) > before:
        _grow(layers[before - 1 :])


def _compare(made: BertConfig, trained: BertConfig, checkpoint: str) -> None:
    for name in _ALIKE:
        ours, theirs = getattr(made, name), getattr(trained, name)
        if ours != theirs:
            raise DataError(f"{name} is {theirs} in {checkpoint} and {ours} in the recipe; it must be the same")
    if made.num_hidden_layers < trained.num_hidden_layers:
        raise DataError(
            f"{checkpoint} has {trained.num_hidden_layers} layers and the recipe {made.num_hidden_layers}: there may be"
            " more, not fewer"
        )


def _grow(layers: list[Any]) -> None:
    """Make all but the first of these layers, the last of a trained model and the new ones above, change nothing."""
    last = layers[0].output.LayerNorm
    scale, shift = last.weight.numpy().copy(), last.bias.numpy().copy()
    for layer in layers[1:]:
        for part in (layer.attention.output, layer.output):
            _fill(part.dense.weight, 0.0)
            _fill(part.dense.bias, 0.0)
            _fill(part.LayerNorm.weight, 1.0)
            _fill(part.LayerNorm.bias, 0.0)
    _fill(last.weight, 1.0)
    _fill(last.bias, 0.0)
    end = layers[-1].output.LayerNorm
    end.weight.data, end.bias.data = asarray(scale, like=end.weight.data), asarray(shift, like=end.bias.data)


def _fill(parameter: Parameter, value: float) -> None:
    parameter.data = asarray(np.full(parameter.shape, value, parameter.numpy().dtype), like=parameter.data)
