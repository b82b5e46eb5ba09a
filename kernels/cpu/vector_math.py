"""exp, tanh and the normal distribution, written so that a compiler can do a whole vector of them at once.

The mathematical library's functions are calls, one number at a time: a loop around them cannot be vectorised, and a
GELU spends its time there. The functions here are arithmetic alone, without a branch or a call, so a simple loop
over contiguous memory becomes vector instructions (AVX-512, AVX2, NEON, whatever the processor has). Call them from
`@njit` code with a float32 or float64; each stays in its argument's precision.

exp: x = n ln 2 + r with whole n and |r| <= ln 2 / 2, so exp x = 2^n exp r, and exp r = 1 + r + r^2 q(r) for a short
polynomial q. Two tricks with the bits of a float do the rest. Adding 1.5 * 2^23 to a float32 leaves no room for a
fraction: the sum is rounded to a whole number, which stands in its lowest bits; subtracting it again gives n. And
2^n is the float whose exponent bits are n + 127: add 1.5 * 2^23 + 127 to n, shift the bits left by 23. (float64: 52
and 1023.) ln 2 is taken away in two parts, the first with so few digits that its product with n is exact (Cody &
Waite). 2^n is multiplied in two halves, so results below the smallest normal number are rounded once, to the
subnormal they should be.

normal: for a = |x|, Phi(-a) = exp(-a^2 / 2) R(a), where R falls smoothly from 1/2 to 0, and a quotient of two
polynomials is R to the last digit, for every a until Phi(-a) itself is 0. Its relative error stays small far into
the tail, and the density needs the same exp.

tanh: with e = exp(2 a) - 1, tanh a = e / (e + 2); e = 2^n (r + r^2 q(r)) + (2^n - 1) keeps its digits at small a.

Coefficients: the best approximations in relative error (Chebyshev's sense), found by Remez's exchange at 60 digits:
solve for the coefficients and the error E such that the error is +E, -E, +E, ... at as many points as unknowns;
move the points to where the error is largest; repeat. For the quotient the equation P - f (1 +- E) Q = 0 is solved
repeatedly with the last E in the product. q: weight r^2 / exp r. R: on 0 <= a <= 14.5 (38.7 in float64), Q(0) = 1.

Error bounds, in units of the last place (ulp) of the result (`python -m tests.kernels.ulps` tries every float32):

    exp     1.1 in both dtypes, subnormal results too; overflow gives inf, underflow 0, NaN gives NaN
    tanh    3.0; exactly +-1 beyond |x| = 9.1 (19.1 in float64); -0 gives -0
    normal  Phi: 2.5 for x >= 0. Phi for x = -a < 0, and the density: 6 + a^2 / 2, because a^2 / 2 is rounded before exp
            sees it, and an absolute error of the exponent is a relative one of the result
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from .compiled import njit

# Fused multiply-add where the processor has it. Nothing else: `reassoc` would undo the rounding trick and the two-part
# ln 2, `nnan` and `ninf` would let the compiler drop what makes NaN and infinity come out right.
FLAGS = {"contract"}
# "numpy": x / 0 is inf, no error. Not cached: the code of an inlined function is part of its callers'.
_OPTIONS: Any = {"fastmath": FLAGS, "forceinline": True, "error_model": "numpy", "cache": False}


_intrinsic: Any = intrinsic  # Numba's own type for it does not know that an intrinsic is called without the context


def exp(x: Any) -> Any:
    """e^x. x: float32 or float64, any value."""
    raise TypeError("compiled code only: call it in an @njit function")


def tanh(x: Any) -> Any:
    """Hyperbolic tangent. x: float32 or float64, any value."""
    raise TypeError("compiled code only: call it in an @njit function")


def normal(x: Any) -> Any:
    """(Phi(x), phi(x)): the standard normal distribution function and its density. x: float32 or float64, any value.

    What is not used of the two costs nothing: the compiler leaves it out.
    """
    raise TypeError("compiled code only: call it in an @njit function")


# --- bits -------------------------------------------------------------------------------------------------------------


def _as_int(builder: Any, x: Any) -> tuple[Any, Any]:
    """The LLVM value of x's bits as an integer of the same width, and that integer's type."""
    integer = ir.IntType(32 if isinstance(x.type, ir.FloatType) else 64)
    return builder.bitcast(x, integer), integer


@_intrinsic
def _exponent(typing_context: Any, x: Any) -> Any:
    """2^n from the float 1.5 * 2^23 + 127 + n (1.5 * 2^52 + 1023 + n): its low bits become the exponent."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, integer = _as_int(builder, args[0])
        return builder.bitcast(builder.shl(bits, integer(23 if integer.width == 32 else 52)), args[0].type)

    return x(x), codegen


