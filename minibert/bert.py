"""BERT: embeddings, a stack of encoder layers, and the pooler.

Source: Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers", section 3; the encoder
layer is that of Vaswani et al., section 3.1. Classes are cut, and attributes named, as in the published checkpoints.

Inside, a batch is packed: (T, H), the real tokens of all sequences one behind the other (`minibert.packing`).
B sequences, S positions, T real tokens, H hidden size, N heads, D = H / N, F intermediate size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, Self, Unpack

from minibert import backend, ops
from minibert.autograd import Tensor, is_grad_enabled
from minibert.backend import Array
from minibert.config import BertConfig
from minibert.fusing import exactly, own_ops, plain, runs_forward_of
from minibert.intact import intact
from minibert.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList
from minibert.outputs import BertModelOutput
from minibert.packing import ModelInputs, PackedBatch, pack
from minibert.pretrained import BertPreTrainedModel as BertPreTrainedModel  # part of this module too


class BertEmbeddings(Module):
    """The sum of three embeddings: which word, at which position, in which segment. (BERT, figure 2)"""

    def __init__(self, config: BertConfig) -> None:
        std = config.initializer_range
        self.word_embeddings = Embedding(config.vocab_size, config.hidden_size, std=std)
        self.position_embeddings = Embedding(config.max_position_embeddings, config.hidden_size, std=std)
        self.token_type_embeddings = Embedding(config.type_vocab_size, config.hidden_size, std=std)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, batch: PackedBatch) -> Tensor:
        """(T, H)."""
        words, positions, types = self.word_embeddings, self.position_embeddings, self.token_type_embeddings
        if batch.inputs_embeds is None and plain(Embedding, words, positions, types) and own_ops("embedding"):
            x = ops.embedding_sum(
                words.weight, positions.weight, types.weight,
                ids=batch.input_ids, position_ids=batch.position_ids, type_ids=batch.token_type_ids,
            )  # (T, H)  # fmt: skip
        else:
            x = words(batch.input_ids) if batch.inputs_embeds is None else batch.inputs_embeds  # (T, H)
            x = x + types(batch.token_type_ids) + positions(batch.position_ids)  # (T, H)
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(Module):
    """Queries, keys and values, and what each token gathers from the others. (Vaswani et al., section 3.2.2)"""

    def __init__(self, config: BertConfig) -> None:
        H, std = config.hidden_size, config.initializer_range
        self.query = Linear(H, H, std=std)
        self.key = Linear(H, H, std=std)
        self.value = Linear(H, H, std=std)
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.p = config.attention_probs_dropout_prob

    def forward(self, x: Tensor, starts: list[int], maps: list[list[Array]] | None) -> Tensor:
        """(T, H) to (T, H); appends this layer's attention maps to `maps` if there is such a list."""
        parts = self.query, self.key, self.value
        if plain(Linear, *parts) and own_ops("linear"):
            qkv = ops.projections(x, [(part.weight, part.bias) for part in parts])  # (3, T, H)
        else:
            qkv = ops.stack([part(x) for part in parts])  # (3, T, H)
        qkv = qkv.reshape(3, x.shape[0], self.heads, self.head_size)  # (3, T, N, D)
        if maps is not None:
            maps.append(ops.attention_probabilities(qkv.data[0, ...], qkv.data[1, ...], starts))
        context = ops.self_attention(qkv, starts=starts, p=self.p, training=self.training)  # (T, N, D)
        return context.reshape(x.shape)  # (T, H): heads side by side


_ADD_LAYER_NORM = "linear", "dropout", "layer_norm"  # what `add_layer_norm` stands for


