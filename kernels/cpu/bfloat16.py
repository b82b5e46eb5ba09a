"""Products of bfloat16 numbers with sums in float32.

A bfloat16 is a float32 without the last 16 bits: the same range, three digits. Processors that have an instruction for
it multiply and add two pairs where they did one: c += a0 b0 + a1 b1. So two neighbours of the sum, numbers k and k + 1,
lie together in 32 bits here, the first in the lower half, and a product over K numbers is one over K / 2 pairs, in the
same tiles as in `tiles.py`. Elsewhere the two products are done one after the other: the same numbers, without the
gain.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiled import njit
from .tiles import ACROSS, BYTES, Matrix, in_every_lane, stripe_of

FAST = BYTES == 64 and bool(llvm.get_host_cpu_features().get("avx512bf16")) and llvm.llvm_version_info[0] >= 20
"""Whether this processor has the instruction, and the compiler knows it by the name used here."""


class _BFloat16(ir.types.Type):  # type: ignore[misc, unused-ignore]
    """LLVM's bfloat, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


def _step(builder: Any, a: Matrix, b: Matrix, below: list[Any], j: Any, k: Any, sums: list[list[Any]]) -> None:
    """sums += A[below, pair k] B[pair k, j ...]"""
    row_of_b = [builder.load(b.vector(k, j, v), align=b.size) for v in range(len(sums[0]))]
    for row, r in zip(sums, below, strict=True):
        pair = in_every_lane(builder, builder.load(a.number(r, k)), b.vector_type)
        for value, vector in zip(row, row_of_b, strict=True):
            builder.store(_multiply_add(builder, builder.load(value), pair, vector), value)


def _multiply_add(builder: Any, c: Any, a: Any, b: Any) -> Any:
    """c + a0 b0 + a1 b1, in every lane: c of float32, a and b of pairs."""
    if FAST:
        halves = ir.VectorType(_BFloat16(), 2 * c.type.count)
        name, kind = "llvm.x86.avx512bf16.dpbf16ps.512", ir.FunctionType(c.type, [c.type, halves, halves])
        instruction = builder.module.declare_intrinsic(name, (), kind)
        return builder.call(instruction, [c, builder.bitcast(a, halves), builder.bitcast(b, halves)])
    sixteen = ir.Constant(a.type, [16] * a.type.count)
    upper = ir.Constant(a.type, [0xFFFF0000] * a.type.count)
    for half, mask in ((builder.shl, sixteen), (builder.and_, upper)):
        a_half, b_half = (builder.bitcast(half(x, mask), c.type) for x in (a, b))
        c = builder.fadd(c, builder.fmul(a_half, b_half, flags=("contract",)), flags=("contract",))
    return c


_one, _two, _three, _four = (stripe_of(across, _step) for across in (1, 2, 3, 4))


@njit
def product_of_pairs(C: Any, S: Any, A: Any, B: Any, M: int, columns: int, K: int, add: bool) -> None:
    """C[:M, :columns] = A[:M, :K] B[:K, :columns], or that and S if `add`; K counts pairs.

    Args:
        C, S: float32, rows contiguous. Written, and read, up to the next whole vector of columns.
        A, B: uint32, two bfloat16 each: A of any strides, B with contiguous rows, read up to the next whole vector.
        All passed through `loose`.
    """
    lanes = BYTES // C.itemsize
    vectors = (columns + lanes - 1) // lanes
    done = 0
    while done < vectors:
        across, j = min(ACROSS, vectors - done), done * lanes
        if across == 4:
            _four(C, S, A, B, M, j, K, add)
        elif across == 3:
            _three(C, S, A, B, M, j, K, add)
        elif across == 2:
            _two(C, S, A, B, M, j, K, add)
        else:
            _one(C, S, A, B, M, j, K, add)
        done += across


# ---- rounding --------------------------------------------------------------------------------------------------------


@njit
def pair_of(first: Any, second: Any) -> Any:
    """The bits of two float32, rounded to bfloat16, in 32 bits."""
    return _rounded(first) >> np.uint32(16) | _rounded(second)


@njit
def _rounded(bits: Any) -> Any:
    """The bits of a float32, rounded to the nearest bfloat16, to the even one of two; a NaN stays a NaN."""
    up = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    nan = bits & np.uint32(0x7FFFFFFF) > np.uint32(0x7F800000)
    return (bits | np.uint32(0x400000) if nan else up) & np.uint32(0xFFFF0000)


