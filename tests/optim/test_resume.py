"""A run that was saved and taken up again is the same to the bit."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minibert.autograd import Tensor
from minibert.optim import (
    Adam,
    AdamW,
    BertAdam,
    LRScheduler,
    Optimizer,
    constant,
    linear_warmup_decay,
)

ALL = [Adam, AdamW, BertAdam]


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


def run(optimizer: Optimizer, scheduler: LRScheduler, params: list[Tensor], start: int, stop: int) -> None:
    for t in range(start, stop):
        draw = np.random.default_rng(t)
        for p in params:
            p.grad = Tensor(draw.standard_normal(p.shape).astype(p.dtype))
        optimizer.step()
        scheduler.step()


def build(make: Any, params: list[Tensor]) -> tuple[Optimizer, LRScheduler]:
    groups = [{"params": params[:1], "param_names": ["w"]}, {"params": params[1:], "weight_decay": 0.0}]
    optimizer = make(groups, lr=0.01)
    return optimizer, LRScheduler(optimizer, linear_warmup_decay, warmup=3, total=12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scheduler_first", [False, True])
@pytest.mark.parametrize("make", ALL)
def test_a_resumed_run_is_the_same_to_the_bit(make: Any, scheduler_first: bool, dtype: str) -> None:
    draw = np.random.default_rng(99)
    arrays = [draw.standard_normal((3, 4)).astype(dtype), draw.standard_normal(4).astype(dtype)]
    whole = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    run(*build(make, whole), whole, 0, 10)

    half = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    optimizer, scheduler = build(make, half)
    run(optimizer, scheduler, half, 0, 5)
    saved = optimizer.state_dict(), scheduler.state_dict()
    resumed = [Tensor(p.data.copy(), requires_grad=True) for p in half]
    run(optimizer, scheduler, half, 5, 8)  # what was saved is a copy: going on does not change it

    optimizer, scheduler = build(make, resumed)
    loads = [lambda: optimizer.load_state_dict(saved[0]), lambda: scheduler.load_state_dict(saved[1])]
    for load in reversed(loads) if scheduler_first else loads:
        load()
    run(optimizer, scheduler, resumed, 5, 10)
    for a, b in zip(whole, resumed, strict=True):
        assert a.data.tobytes() == b.data.tobytes()


def test_state_survives_json_and_loading_copies_it() -> None:
    p = parameter([1.0, 2.0], [0.3, 0.4])
    optimizer = AdamW([p])
    optimizer.step()
    saved = optimizer.state_dict()
    text = json.dumps(saved, default=lambda array: array.tolist())
    q = parameter(p.data, [0.5, 0.6])
    other = AdamW([q])
    other.load_state_dict(json.loads(text))
    p.grad = Tensor(np.array([0.5, 0.6]))
    optimizer.step()
    other.step()
    np.testing.assert_array_equal(p.data, q.data)
    third = AdamW([parameter([1.0, 2.0], [0.3, 0.4])])
    third.load_state_dict(saved)
    before = copy.deepcopy(saved)
    third.step()
    np.testing.assert_equal(saved, before)


def test_state_that_does_not_fit_is_refused_and_nothing_changes() -> None:
    p = parameter([1.0, 2.0], [0.3, 0.4])
    optimizer = AdamW([{"params": [p], "param_names": ["w"]}])
    optimizer.step()
    good = optimizer.state_dict()

    def broken(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        state = copy.deepcopy(good)
        change(state)
        return state

    cases = [
        (broken(lambda s: s["param_groups"].append(s["param_groups"][0])), r"expected groups of \[1\] parameters"),
        (broken(lambda s: s["state"][0].update(m=np.zeros(3))), r"m of 0: expected shape \(2,\), got \(3,\)"),
        (broken(lambda s: s["state"][0].pop("v")), "expected state .*another optimiser"),
        (broken(lambda s: s["state"].update({7: s["state"][0]})), "state for parameter 7, but there are 1"),
        (broken(lambda s: s["param_groups"][0].update(lr=-1.0)), "lr must be"),
        (broken(lambda s: s["param_groups"][0].update(param_names=["x"])), "names are not those that were saved"),
    ]
    for state, message in cases:
        with pytest.raises(ValueError, match=f"AdamW.load_state_dict: .*{message}"):
            optimizer.load_state_dict(state)
        np.testing.assert_equal(optimizer.state_dict(), good)
    with pytest.raises(ValueError, match="expected 1 base_lrs, got 2"):
        LRScheduler(optimizer, constant).load_state_dict({"step_count": 1, "base_lrs": [1.0, 2.0]})
