"""The standard normal distribution's density and distribution function, from exp alone.

The array standard has no error function, so it is built here. For z >= 0, with t = 2 / (2 + z),

    erfc(z) = t exp(-z^2 + P(2 t - 1)),

where P is the polynomial closest to ln(erfc(z) exp(z^2) / t) over all z >= 0. That logarithm is so smooth that a low
degree serves: 10 in float32, 27 in float64, each cut from one Chebyshev series where its terms fall below the dtype's
resolution. The error is relative to erfc itself, so the far tail keeps its digits.
"""

from __future__ import annotations

import math

from minibert.backend import Array, namespace

# Coefficients of P, rising powers. Chebyshev interpolation in 200 nodes at 60 digits, rewritten in powers.
_P_FLOAT32 = (
    -0.6717940916807759,
    0.6726422171554879,
    0.047343887612987114,
    -0.04687488817886134,
    -0.009880019324020219,
    0.008703812035218805,
    0.0017940662497394012,
    -0.002048734760496573,
    -0.00022791096599906392,
    0.00033373589390861395,
    8.000738161697865e-06,
)
_P_FLOAT64 = (
    -0.6717940840566923,
    0.6726432239776567,
    0.04734330684190443,
    -0.0468956102311753,
    -0.009872689366389959,
    0.008824938557060623,
    0.001758933557799016,
    -0.002345812500482853,
    -0.00014624686337800336,
    0.000673678795580235,
    -9.37350311709817e-05,
    -0.0001743029472030762,
    7.14010141275703e-05,
    3.17451797494374e-05,
    -3.0187884551394243e-05,
    1.3772664134464417e-07,
    8.562623420121286e-06,
    -2.947986876998259e-06,
    -1.27231190486887e-06,
    1.2500276612569754e-06,
    -1.6849800720653297e-07,
    -2.495832761719667e-07,
    1.5334345920908177e-07,
    1.4448658046252676e-09,
    -3.9171820510271855e-08,
    1.1172352263623759e-08,
    4.06088214696972e-09,
    -1.8902306008944537e-09,
)


def normal_density(x: Array) -> Array:
    """phi(x) = exp(-x^2 / 2) / sqrt(2 pi), elementwise."""
    return namespace(x).exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))


def normal_cdf(x: Array) -> Array:
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, elementwise.

    Absolute error below 4e-7 in float32 and 2e-15 in float64; in the left tail the error is relative.
    """
    xp = namespace(x)
    z = xp.abs(x) * math.sqrt(0.5)
    t = 2.0 / (z + 2.0)
    tail = xp.exp(_polynomial(t * 2.0 - 1.0) - z * z)
    tail *= t
    tail *= 0.5  # Phi(-|x|)
    return xp.where(x < 0, tail, 1.0 - tail)


def erf(x: Array) -> Array:
    """The error function, 2 Phi(x sqrt 2) - 1."""
    return normal_cdf(x * math.sqrt(2.0)) * 2.0 - 1.0


def _polynomial(y: Array) -> Array:
    xp = namespace(y)
    coefficients = _P_FLOAT64 if y.dtype == xp.float64 else _P_FLOAT32
    p = xp.full_like(y, coefficients[-1])
    for c in reversed(coefficients[:-1]):  # Horner, in place: this is where GELU spends its time
        p *= y
        p += c
    return p