def _rounded_vector(builder: Any, bits: Any) -> Any:
    """`_rounded` in every lane."""

    def all_lanes(number: int) -> Any:
        return ir.Constant(bits.type, [number] * bits.type.count)

    odd = builder.and_(builder.lshr(bits, all_lanes(16)), all_lanes(1))
    up = builder.add(bits, builder.add(odd, all_lanes(0x7FFF)))
    nan = builder.icmp_unsigned(">", builder.and_(bits, all_lanes(0x7FFFFFFF)), all_lanes(0x7F800000))
    chosen = builder.select(nan, builder.or_(bits, all_lanes(0x400000)), up)
    return builder.and_(chosen, all_lanes(0xFFFF0000))


def _pairs_of_vectors(builder: Any, first: Any, second: Any) -> Any:
    """`pair_of` in every lane."""
    sixteen = ir.Constant(first.type, [16] * first.type.count)
    return builder.or_(builder.lshr(_rounded_vector(builder, first), sixteen), _rounded_vector(builder, second))


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _vector_of_rows(typing_context: Any, target: Any, source: Any, k: Any, c: Any) -> Any:
    """target[k, c ...] = pairs of source[2 k, c ...] and source[2 k + 1, c ...], a vector of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into, out_of = (Matrix(context, builder, t, x) for t, x in zip(signature.args[:2], args, strict=False))
        k, c = args[2:]
        row = builder.mul(k, k.type(2))
        first, second = (out_of.vector(builder.add(row, row.type(r)), c, 0) for r in (0, 1))
        pairs = _pairs_of_vectors(builder, *(builder.load(x, align=out_of.size) for x in (first, second)))
        builder.store(pairs, into.vector(k, c, 0), align=into.size)
        return context.get_dummy_value()

    return types.void(target, source, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _vector_of_columns(typing_context: Any, target: Any, source: Any, r: Any, k: Any) -> Any:
    """target[r, k ...] = pairs of the neighbours source[r, 2 k ...], a vector of them."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into, out_of = (Matrix(context, builder, t, x) for t, x in zip(signature.args[:2], args, strict=False))
        r, k = args[2:]
        column = builder.mul(k, k.type(2))
        numbers = [builder.load(out_of.vector(r, column, v), align=out_of.size) for v in (0, 1)]
        lanes = numbers[0].type.count
        even, odd = (
            builder.shuffle_vector(*numbers, ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(places)))
            for places in (range(0, 2 * lanes, 2), range(1, 2 * lanes, 2))
        )
        builder.store(_pairs_of_vectors(builder, even, odd), into.vector(r, k, 0), align=into.size)
        return context.get_dummy_value()

    return types.void(target, source, types.intp, types.intp), codegen


vector_of_rows: Any = _vector_of_rows  # to a type checker, an intrinsic takes its typing context too
vector_of_columns: Any = _vector_of_columns


@njit
def pair_rows(target: Any, source: Any, rows: int, columns: int) -> None:
    """target[k, c] = the pair of source[2 k, c] and source[2 k + 1, c], or of the last row and 0.

    Args:
        target: uint32, rows contiguous, (rows + 1) // 2 or more rows.
        source: uint32, the bits of float32, rows contiguous. Both passed through `loose`.
    """
    lanes, nothing = BYTES // 4, np.uint32(0)
    for k in range((rows + 1) // 2):
        c = 0
        if 2 * k + 1 < rows:
            while c + lanes <= columns:
                vector_of_rows(target, source, k, c)
                c += lanes
        while c < columns:
            target[k, c] = pair_of(source[2 * k, c], source[2 * k + 1, c] if 2 * k + 1 < rows else nothing)
            c += 1


@njit
def pair_columns(target: Any, source: Any, rows: int, columns: int) -> None:
    """target[r, k] = the pair of source[r, 2 k] and source[r, 2 k + 1], or of the last number and 0; as `pair_rows`."""
    lanes, nothing = BYTES // 4, np.uint32(0)
    for r in range(rows):
        k = 0
        while 2 * (k + lanes) <= columns:
            vector_of_columns(target, source, r, k)
            k += lanes
        while k < (columns + 1) // 2:
            target[r, k] = pair_of(source[r, 2 * k], source[r, 2 * k + 1] if 2 * k + 1 < columns else nothing)
            k += 1
