"""Clipping is by the global norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minibert.autograd import Tensor
from minibert.optim import (
    BertAdam,
    clip_grad_norm,
)

# float64 arithmetic of a handful of operations: a few units in the last place.
EXACT = {"rel": 1e-14, "abs": 0.0}


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


def test_clipping_is_by_the_global_norm() -> None:
    p, q = parameter([0.0, 0.0], [3.0, 0.0]), parameter([0.0], [4.0])
    assert clip_grad_norm([p, q], 1.0) == 5.0
    # By one factor 1 / 5 (up to the 1e-6 in it); each by its own norm would give [1, 0] and [1].
    np.testing.assert_allclose(p.grad.data, [0.6, 0.0], rtol=1e-6)  # type: ignore[union-attr]
    np.testing.assert_allclose(q.grad.data, [0.8], rtol=1e-6)  # type: ignore[union-attr]


def test_small_gradients_are_not_touched() -> None:
    p, q, none = parameter([0.0], [0.3]), parameter([0.0], [0.4]), parameter([0.0])
    assert clip_grad_norm([p, q, none], 1.0) == pytest.approx(0.5, **EXACT)
    assert p.grad is not None
    assert p.grad.data[0] == 0.3
    assert none.grad is None
    assert clip_grad_norm([none], 1.0) == 0.0
    assert clip_grad_norm(p, math.inf) == 0.3


def test_a_tied_parameter_counts_once_in_the_norm() -> None:
    p = parameter([0.0], [2.0])
    assert clip_grad_norm([p, p], 1.0) == 2.0
    assert p.grad is not None
    assert p.grad.data[0] == pytest.approx(1.0, rel=1e-6)


def test_gradients_that_share_an_array_are_scaled_once() -> None:
    p, q = parameter([0.0]), parameter([0.0])
    shared = np.array([3.0])
    p.grad, q.grad = Tensor(shared), Tensor(shared)
    clip_grad_norm([p, q], 1.0)
    np.testing.assert_allclose([p.grad.data[0], q.grad.data[0]], math.sqrt(0.5), rtol=1e-6)


def test_a_float32_norm_that_overflows_is_reported() -> None:
    p = Tensor(np.zeros(1, np.float32), requires_grad=True)
    p.grad = Tensor(np.full(1, 1e20, np.float32))
    with pytest.raises(ValueError, match="the norm of the gradients is inf: one overflowed"):
        clip_grad_norm([p], 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_gradients(bad: float) -> None:
    p, q = parameter([0.0, 0.0], [3.0, bad]), parameter([0.0], [4.0])
    with pytest.raises(ValueError, match="clip_grad_norm: the norm of the gradients is (nan|inf): one overflowed"):
        clip_grad_norm([p, q], 1.0)
    assert not math.isfinite(clip_grad_norm([p, q], 1.0, error_if_nonfinite=False))
    assert q.grad is not None
    assert q.grad.data[0] == 4.0, "gradients are left alone"
    optimizer = BertAdam([p, q])
    with pytest.raises(ValueError, match="clip_grad_norm"):
        optimizer.step()
    assert (p.data == 0).all()
    assert not optimizer.state


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_bad_max_norm(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be above 0"):
        clip_grad_norm([parameter([1.0], [1.0])], max_norm)


def test_bert_adam_clips_all_groups_as_one_vector() -> None:
    p, q = parameter([0.0], [30.0]), parameter([0.0], [40.0])
    BertAdam([{"params": [p]}, {"params": [q]}], lr=1.0, eps=1.0, weight_decay=0.0).step()
    for number, g in ((p, 0.6), (q, 0.8)):  # 30 and 40, divided by their norm 50
        expected = -0.1 * g / (math.sqrt(0.001) * g + 1.0)
        assert number.data[0] == pytest.approx(expected, rel=1e-6)  # the 1e-6 in the factor
