"""What can be written with a tensor, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import ops
from minibert.autograd import Tensor

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("shape", [(3, 2), (-1,), (6, 1)])
def test_shapes_may_come_one_by_one_or_as_a_sequence(shape: tuple[int, ...]) -> None:
    for tensor in (Tensor(X).reshape(*shape), Tensor(X).reshape(shape), Tensor(X).reshape(list(shape))):
        np.testing.assert_array_equal(tensor, X.reshape(shape))
    for tensor in (Tensor(X).permute(1, 0), Tensor(X).permute((1, 0)), Tensor(X).permute([1, 0])):
        np.testing.assert_array_equal(tensor, X.T)


def test_one_number_is_true_or_false() -> None:
    assert not Tensor([0.0])
    assert Tensor(0.5)
    assert int(Tensor([3.0])) == 3
    with pytest.raises(ValueError, match=r"shape \(2, 3\) is neither true nor false; try .numpy\(\).any\(\)"):
        bool(Tensor(X))


@pytest.mark.parametrize("reduce", [ops.sum, ops.mean, ops.max])
@pytest.mark.parametrize("axis", [2, -3, (0, 0), (1, -1), (0, 5)])
def test_axes_that_are_not_there(reduce: Any, axis: Any) -> None:
    with pytest.raises(ValueError, match="does not fit an array of 2 axes: each once, from -2 to 1"):
        reduce(Tensor(X), axis=axis)
