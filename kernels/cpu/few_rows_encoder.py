"""The encoder for few rows (a single short sentence): a whole layer in one hand-over to the threads.

A layer of few rows is over in a millisecond, in which ten ops one by one would hand over work to the threads ten times,
through the interpreter. Here each thread runs through the whole layer, and where it needs what another one computes
they meet (`meeting.py`).

As in `few_rows.py` the states lie turned, a column for each token, because every product is W x^T. They stay so from
the beginning of a layer to its end: a head's queries, keys and values are rows that follow one another, the softmax of
a query runs down a column, and only a LayerNorm, which wants the numbers of a token together, turns them round and
back.

Every thread keeps the states for itself, as rows and turned: to compute a LayerNorm twice takes less time than to wait
for another's half of it. What they share is what the products write, each thread some of the rows.

Everything is the formulas of `minibert.ops` (projections, attention, linear, add_layer_norm, bias_gelu); the attention
is that of `attention_forward.py` with a single tile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils as typed_cgutils
from numba.extending import intrinsic

from . import threads
from .add_layer_norm import add
from .arrays import inputs
from .attention_forward import exp_and_sum, raise_maximum, rescale
from .attention_tiles import BLOCK, LANES, TILE, whole_lanes
from .compiled import njit
from .few_rows import FEW_ROWS, turned_product
from .gelu import gelu_and_slope
from .layer_norm import row_forward, row_statistics
from .meeting import is_broken, meet
from .pool import Pool
from .tiles import ALIGNMENT, Matrix, in_every_lane, loose, product
from .transpose import transpose_into
from .vector_math import FLAGS

cgutils: Any = typed_cgutils

MOST_ROWS = min(FEW_ROWS, BLOCK, TILE)


def few_rows_encoder(
    x: np.ndarray, starts: Sequence[int], layers: Sequence[Sequence[np.ndarray]], *, heads: int, eps: float
) -> np.ndarray:
    """The states after the last layer.

    Args:
        x: (T, H), 1 <= T <= MOST_ROWS.
        starts: where each sequence begins, and T.
        layers: of each, weight and bias of query, key, value and attention.output.dense, attention.output.LayerNorm,
            then of intermediate.dense, output.dense and output.LayerNorm: 16 arrays.
        heads: N.
        eps: of the LayerNorms.

    Returns:
        (T, H).
    """

    def encode(pool: Pool | None, parts: int) -> np.ndarray | Literal[False]:
        return _encode(pool, parts, x, starts, layers, heads, float(eps))

    rows = threads.together(encode)
    return encode(None, 1) if rows is None or rows is False else rows  # type: ignore[return-value]


def _encode(
    pool: Pool | None, parts: int, x: np.ndarray, starts: Sequence[int], layers: Sequence[Sequence[np.ndarray]],
    heads: int, eps: float,
) -> np.ndarray | Literal[False]:  # fmt: skip
    """The states after the last layer, by so many threads; False if one went on without the others."""
    begins, counter = np.asarray(starts, np.int64), np.zeros(8, np.int64)
    shared, own = _workspace(x, _width(starts), len(layers[0][10]), parts)
    for layer in layers:
        common = (counter, begins, heads, eps, *shared)
        weights = inputs(*layer)
        work = [(part, parts, *common, *own[part], *weights) for part in range(parts)]
        if pool is None:
            _layer(*work[0])
        else:
            pool.run(_layer, work, barrier=counter)
    return False if is_broken(counter) else own[0].rows


def _width(starts: Sequence[int]) -> int:
    """Columns of the arrays inside: attention reads and writes whole vectors from a sequence's first one on."""
    ends = [a + -(-(b - a) // LANES) * LANES for a, b in pairwise(starts)]
    return -(-max(ends) // LANES) * LANES


class _Own(NamedTuple):
    """What a thread has for itself: the states (T, H), the same turned (H, width), and memory to work in."""

    rows: np.ndarray
    turned: np.ndarray
    sums: np.ndarray  # (T, H)
    scores: np.ndarray  # (TILE, BLOCK), of a head
    columns: np.ndarray  # (3, BLOCK), of its queries


def _workspace(x: np.ndarray, width: int, F: int, parts: int) -> tuple[tuple[np.ndarray, ...], list[_Own]]:
    """What the threads share, (3 H, width), (H, width), (H, width), (F, width), and what is each one's own."""
    T, H = x.shape
    shared = tuple(_aligned(rows, width, x.dtype) for rows in (3 * H, H, H, F))
    own = [
        _Own(x.copy(), _aligned(H, width, x.dtype), np.empty_like(x), _aligned(TILE, BLOCK, x.dtype),
             _aligned(3, BLOCK, x.dtype))
        for _ in range(parts)
    ]  # fmt: skip
    for one in own:
        one.turned[:, :T] = x.T
    return shared, own


def _aligned(rows: int, columns: int, dtype: Any) -> np.ndarray:
    """An array of zeros (what lies beyond the last token is computed with the rest) that begins at a cache line."""
    raw = np.zeros(rows * columns * dtype.itemsize + ALIGNMENT, np.uint8)
    begin = -raw.ctypes.data % ALIGNMENT
    numbers: np.ndarray = raw[begin : begin + rows * columns * dtype.itemsize].view(dtype)
    return numbers.reshape(rows, columns)


@njit
def _layer(
    part: int, parts: int, counter: Any, starts: Any, heads: int, eps: float,
    qkvT: Any, contextT: Any, sumT: Any, wideT: Any,
    rows: Any, turned: Any, sums: Any, scores: Any, columns: Any,
    w_query: Any, b_query: Any, w_key: Any, b_key: Any, w_value: Any, b_value: Any,
    w_out: Any, b_out: Any, gamma_1: Any, beta_1: Any,
    w_in: Any, b_in: Any, w_back: Any, b_back: Any, gamma_2: Any, beta_2: Any,
) -> None:  # fmt: skip
    """One layer: this thread's part of it. `rows` and `turned` hold the states before, and after."""
    H, F = turned.shape[0], wideT.shape[0]
    first, end = H * part // parts, H * (part + 1) // parts
    _dense(first, end, w_query, turned, qkvT[:H])
    _dense(first, end, w_key, turned, qkvT[H : 2 * H])
    _dense(first, end, w_value, turned, qkvT[2 * H :])
    add_bias(loose(qkvT[:H]), loose(b_query), first, end)
    add_bias(loose(qkvT[H : 2 * H]), loose(b_key), first, end)
    add_bias(loose(qkvT[2 * H :]), loose(b_value), first, end)
    meet(counter, parts)
    for n in range(heads * part // parts, heads * (part + 1) // parts):
        _head(n, heads, starts, qkvT, contextT, scores, columns)
    meet(counter, parts)
    _dense(first, end, w_out, contextT, sumT)
    meet(counter, parts)
    _add_layer_norm(sumT, b_out, gamma_1, beta_1, eps, sums, rows, turned)
    first_wide, end_wide = F * part // parts, F * (part + 1) // parts
    _dense(first_wide, end_wide, w_in, turned, wideT)
    add_bias(loose(wideT), loose(b_in), first_wide, end_wide)
    _gelu(wideT[first_wide:end_wide].reshape(-1))
    meet(counter, parts)
    _dense(first, end, w_back, wideT, sumT)
    meet(counter, parts)
    _add_layer_norm(sumT, b_back, gamma_2, beta_2, eps, sums, rows, turned)


@njit
def _dense(first: int, end: int, weight: Any, xT: Any, yT: Any) -> None:
    """yT[first:end] = weight[first:end] xT"""
    turned_product(loose(yT[first:end]), loose(weight[first:end]), loose(xT))


@njit(fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def _head(n: int, heads: int, starts: Any, qkvT: Any, contextT: Any, scores: Any, columns: Any) -> None:
    """Attention of head n, one sequence after the other: what is written behind one is then written by the next."""
    H = contextT.shape[0]
    D = H // heads
    scale = scores.dtype.type(1 / math.sqrt(D))
    largest, total, factor = columns[0], columns[1], columns[2]
    flat = scores.reshape(-1)
    for b in range(starts.shape[0] - 1):
        first, keys = starts[b], starts[b + 1] - starts[b]
        W = whole_lanes(keys)
        q, k, v = qkvT[n * D :, first:], qkvT[H + n * D :, first:], qkvT[2 * H + n * D :, first:]
        product(loose(scores), loose(k[:D].T), loose(q), keys, W, D, keys < 0)
        for i in range(keys * BLOCK):
            flat[i] *= scale
        flat[keys * BLOCK : (keys + 3) // 4 * 4 * BLOCK] = -np.inf
        largest[:], total[:] = -np.inf, 0
        raise_maximum(flat, keys, W, largest, factor)
        exp_and_sum(flat, keys, W, largest, total)
        for i in range(W):
            factor[i] = 1 / total[i]
        rescale(scores[:keys], W, total, factor)
        product(loose(contextT[n * D :, first:]), loose(v[:D]), loose(scores), D, W, keys, keys < 0)


@njit(fastmath=FLAGS, error_model="numpy")
def _gelu(x: Any) -> None:
    for i in range(x.shape[0]):
        x[i] = gelu_and_slope(x[i])[0]


@njit
def _add_layer_norm(
    xT: Any, bias: Any, gamma: Any, beta: Any, eps: float, sums: Any, rows: Any, turned: Any
) -> None:  # fmt: skip
    """rows = LayerNorm(rows + x + bias), and `turned` the same turned round."""
    T, H = rows.shape
    transpose_into(loose(sums), loose(xT), T, H)
    for r in range(T):
        add(sums[r], sums[r], bias, rows[r], sums[r], False)
        mean, inv_std = row_statistics(sums[r], eps)
        row_forward(sums[r], mean, inv_std, gamma, beta, rows[r])
    transpose_into(loose(turned), loose(rows), H, T)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _add_bias(typing_context: Any, yT: Any, bias: Any, first: Any, end: Any) -> Any:
    """yT[o, :] += bias[o] for o = first..end-1; rows of whole vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        y = Matrix(context, builder, signature.args[0], args[0])
        b = context.make_array(signature.args[1])(context, builder, args[1])
        stride = cgutils.unpack_tuple(builder, b.strides)[0]
        width = cgutils.unpack_tuple(builder, context.make_array(signature.args[0])(context, builder, args[0]).shape)[1]
        first, end = args[2:]
        with cgutils.for_range_slice(builder, first, end, first.type(1), first.type) as (o, _):
            number = builder.load(cgutils.pointer_add(builder, b.data, builder.mul(o, stride)))
            shift = in_every_lane(builder, number, y.vector_type)
            step = first.type(y.vector_type.count)
            with cgutils.for_range_slice(builder, first.type(0), width, step, first.type) as (j, _):
                place = y.vector(o, j, 0)
                builder.store(builder.fadd(builder.load(place, align=y.size), shift), place, align=y.size)
        return context.get_dummy_value()

    return types.void(yT, bias, types.intp, types.intp), codegen


add_bias: Any = _add_bias  # to a type checker, an intrinsic takes its typing context too
