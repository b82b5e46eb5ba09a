"""Asking memory for numbers before they are wanted."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .tiles import Matrix


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _look_ahead(typing_context: Any, x: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of x[row, column], into the second-level cache. The processor goes on meanwhile."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        address = Matrix(context, builder, signature.args[0], args[0]).number(args[1], args[2])
        to_read, second_level, data = i32(0), i32(2), i32(1)
        builder.call(prefetch, [builder.bitcast(address, byte), to_read, second_level, data])
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp), codegen


look_ahead: Any = _look_ahead  # to a type checker, an intrinsic takes its typing context too