@_intrinsic
def _with_sign_of(typing_context: Any, x: Any, y: Any) -> Any:
    """x >= 0 with y's sign, which a zero or a NaN has too."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (x_bits, integer), (y_bits, _) = _as_int(builder, args[0]), _as_int(builder, args[1])
        sign = builder.and_(y_bits, integer(1 << (integer.width - 1)))
        return builder.bitcast(builder.or_(x_bits, sign), args[0].type)

    return x(x, y), codegen


@_intrinsic
def order(typing_context: Any, x: Any) -> Any:
    """An integer of x's width that is larger when x is: a maximum of integers vectorises, one of floats that may be NaN
    does not. Positive NaN comes after infinity, negative NaN before -infinity. `from_order` is the way back."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits, integer = _as_int(builder, args[0])
        return _flip_negative(builder, bits, integer)

    return (types.int32 if x == types.float32 else types.int64)(x), codegen


@_intrinsic
def from_order(typing_context: Any, i: Any) -> Any:
    """The float whose `order` is i."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = _flip_negative(builder, args[0], args[0].type)
        return builder.bitcast(bits, ir.FloatType() if bits.type.width == 32 else ir.DoubleType())

    return (types.float32 if i == types.int32 else types.float64)(i), codegen


def _flip_negative(builder: Any, bits: Any, integer: Any) -> Any:
    """Floats are a sign and a magnitude, integers two's complement: turn the magnitude of negative ones round."""
    sign = builder.ashr(bits, integer(integer.width - 1))  # all ones if negative
    return builder.xor(bits, builder.lshr(sign, integer(1)))


# --- float32 ----------------------------------------------------------------------------------------------------------

