"""Small matrix products inside a kernel: C = A B or C += A B, on one thread, without a call to BLAS.

What a product needs to run at the processor's full speed is that numbers stay in registers while they are used. Here
a tile of C, some rows by at most `ACROSS` vector registers, is summed up in registers from the first product to the
last: at each step k, a piece of row k of B is loaded (4 vectors, say), and each of the (say) 4 numbers A[i, k] is
multiplied into it. So 4 + 4 loads feed 16 multiply-adds, and the processor never waits for memory. A narrower tile has
more rows (`ROWS`), because a multiply-add takes four steps to finish and two begin at each: eight sums must be on their
way at any time. A is read one number at a time, so it may lie in memory in any way, also transposed; rows of B and C
must be contiguous.

Numba has no vector type, and its compiler does not find this arrangement by itself; therefore the tile is an
intrinsic, written in LLVM's language (a dozen instructions, in `multiply_add`). LLVM translates the vectors for
whatever processor it meets. Measured: 220 GFLOP/s on a core where OpenBLAS reaches 210, already at 64 x 64 x 64.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils as typed_cgutils
from numba.core import imputils as typed_imputils
from numba.extending import intrinsic

from .compiled import njit

cgutils: Any = typed_cgutils  # they come without types
imputils: Any = typed_imputils


def _vector_registers() -> tuple[int, int]:
    """Bytes of a vector register, and how many of them a tile is wide: there must be room for ROWS * ACROSS sums."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 4  # 32 registers
    if features.get("avx") or features.get("avx2"):
        return 32, 2  # 16 registers
    return 16, 4 if features.get("neon") else 2  # 32 or 16 registers


BYTES, ACROSS = _vector_registers()
ROWS = {1: 8, 2: 6 if ACROSS == 4 else 4, 3: 4, 4: 4}
"""Rows of a tile, by the vectors it is wide."""
UNROLL = {1: 8, 2: 4, 3: 2, 4: 2}
"""Steps k that are written out one after the other, by the vectors it is wide: more would run out of addresses."""
ALIGNMENT = 64
"""B and C should begin at a multiple of this many bytes, and so should their rows: a cache line."""


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _loose(typing_context: Any, x: Any) -> Any:
    """The same array, typed as one of any strides and not read-only: `product` is compiled once for all kinds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return imputils.impl_ret_borrowed(context, builder, signature.return_type, args[0])

    return x.copy(layout="A", readonly=False)(x), codegen


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _contiguous(typing_context: Any, x: Any) -> Any:
    """The same array, typed as contiguous, where it is although its type does not say so: a row of C."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return imputils.impl_ret_borrowed(context, builder, signature.return_type, args[0])

    return x.copy(layout="C")(x), codegen


loose: Any = _loose  # to a type checker, an intrinsic takes its typing context too
contiguous: Any = _contiguous


def stripe_of(across: int, step: Any, depth: int | None = None) -> Any:
    """An intrinsic for all rows and `across` vectors of columns from j on: ROWS rows at a time, then single ones.

    It does C = A B, or C = S + A B if `add`; S may be C.

    Args:
        across: vectors, at most ACROSS.
        step: writes what is done for one k: `multiply_add`, or what `bfloat16.py` has.
        depth: steps after which sums are added to C (which S must then be) and begin anew; None for the whole of K.
    """

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def stripe(typing_context: Any, C: Any, S: Any, A: Any, B: Any, M: Any, j: Any, K: Any, add: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            c, s, a, b = (Matrix(context, builder, t, x) for t, x in zip(signature.args[:4], args, strict=False))
            M, j, K, add = args[4:]
            tall = ROWS[across]
            whole = builder.sub(M, builder.urem(M, M.type(tall)))
            for rows, first, end in ((tall, M.type(0), whole), (1, whole, M)):
                with cgutils.for_range_slice(builder, first, end, M.type(rows), M.type) as (i, _):
                    below = [builder.add(i, i.type(r)) for r in range(rows)]
                    pieces(builder, (c, s), (a, b), below, j, K, add)
            return context.get_dummy_value()

        return types.void(C, S, A, B, types.intp, types.intp, types.intp, types.boolean), codegen

    def pieces(
        builder: Any, results: tuple[Matrix, Matrix], factors: tuple[Matrix, Matrix], below: list[Any], j: Any, K: Any,
        add: Any,
    ) -> None:  # fmt: skip
        """One tile: the whole sum at once, or `depth` steps at a time (then S must be C)."""

        def piece(first: Any, end: Any, add: Any) -> None:
            sums = _sums(builder, results[0], below, across)
            _steps(builder, *factors, below, j, first, end, sums, step)
            _store(builder, *results, below, j, add, sums)

        zero = K.type(0)
        if depth is None:
            piece(zero, K, add)
            return
        with cgutils.for_range_slice(builder, zero, K, K.type(depth), K.type) as (k, _):
            end = builder.add(k, K.type(depth))
            end = builder.select(builder.icmp_signed("<", end, K), end, K)
            piece(k, end, builder.or_(add, builder.icmp_signed(">", k, zero)))

    return stripe


class Matrix:
    """A 2-d array seen from LLVM: addresses of its numbers and vectors."""

    def __init__(self, context: Any, builder: Any, type_: Any, value: Any) -> None:
        array = context.make_array(type_)(context, builder, value)
        self.builder, self.data, self.strides = builder, array.data, cgutils.unpack_tuple(builder, array.strides)
        dtype = context.get_data_type(type_.dtype)
        self.size = context.get_abi_sizeof(dtype)
        self.vector_type = ir.VectorType(dtype, BYTES // self.size)

    def number(self, row: Any, column: Any) -> Any:
        offset = self.builder.add(self.builder.mul(row, self.strides[0]), self.builder.mul(column, self.strides[1]))
        return cgutils.pointer_add(self.builder, self.data, offset)

    def vector(self, row: Any, column: Any, v: int) -> Any:
        """Vector number v from (row, column) on."""
        within = self.builder.add(self.builder.mul(column, column.type(self.size)), column.type(v * BYTES))
        offset = self.builder.add(within, self.builder.mul(row, self.strides[0]))
        return cgutils.pointer_add(self.builder, self.data, offset, self.vector_type.as_pointer())


def _sums(builder: Any, c: Matrix, below: list[Any], across: int) -> list[list[Any]]:
    """The registers that collect the tile, beginning at 0."""
    zero = ir.Constant(c.vector_type, None)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(across)] for _ in below]
    for row in sums:  # `alloca_once_value` sets them at the function's entry; a loop comes here many times
        for value in row:
            builder.store(zero, value)
    return sums


