"""Copying a matrix into its transpose, a square of vector registers at a time.

Number by number, each read or each write would hop a whole row ahead. Here L rows of L numbers (L: numbers in a vector
register) are loaded; then blocks of 1 x 1, 2 x 2, 4 x 4 ... off the diagonal of each square change places, two rows at
a time: log2(L) rounds of L shuffles in registers, and the rows are columns.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .compiled import njit
from .tiles import BYTES, Matrix


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _square(typing_context: Any, target: Any, source: Any, i: Any, j: Any) -> Any:
    """target[i : i + L, j : j + L] = source[j : j + L, i : i + L]^T"""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        into, out_of = (Matrix(context, builder, t, x) for t, x in zip(signature.args[:2], args, strict=False))
        i, j = args[2:]
        kind = into.vector_type
        lanes = [i.type(r) for r in range(kind.count)]
        addresses = [builder.bitcast(out_of.number(builder.add(j, r), i), kind.as_pointer()) for r in lanes]
        rows = _exchange(builder, [builder.load(address, align=out_of.size) for address in addresses])
        for r, row in zip(lanes, rows, strict=True):
            builder.store(row, into.vector(builder.add(i, r), j, 0), align=into.size)
        return context.get_dummy_value()

    return types.void(target, source, types.intp, types.intp), codegen


square: Any = _square  # to a type checker, an intrinsic takes its typing context too


def _exchange(builder: Any, rows: list[Any]) -> list[Any]:
    """The transpose of a square of registers."""
    lanes, step = len(rows), 1
    while step < lanes:
        odd = [x // step % 2 for x in range(lanes)]  # lanes of the second block of each pair
        upper = [x + odd[x] * (lanes - step) for x in range(lanes)]  # counted on into the other row
        lower = [x + step + odd[x] * (lanes - step) for x in range(lanes)]
        for r in range(lanes):
            if not odd[r]:
                pair = rows[r], rows[r + step]
                rows[r] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), lanes), upper))
                rows[r + step] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(ir.IntType(32), lanes), lower))
        step *= 2
    return rows


@njit
def transpose_into(target: Any, source: Any, rows: int, columns: int) -> None:
    """target[:rows, :columns] = source[:columns, :rows]^T; both of one dtype, rows contiguous."""
    lanes = BYTES // target.itemsize
    whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
    for j in range(0, whole_columns, lanes):
        for i in range(0, whole_rows, lanes):
            square(target, source, i, j)
        for c in range(j, j + lanes):
            for r in range(whole_rows, rows):
                target[r, c] = source[c, r]
    for c in range(whole_columns, columns):
        for r in range(rows):
            target[r, c] = source[c, r]
