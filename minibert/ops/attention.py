"""Scaled dot-product attention of many heads, over packed sequences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.dropout import check_probability
from minibert.ops.shape import concat, reshape
from minibert.ops.softmax import softmax_backward, softmax_forward
from minibert.philox import Key, keep_mask, next_key


class Attention(Op, kernel="attention"):
    """context = softmax(Q K^T / sqrt(D)) V, for each head of each sequence by itself.

    Tokens of all sequences lie one behind the other; sequence i owns rows starts[i]..starts[i + 1] - 1. Since a
    sequence only ever meets its own keys, there are no pads and no mask. Queries, keys and values come stacked as one
    array, (3, T, N, D), since one matrix product makes all three of them.

    Source: Vaswani et al., "Attention Is All You Need", section 3.2.1, equation 1; dropout on the probabilities as in
    BERT, appendix A.2.
    """

    def forward(self, qkv: Array, *, starts: Sequence[int], p: float, key: Key | None) -> Array:
        xp = namespace(qkv)
        scale = 1.0 / math.sqrt(qkv.shape[-1])
        context = xp.zeros_like(qkv[0, ...])  # (T, N, D)
        probabilities = []
        for tokens in _sequences(starts):
            Q, K, V = (_heads_first(qkv[i, tokens, ...]) for i in range(3))  # (N, L, D)
            scores = xp.matmul(Q, xp.matrix_transpose(K)) * scale  # (N, L, L)
            P = softmax_forward(scores)  # (N, L, L)
            dropped = P if key is None else P * _dropout_scale(P, tokens, p, key)  # (N, L, L)
            context[tokens, ...] = _heads_first(xp.matmul(dropped, V))  # back to (L, N, D)
            probabilities.append(P)
        self.save(qkv, probabilities, starts, p, key)
        return context

    def backward(self, dcontext: Array) -> Array:
        qkv, probabilities, starts, p, key = self.saved
        xp = namespace(qkv)
        scale = 1.0 / math.sqrt(qkv.shape[-1])
        dqkv = xp.zeros_like(qkv)  # (3, T, N, D)
        for tokens, P in zip(_sequences(starts), probabilities, strict=True):
            Q, K, V = (_heads_first(qkv[i, tokens, ...]) for i in range(3))  # (N, L, D)
            dC = _heads_first(dcontext[tokens, ...])  # (N, L, D)
            m = None if key is None else _dropout_scale(P, tokens, p, key)  # (N, L, L), the mask of forward
            dropped = P if m is None else P * m
            dV = xp.matmul(xp.matrix_transpose(dropped), dC)  # (N, L, D)
            dP = xp.matmul(dC, xp.matrix_transpose(V))  # (N, L, L)
            dP = dP if m is None else dP * m
            dscores = softmax_backward(dP, P) * scale  # (N, L, L)
            dQ = xp.matmul(dscores, K)  # (N, L, D)
            dK = xp.matmul(xp.matrix_transpose(dscores), Q)  # (N, L, D)
            for i, dX in enumerate((dQ, dK, dV)):
                dqkv[i, tokens, ...] = _heads_first(dX)  # back to (L, N, D)
        return dqkv


def _sequences(starts: Sequence[int]) -> Iterator[slice]:
    for first, end in pairwise(starts):
        if end > first:
            yield slice(int(first), int(end))


def _heads_first(x: Array) -> Array:
    """(L, N, D) to (N, L, D), and back."""
    return namespace(x).permute_dims(x, (1, 0, 2))


def _dropout_scale(P: Array, tokens: slice, p: float, key: Key) -> Array:
    """1 / (1 - p) or 0 for each probability: for query t of head n and key j, from row t N + n and column j."""
    xp = namespace(P)
    N, L, _ = P.shape
    t = xp.arange(tokens.start, tokens.stop, dtype=xp.uint64, device=P.device)
    n = xp.arange(N, dtype=xp.uint64, device=P.device)
    rows = xp.expand_dims(t, axis=0) * N + xp.expand_dims(n, axis=1)  # (N, L)
    keep = xp.reshape(keep_mask(xp.reshape(rows, (-1,)), L, p, key), (N, L, L))
    return xp.astype(keep, P.dtype) / (1.0 - p)


def self_attention(
    qkv: Tensor,
    *,
    starts: Sequence[int],
    p: float = 0.0,
    training: bool = False,
    key: Key | None = None,
) -> Tensor:
    """Multi-head attention over packed sequences, queries, keys and values stacked.

    Args:
        qkv: (3, T, N, D): queries, keys, values.
        starts: (B + 1,) integers: 0, ..., T, where each sequence begins and the last one ends.
        p: probability of dropping an attention weight, used when training.
        key: what the dropout is drawn from; the next key of the run's sequence if None.

    Returns:
        (T, N, D).

    Raises:
        ValueError: qkv of another shape, starts that do not rise from 0 to T, p outside [0, 1).
    """
    if qkv.ndim != 4 or qkv.shape[0] != 3:
        raise ValueError(f"self_attention needs queries, keys and values stacked as (3, T, N, D), got {qkv.shape}")
    check_starts(starts, qkv.shape[1])
    p = check_probability(p)
    if not training or p == 0.0:
        return Attention.apply(qkv, starts=starts, p=0.0, key=None)
    return Attention.apply(qkv, starts=starts, p=p, key=next_key() if key is None else key)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    starts: Sequence[int],
    p: float = 0.0,
    training: bool = False,
    key: Key | None = None,
) -> Tensor:
    """`self_attention` of queries, keys and values that come one by one; stacking them costs a copy.

    Args:
        q, k, v: (T, N, D) each.
        starts, p, training, key: as in `self_attention`.

    Returns:
        (T, N, D).

    Raises:
        ValueError: shapes that differ, starts that do not rise from 0 to T, p outside [0, 1).
    """
    if q.ndim != 3 or q.shape != k.shape or q.shape != v.shape:
        raise ValueError(f"attention needs q, k and v of one shape (T, N, D), got {q.shape}, {k.shape}, {v.shape}")
    stacked = concat([reshape(x, shape=(1, *x.shape)) for x in (q, k, v)], axis=0)  # (3, T, N, D)
    return self_attention(stacked, starts=starts, p=p, training=training, key=key)


def check_starts(starts: Sequence[int], tokens: int) -> None:
    """Refuse sequence bounds that do not rise from 0 to the number of tokens."""
    rising = all(a <= b for a, b in pairwise(starts))
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != tokens or not rising:
        raise ValueError(f"starts must rise from 0 to the number of tokens, {tokens}; got {list(starts)[:8]}")


def attention_probabilities(q: Array, k: Array, starts: Sequence[int]) -> list[Array]:
    """The attention maps themselves, for looking at: softmax(Q K^T / sqrt(D)), one (N, L, L) array a sequence.

    Args:
        q, k: (T, N, D) arrays (no gradient runs through this).
        starts: (B + 1,).
    """
    xp = namespace(q)
    scale = 1.0 / math.sqrt(q.shape[-1])
    maps = []
    for first, end in pairwise(starts):
        Q, K = _heads_first(q[int(first) : int(end), ...]), _heads_first(k[int(first) : int(end), ...])  # (N, L, D)
        L, N = end - first, q.shape[1]
        empty = xp.zeros((N, 0, 0), dtype=q.dtype, device=q.device)
        maps.append(softmax_forward(xp.matmul(Q, xp.matrix_transpose(K)) * scale) if L else empty)  # (N, L, L)
    return maps