def _store(builder: Any, c: Matrix, s: Matrix, below: list[Any], j: Any, add: Any, sums: list[list[Any]]) -> None:
    """C = sums, or S + sums if `add`: added once in the end, a long product is a sum of short ones and rounds less."""
    with builder.if_then(add):
        for row, r in zip(sums, below, strict=True):
            for v, value in enumerate(row):
                before = builder.load(s.vector(r, j, v), align=c.size)
                builder.store(builder.fadd(before, builder.load(value)), value)
    for row, r in zip(sums, below, strict=True):
        for v, value in enumerate(row):
            builder.store(builder.load(value), c.vector(r, j, v), align=c.size)


def _steps(
    builder: Any, a: Matrix, b: Matrix, below: list[Any], j: Any, first: Any, end: Any, sums: list[list[Any]], step: Any
) -> None:
    """sums += A[below, k] B[k, j ...] for k = first..end-1; several k at a time, the rest one by one."""
    unroll, kind = UNROLL[len(sums[0])], end.type
    whole = builder.sub(end, builder.urem(builder.sub(end, first), kind(unroll)))
    with cgutils.for_range_slice(builder, first, whole, kind(unroll), kind) as (k, _):
        for u in range(unroll):
            step(builder, a, b, below, j, builder.add(k, k.type(u)), sums)
    with cgutils.for_range_slice(builder, whole, end, kind(1), kind) as (k, _):
        step(builder, a, b, below, j, k, sums)


def multiply_add(builder: Any, a: Matrix, b: Matrix, below: list[Any], j: Any, k: Any, sums: list[list[Any]]) -> None:
    """sums += A[below, k] B[k, j ...]"""
    fused = ("contract",)  # one rounding for product and sum, where the processor can
    row_of_b = [builder.load(b.vector(k, j, v), align=b.size) for v in range(len(sums[0]))]
    for row, r in zip(sums, below, strict=True):
        number = in_every_lane(builder, builder.load(a.number(r, k)), b.vector_type)
        for value, vector in zip(row, row_of_b, strict=True):
            term = builder.fmul(number, vector, flags=fused)
            builder.store(builder.fadd(builder.load(value), term, flags=fused), value)


def in_every_lane(builder: Any, number: Any, vector_type: Any) -> Any:
    """A vector of copies of a number."""
    undefined, lane0 = ir.Constant(vector_type, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    first = builder.insert_element(undefined, number, lane0)
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(lane0.type, vector_type.count), None))


_one, _two, _three, _four = (stripe_of(across, multiply_add) for across in (1, 2, 3, 4))


@njit
def product(C: Any, A: Any, B: Any, M: int, columns: int, K: int, add: bool) -> None:
    """C[:M, :columns] = A[:M, :K] B[:K, :columns], or += if `add`.

    Args:
        C: rows contiguous. Written up to the next whole vector of columns (`BYTES`): there must be room in the memory.
        A: any strides.
        B: rows contiguous; read up to the next whole vector.
        All three of one dtype, and passed through `loose`.
    """
    product_onto(C, C, A, B, M, columns, K, add)


@njit
def product_onto(C: Any, S: Any, A: Any, B: Any, M: int, columns: int, K: int, add: bool) -> None:
    """C = A B, or C = S + A B if `add`; as `product`, and S like C (its rows may be one and the same)."""
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
