"""What counts as a number, in one place."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from minibert import Tensor
from minibert.number_like import as_float, as_int, is_float, is_int

INTEGERS = [3, np.int8(3), np.int64(3), np.uint32(3), np.array(3), Tensor(np.array(3))]
REALS = [0.5, np.float16(0.5), np.float32(0.5), np.float64(0.5), np.array(0.5), Tensor(np.array(0.5)), Fraction(1, 2)]
NEITHER = [
    True, np.True_, np.array(True), "3", b"3", None, [3], (3,), np.array([3]), np.array([0.5]), 1j, np.complex64(1), {},
]  # fmt: skip


@pytest.mark.parametrize("value", INTEGERS, ids=lambda v: type(v).__name__)
def test_integers(value: object) -> None:
    number = as_int("count", value)
    assert type(number) is int
    assert number == 3
    assert as_float("rate", value) == 3.0


@pytest.mark.parametrize("value", REALS, ids=lambda v: type(v).__name__)
def test_reals_are_no_integers(value: object) -> None:
    number = as_float("rate", value)
    assert type(number) is float
    assert number == 0.5
    assert not is_int(value)


@pytest.mark.parametrize("value", NEITHER, ids=repr)
def test_what_is_no_number(value: object) -> None:
    assert not is_int(value)
    assert not is_float(value)
    with pytest.raises(ValueError, match="count must be an integer of at least 1, got"):
        as_int("count", value, least=1)


def test_ranges_and_messages() -> None:
    assert as_int("count", 1, least=1, most=1) == 1
    with pytest.raises(ValueError, match=re.escape("count must be an integer from 1 to 4, got 5")):
        as_int("count", 5, least=1, most=4)
    for value in (float("nan"), float("inf"), 10**400, np.float32("-inf")):
        with pytest.raises(ValueError, match="rate must be a finite number"):
            as_float("rate", value)
