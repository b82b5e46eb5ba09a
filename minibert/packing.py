"""Padded outside, packed inside.

A padded batch spends its time on padding. So the real tokens of all sequences are laid one behind the other, (T, H),
with `starts` saying where each sequence begins. This is done once on the way into a model and undone once on the way
out. The checks of everything a caller may pass stand here too, since this is where the arrays come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from minibert import backend, ops
from minibert.autograd import Tensor
from minibert.config import BertConfig


class ModelInputs(TypedDict, total=False):
    """What every model takes beside input_ids, by name: see `BertModel.forward`."""

    attention_mask: Any
    token_type_ids: Any
    position_ids: Any
    inputs_embeds: Any
    output_hidden_states: Any  # True, False or None, as the next two; Any, so that **dict[str, np.ndarray] may be given
    output_attentions: Any
    return_dict: Any


@dataclass
class PackedBatch:
    """The real tokens of a padded batch, row by row.

    Attributes:
        B, S: the padded batch's shape.
        places: (T,) where each token lies in the padded batch, b * S + s.
        starts: B + 1 numbers, where each sequence begins in the packed batch; the last is T.
        input_ids: (T,), or None when embeddings were given.
        inputs_embeds: (T, H), or None.
        token_type_ids: (T,).
        position_ids: (T,); by default where each token stands in its padded row.
    """

    B: int
    S: int
    places: np.ndarray
    starts: list[int]
    input_ids: np.ndarray | None
    inputs_embeds: Tensor | None
    token_type_ids: np.ndarray
    position_ids: np.ndarray

    @property
    def T(self) -> int:
        """Number of real tokens."""
        return len(self.places)

    def pack(self, x: np.ndarray) -> np.ndarray:
        """(B, S, ...) to (T, ...)."""
        packed: np.ndarray = x.reshape(self.B * self.S, *x.shape[2:])[self.places]
        return packed

    def unpack(self, x: Tensor) -> Tensor:
        """(T, ...) to (B, S, ...), zeros at the pads."""
        if self.T != self.B * self.S:
            x = ops.place_rows(x, self.places, self.B * self.S)
        return x.reshape(self.B, self.S, *x.shape[1:])

    def shown(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T, ...) unpacked for the caller, (B, S, ...); and packed again from there, (T, ...).

        What is computed from the second has its gradient run through the first, so that a caller who asks for it
        (`retain_grad`) finds it. Without a tape the second is x itself.
        """
        padded = self.unpack(x)
        if not padded.requires_grad:
            return padded, x
        flat = padded.reshape(self.B * self.S, *x.shape[1:])
        return padded, flat if self.T == self.B * self.S else ops.take_rows(flat, self.places)

    def first_tokens(self, x: Tensor) -> Tensor:
        """(T, H) to (B, H): the first token of each sequence, wherever it stands in the padded row.

        A row without any token has no states, and zeros stand for its first.
        """
        starts = np.asarray(self.starts)
        filled = starts[1:] > starts[:-1]  # (B,)
        first = ops.take_rows(x, starts[:-1][filled])
        return first if filled.all() else ops.place_rows(first, np.flatnonzero(filled), self.B)

    def unpack_maps(self, maps: list[Any]) -> Tensor:
        """Attention maps, one (N, L, L) for each sequence, to (B, N, S, S), zeros where a pad is involved."""
        first = backend.to_numpy(maps[0])
        padded = np.zeros((self.B, first.shape[0], self.S, self.S), first.dtype)
        for b, one in enumerate(maps):
            s = self.places[self.starts[b] : self.starts[b + 1]] - b * self.S
            padded[b][:, s[:, None], s[None, :]] = backend.to_numpy(one)
        return Tensor(padded)