class ResidualDense(Module):
    """What ends each half of a layer: y = LayerNorm(x + dropout(dense(h))). (Vaswani et al., section 3.1)

    h is what the half has found, x is what it began with.
    """

    def __init__(self, config: BertConfig, inputs: int) -> None:
        self.dense = Linear(inputs, config.hidden_size, std=config.initializer_range)
        self.LayerNorm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.p = config.hidden_dropout_prob

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        """(T, inputs) and (T, H), to (T, H)."""
        if not (plain(Linear, self.dense) and plain(LayerNorm, self.LayerNorm) and own_ops(*_ADD_LAYER_NORM)):
            return self.LayerNorm(x + ops.dropout(self.dense(h), self.p, training=self.training))
        product = ops.linear(h, self.dense.weight)  # (T, H); its bias goes in with the rest
        gamma, beta, eps = self.LayerNorm.weight, self.LayerNorm.bias, self.LayerNorm.eps
        return ops.add_layer_norm(product, self.dense.bias, x, gamma, beta, eps=eps, p=self.p, training=self.training)


class BertSelfOutput(ResidualDense):
    """The gathered values mixed, and added to what was there."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, config.hidden_size)


class BertAttention(Module):
    """Self-attention with its residual connection."""

    def __init__(self, config: BertConfig) -> None:
        self.self = BertSelfAttention(config)
        self.output = BertSelfOutput(config)

    def forward(self, x: Tensor, starts: list[int], maps: list[list[Array]] | None) -> Tensor:
        """(T, H) to (T, H)."""
        return self.output(self.self(x, starts, maps), x)


class BertIntermediate(Module):
    """The first half of the feed-forward part: widen, and bend. (Vaswani et al., section 3.3, with GELU)"""

    def __init__(self, config: BertConfig) -> None:
        self.dense = Linear(config.hidden_size, config.intermediate_size, std=config.initializer_range)
        self.activation = config.activation

    def forward(self, x: Tensor) -> Tensor:
        """(T, H) to (T, F)."""
        return dense_activation(x, self.dense, self.activation)


def dense_activation(x: Tensor, dense: Linear, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """activation(x W^T + b); for the exact GELU the bias goes in together with it."""
    if not plain(Linear, dense):
        return activation(dense(x))
    if activation is ops.gelu and own_ops("linear", "gelu"):
        return ops.bias_gelu(ops.linear(x, dense.weight), dense.bias)
    return activation(ops.linear(x, dense.weight, dense.bias))


class BertOutput(ResidualDense):
    """The second half of the feed-forward part: back to H, and added to what was there."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config, config.intermediate_size)


class BertLayer(Module):
    """One layer of the encoder: attention, then feed-forward."""

    def __init__(self, config: BertConfig) -> None:
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config)

    def forward(self, x: Tensor, starts: list[int], maps: list[list[Array]] | None) -> Tensor:
        """(T, H) to (T, H)."""
        x = self.attention(x, starts, maps)
        return self.output(self.intermediate(x), x)

    def arrays(self) -> list[Array]:
        """Its 16 parameters' arrays, in the order of the computation."""
        mine, mixed, wide, back = self.attention.self, self.attention.output, self.intermediate, self.output
        parts = (
            mine.query, mine.key, mine.value, mixed.dense, mixed.LayerNorm, wide.dense, back.dense, back.LayerNorm
        )  # fmt: skip
        return [parameter.data for part in parts for parameter in (part.weight, part.bias)]