_f = np.float32
_ROUND = _f(1.5 * 2.0**23)
_ROUND_BIASED = _f(1.5 * 2.0**23 + 127.0)
_HALF, _ONE, _TWO = _f(0.5), _f(1.0), _f(2.0)
_LOG2_E = _f(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _f(0.693359375), _f(-2.12194440054690583e-4)  # 10 bits, the rest
_EXP_FROM, _EXP_TO = _f(-104.0), _f(89.0)  # 0 and infinity from there on
_TANH_TO, _NORMAL_TO = _f(9.1), _f(14.5)
_DENSITY_AT_0 = _f(0.3989422804014327)
# q, to 3.1e-9 of exp r
_E0, _E1, _E2 = _f(0.49999993457224856), _f(0.166665206308401), _f(0.04166838612739883)
_E3, _E4 = _f(0.00836871707091326), _f(0.0013814690889352775)
# R = P / Q, to 6e-9
_P0, _P1, _P2 = _f(0.5000000029534357), _f(0.4382970953695698), _f(0.1832367749801738)
_P3, _P4 = _f(0.040633791791140975), _f(0.004116396471223832)
_Q1, _Q2, _Q3 = _f(1.6744791720485082), _f(1.202509837756903), _f(0.4694749621423747)
_Q4, _Q5 = _f(0.10186025798974624), _f(0.010318156051107422)


@njit(**_OPTIONS)
def _reduce32(x: Any) -> Any:
    """(n, r + r^2 q(r)): x = n ln 2 + r, and exp r is one more than the second."""
    n = (x * _LOG2_E + _ROUND) - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    q = (((_E4 * r + _E3) * r + _E2) * r + _E1) * r + _E0
    return n, (r * r) * q + r


@njit(**_OPTIONS)
def _exp32(x: Any) -> Any:
    x = _EXP_FROM if x < _EXP_FROM else x  # a NaN is not below, and goes through
    return _exp_within32(_EXP_TO if x > _EXP_TO else x)


@njit(**_OPTIONS)
def _exp_within32(x: Any) -> Any:
    """exp where n/2 + 127 is an exponent: |x| up to 170."""
    n, p = _reduce32(x)
    half = n * _HALF + _ROUND_BIASED  # n/2 rounded
    rest = (n - (half - _ROUND_BIASED)) + _ROUND_BIASED
    return ((p + _ONE) * _exponent(half)) * _exponent(rest)


@njit(**_OPTIONS)
def _tanh32(x: Any) -> Any:
    a = abs(x)
    a = _TANH_TO if a > _TANH_TO else a
    n, p = _reduce32(a + a)
    scale = _exponent(n + _ROUND_BIASED)
    e = p * scale + (scale - _ONE)
    return _with_sign_of(e / (e + _TWO), x)


@njit(**_OPTIONS)
def _normal32(x: Any) -> Any:
    a = abs(x)
    a = _NORMAL_TO if a > _NORMAL_TO else a
    e = _exp_within32(a * a * -_HALF)
    p = (((_P4 * a + _P3) * a + _P2) * a + _P1) * a + _P0
    q = ((((_Q5 * a + _Q4) * a + _Q3) * a + _Q2) * a + _Q1) * a + _ONE
    tail = e * (p / q)  # Phi(-a)
    return (tail if x < _f(0.0) else _ONE - tail), e * _DENSITY_AT_0


# --- float64 ----------------------------------------------------------------------------------------------------------

_ROUND64 = 1.5 * 2.0**52
_ROUND_BIASED64 = 1.5 * 2.0**52 + 1023.0
_LN2_HIGH64, _LN2_LOW64 = 6.93145751953125e-1, 1.42860682030941723212e-6  # 20 bits, the rest
# q, to 3.7e-18 of exp r
_E64 = (
    0.5000000000000011, 0.16666666666666413, 0.0416666666665302, 0.008333333333494477, 0.0013888888943623078,
    0.000198412695066074, 2.4801493104068078e-05, 2.7557586312834273e-06, 2.7630247062826204e-07,
    2.5000087509697358e-08,
)  # fmt: skip
# R = P / Q, to 1e-18
_P64 = (
    0.5, 0.8277362553954376, 0.6793160624173696, 0.35711969438294505, 0.13193617622993148, 0.03563051749698342,
    0.007113813530468702, 0.0010381352837436476, 0.00010638138153261958, 6.961256346388661e-06, 2.2362708243753635e-07,
)  # fmt: skip
_Q64 = (
    1.0, 2.4533570715937407, 2.816127854395907, 2.0004673095061483, 0.9794489824272392, 0.3480189169451713,
    0.09187978358544117, 0.018097223605645467, 0.0026196685373171343, 0.0002672191288085433, 1.7449281984842975e-05,
    5.605499678110338e-07,
)  # fmt: skip


@njit(**_OPTIONS)
def _polynomial64(c: Any, x: Any) -> Any:
    """c[0] + c[1] x + ...; `c` is a tuple of constants, so the loop is unrolled."""
    p = c[len(c) - 1]
    for k in range(len(c) - 2, -1, -1):
        p = p * x + c[k]
    return p


@njit(**_OPTIONS)
def _reduce64(x: Any) -> Any:
    n = (x * 1.4426950408889634 + _ROUND64) - _ROUND64
    r = (x - n * _LN2_HIGH64) - n * _LN2_LOW64
    return n, (r * r) * _polynomial64(_E64, r) + r


@njit(**_OPTIONS)
def _exp64(x: Any) -> Any:
    x = -746.0 if x < -746.0 else x
    return _exp_within64(710.0 if x > 710.0 else x)


@njit(**_OPTIONS)
def _exp_within64(x: Any) -> Any:
    n, p = _reduce64(x)
    half = n * 0.5 + _ROUND_BIASED64
    rest = (n - (half - _ROUND_BIASED64)) + _ROUND_BIASED64
    return ((p + 1.0) * _exponent(half)) * _exponent(rest)


@njit(**_OPTIONS)
def _tanh64(x: Any) -> Any:
    a = abs(x)
    a = 19.1 if a > 19.1 else a
    n, p = _reduce64(a + a)
    scale = _exponent(n + _ROUND_BIASED64)
    e = p * scale + (scale - 1.0)
    return _with_sign_of(e / (e + 2.0), x)


@njit(**_OPTIONS)
def _normal64(x: Any) -> Any:
    a = abs(x)
    a = 38.7 if a > 38.7 else a
    e = _exp_within64(a * a * -0.5)
    tail = e * (_polynomial64(_P64, a) / _polynomial64(_Q64, a))
    return (tail if x < 0.0 else 1.0 - tail), e * 0.3989422804014327


def _by_dtype(name: Any, single: Any, double: Any) -> None:
    """Let compiled code call `name` with a float32 or a float64."""

    def choose(x: Any) -> Any:
        chosen: Any = {types.float32: single, types.float64: double}.get(x)

        def call(x: Any) -> Any:
            return chosen(x)

        return call if chosen is not None else None

    overload(name, jit_options=_OPTIONS)(choose)


_by_dtype(exp, _exp32, _exp64)
_by_dtype(tanh, _tanh32, _tanh64)
_by_dtype(normal, _normal32, _normal64)