def pack(
    config: BertConfig,
    input_ids: Any = None,
    attention_mask: Any = None,
    token_type_ids: Any = None,
    position_ids: Any = None,
    inputs_embeds: Any = None,
) -> PackedBatch:
    """Check a padded batch and pack it.

    Args:
        config: its sizes are the limits.
        input_ids: (B, S) integers in 0..V-1.
        attention_mask: (B, S), 1 for tokens and 0 for pads; all ones if None. Holes are allowed.
        token_type_ids: (B, S) integers; all zero if None.
        position_ids: (B, S) integers; if None, 0..S-1, pads and holes counted, as in the published code. For padding on
            the left, position ids that begin at each row's first token give the states of padding on the right.
        inputs_embeds: (B, S, H) numbers or Tensor, in place of input_ids.

    Raises:
        ValueError: neither or both of input_ids and inputs_embeds, an empty batch, shapes that differ, numbers out of
            range.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("give either input_ids or inputs_embeds, and not both")
    if input_ids is not None:
        input_ids = integers(input_ids, "input_ids")
        B, S = _batch_shape(input_ids.shape, 2, "input_ids (B, S)")
    else:
        inputs_embeds = inputs_embeds if isinstance(inputs_embeds, Tensor) else Tensor(inputs_embeds)
        B, S = _batch_shape(inputs_embeds.shape, 3, "inputs_embeds (B, S, H)")
        if inputs_embeds.shape[2] != config.hidden_size:
            raise ValueError(f"inputs_embeds (B, S, H) must have H = {config.hidden_size}, got {inputs_embeds.shape}")

    shown = _mask(attention_mask, (B, S))
    places = np.flatnonzero(shown)
    starts = [0, *np.cumsum(shown.sum(axis=1)).tolist()]
    positions = (
        np.broadcast_to(np.arange(S), (B, S))
        if position_ids is None
        else _like_ids(position_ids, "position_ids", (B, S))
    )
    types = (
        np.zeros((B, S), np.int64) if token_type_ids is None else _like_ids(token_type_ids, "token_type_ids", (B, S))
    )

    batch = PackedBatch(B, S, places, starts, None, None, types.reshape(-1)[places], positions.reshape(-1)[places])
    if input_ids is not None:
        batch.input_ids = batch.pack(input_ids)
        _check_range(batch.input_ids, config.vocab_size, "input_ids", "the vocabulary (vocab_size)")
    else:
        flat = inputs_embeds.reshape(B * S, config.hidden_size)
        batch.inputs_embeds = flat if batch.T == B * S else ops.take_rows(flat, places)
    _check_range(batch.token_type_ids, config.type_vocab_size, "token_type_ids", "type_vocab_size")
    if position_ids is None and config.max_position_embeddings < S:
        raise ValueError(
            f"sequences of {S} tokens are longer than the model's {config.max_position_embeddings} positions; "
            "truncate them (the tokenizer's truncation=True, max_length=...)"
        )
    _check_range(batch.position_ids, config.max_position_embeddings, "position_ids", "max_position_embeddings")
    return batch


def integers(x: Any, name: str) -> np.ndarray:
    """`x` as a NumPy array of integers.

    Raises:
        ValueError: it is ragged, or not integers.
    """
    if isinstance(x, Tensor):
        x = x.data
    array = rectangle(x, name)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    return array


def rectangle(x: Any, name: str) -> np.ndarray:
    """`x` as a NumPy array; ValueError if its rows have different lengths."""
    try:
        return backend.to_numpy(x) if backend.is_array(x) else np.asarray(x)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths; pad them (the tokenizer's padding=True)") from None


def _batch_shape(shape: tuple[int, ...], ndim: int, what: str) -> tuple[int, int]:
    if len(shape) != ndim:
        hint = "; one sequence alone is a batch of one: [ids]" if len(shape) == ndim - 1 else ""
        raise ValueError(f"expected {what}, got shape {tuple(shape)}{hint}")
    if 0 in shape:
        raise ValueError(f"empty batch: {what} has shape {tuple(shape)}")
    return shape[0], shape[1]


def _like_ids(x: Any, name: str, shape: tuple[int, int]) -> np.ndarray:
    array = integers(x, name)
    if array.ndim == 2 and array.shape[0] == 1 and name == "position_ids":
        array = np.broadcast_to(array, (shape[0], array.shape[1]))  # one row of positions for all
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, the batch {shape}; they must be equal")
    return array


def _mask(attention_mask: Any, shape: tuple[int, int]) -> np.ndarray:
    if attention_mask is None:
        return np.ones(shape, bool)
    if isinstance(attention_mask, Tensor):
        attention_mask = attention_mask.data
    mask = rectangle(attention_mask, "attention_mask")
    if mask.shape != shape:
        raise ValueError(f"attention_mask has shape {mask.shape}, the batch {shape}; they must be equal")
    if mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        raise ValueError("attention_mask must hold 1 for tokens and 0 for pads, nothing else")
    return mask.astype(bool)


def _check_range(ids: np.ndarray, limit: int, name: str, of: str) -> None:
    if len(ids) and (ids.min() < 0 or ids.max() >= limit):
        wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise ValueError(f"{name} must lie in 0..{limit - 1}, the range of {of}; got {wrong}")