class BertEncoder(Module):
    """The stack of layers."""

    def __init__(self, config: BertConfig) -> None:
        self.layer = ModuleList([BertLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(
        self,
        x: Tensor,
        starts: list[int],
        maps: list[list[Array]] | None,
        show: Callable[[Tensor], Tensor] | None,
    ) -> Tensor:
        """(T, H) to (T, H); the states before and after every layer go through `show` if there is such a function."""
        if maps is None and show is None and (fused := self._without_tape(x, starts)) is not None:
            return fused
        for layer in self.layer:
            x = layer(x if show is None else show(x), starts, maps)
        if show is not None:
            x = show(x)
        return x

    def _without_tape(self, x: Tensor, starts: list[int]) -> Tensor | None:
        """All layers by the kernel for inference (kernels/cpu/encoder.py), where it applies; else None."""
        every: list[Any] = list(self.layer)
        if is_grad_enabled() or self.training or not every or not x.shape[0] or not _is_fusable(every):
            return None
        layers = [layer.arrays() for layer in every]
        form = [(array.shape, array.dtype) for array in layers[0]]
        if any([(array.shape, array.dtype) for array in layer] != form for layer in layers[1:]):
            return None
        kernel = backend.kernel_module("encoder", [x.data, *layers[0]])
        if kernel is None or any(dtype != x.dtype for _, dtype in form):
            return None
        heads, eps = every[0].attention.self.heads, every[0].output.LayerNorm.eps
        return Tensor(kernel.encoder(x.data, starts, layers, heads=heads, eps=eps))


_FUSED_OPS = "projections", "self_attention", "add_layer_norm", "bias_gelu", "gelu", *_ADD_LAYER_NORM
_FUSED_KINDS = (
    BertLayer, BertAttention, BertSelfAttention, BertSelfOutput, BertIntermediate, BertOutput, Linear, LayerNorm
)  # fmt: skip


def _is_fusable(layers: list[Any]) -> bool:
    """Whether the encoder's kernel computes what these layers would: all parts the library's own, alike, not training.

    Each is looked at: any of them may have been replaced, or be in training mode for its dropout alone.
    """
    if not own_ops(*_FUSED_OPS) or not intact(*_FUSED_KINDS):
        return False
    heads, eps = layers[0].attention.self.heads, layers[0].output.LayerNorm.eps
    for layer in layers:
        if not exactly(BertLayer, layer) or not exactly(BertAttention, layer.attention):
            return False
        mine, mixed, wide, back = layer.attention.self, layer.attention.output, layer.intermediate, layer.output
        if not (exactly(BertSelfAttention, mine) and exactly(BertSelfOutput, mixed) and exactly(BertOutput, back)):
            return False
        if mine.training or mixed.training or back.training or not exactly(BertIntermediate, wide):
            return False
        if not exactly(Linear, mine.query, mine.key, mine.value, mixed.dense, wide.dense, back.dense):
            return False
        if not exactly(LayerNorm, mixed.LayerNorm, back.LayerNorm) or wide.activation is not ops.gelu:
            return False
        if mine.heads != heads or mixed.LayerNorm.eps != eps or back.LayerNorm.eps != eps:
            return False
    return True


class BertPooler(Module):
    """tanh(dense(the state of [CLS])), the sequence's summary. Next-sentence prediction trains it. (BERT, section 3)"""

    def __init__(self, config: BertConfig) -> None:
        self.dense = Linear(config.hidden_size, config.hidden_size, std=config.initializer_range)

    def forward(self, first: Tensor) -> Tensor:
        """(B, H) to (B, H)."""
        return ops.tanh(self.dense(first))


class Encoded:
    """A batch on its way through a model: packed states, and what else was asked for."""

    def __init__(
        self, batch: PackedBatch, x: Tensor, states: list[Tensor] | None, maps: list[list[Array]] | None
    ) -> None:
        self.batch = batch
        self.x = x  # (T, H)
        self.pooled: Tensor | None = None  # (B, H), if known already
        self.extras: dict[str, tuple[Tensor, ...] | None] = {
            "hidden_states": tuple(states) if states is not None else None,
            "attentions": tuple(batch.unpack_maps(m) for m in maps) if maps is not None else None,
        }


class BertModel(BertPreTrainedModel):
    """BERT without a head: a vector for each token, and one for the sequence.

    Args:
        config: sizes. Weights begin as in the paper's release: truncated normal with `initializer_range`, biases zero.
        add_pooling_layer: False where nothing uses the pooler, as in the masked-word and token heads; the published
            checkpoints of those have none, and `pooler_output` is then None.
    """

    def __init__(self, config: BertConfig, *, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | PathLike[str], *, add_pooling_layer: bool = True, **options: Any
    ) -> Self:
        """As for every model; `add_pooling_layer=False` leaves out the pooler, also one that the checkpoint has."""
        return super().from_pretrained(name_or_folder, making={"add_pooling_layer": add_pooling_layer}, **options)

    def encode(
        self,
        input_ids: Any = None,
        *,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> Encoded:
        """Embeddings and encoder, on the packed batch; for the heads. Arguments as in `forward`."""
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if output_attentions is None:
            output_attentions = self.config.output_attentions
        batch = pack(self.config, input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        maps: list[list[Array]] | None = [] if output_attentions else None
        states: list[Tensor] = []  # each (B, S, H)

        def show(x: Tensor) -> Tensor:
            padded, x = batch.shown(x)
            states.append(padded)
            return x

        x = self.encoder(self.embeddings(batch), batch.starts, maps, show if output_hidden_states else None)
        return Encoded(batch, x, states if output_hidden_states else None, maps)

    def pool(self, encoded: Encoded) -> Tensor:
        """(B, H): the pooled state of each sequence's first token."""
        if self.pooler is None:
            raise ValueError("this BertModel was made without a pooler (add_pooling_layer=False)")
        return self.pooler(encoded.batch.first_tokens(encoded.x))

    def forward(self, input_ids: Any = None, **inputs: Unpack[ModelInputs]) -> BertModelOutput:
        """Run BERT on a padded batch.

        Args:
            input_ids: (B, S) integers.
            attention_mask: (B, S), 1 for tokens, 0 for pads.
            token_type_ids: (B, S), 0 for the first and 1 for the second sentence.
            position_ids: (B, S).
            inputs_embeds: (B, S, H), in place of input_ids.
            output_hidden_states, output_attentions: return these too; as the configuration says if None.

        Returns:
            `BertModelOutput`; states of pads are zero.

        Raises:
            ValueError: shapes that do not fit, ids outside the vocabulary, too long sequences, an empty batch.
        """
        encoded = self.encode(input_ids, **inputs)
        if states := encoded.extras["hidden_states"]:
            last = states[-1]
        else:
            last, encoded.x = encoded.batch.shown(encoded.x)
        pooled = None if self.pooler is None else self.pool(encoded)
        return BertModelOutput(last, pooled, **encoded.extras)


def encode_for_head(bert: BertModel, input_ids: Any = None, **inputs: Any) -> Encoded:
    """The states that a head reads from the model inside it, whose arguments these are.

    A model with a `forward` of its own is called, and its states are packed again.

    Raises:
        ValueError: as `BertModel.forward`; or such a forward returns no states of shape (B, S, H).
    """
    if runs_forward_of(BertModel, bert):
        return bert.encode(input_ids, **inputs)
    out = bert(input_ids, **(inputs | {"return_dict": True}))
    names = "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"
    batch = pack(bert.config, input_ids, **{name: inputs[name] for name in names if name in inputs})
    last, shape = getattr(out, "last_hidden_state", None), (batch.B, batch.S, bert.config.hidden_size)
    if not isinstance(last, Tensor) or last.shape != shape:
        raise ValueError(
            f"{type(bert).__name__}.forward must return a BertModelOutput with last_hidden_state {shape}, got "
            f"{getattr(last, 'shape', type(out).__name__)}"
        )
    flat = last.reshape(batch.B * batch.S, last.shape[2])
    encoded = Encoded(batch, flat if batch.T == batch.B * batch.S else ops.take_rows(flat, batch.places), None, None)
    encoded.pooled = out.pooler_output
    encoded.extras = {"hidden_states": out.hidden_states, "attentions": out.attentions}
    return encoded


def pool_for_head(bert: BertModel, encoded: Encoded) -> Tensor:
    """(B, H): what the model's own forward gave as its pooled states, else those of its pooler."""
    return bert.pool(encoded) if encoded.pooled is None else encoded.pooled
