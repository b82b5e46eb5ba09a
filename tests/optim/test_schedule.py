"""Schedules, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert.autograd import Tensor
from minibert.optim import (
    SCHEDULES,
    AdamW,
    LRScheduler,
    constant,
    constant_with_warmup,
    cosine_warmup_decay,
    cosine_with_hard_restarts,
    get_polynomial_decay_schedule_with_warmup,
    get_scheduler,
    google_warmup_decay,
    inverse_sqrt_warmup_decay,
    linear_warmup_decay,
    polynomial_warmup_decay,
)

# float64 arithmetic of a handful of operations: a few units in the last place.
EXACT = {"rel": 1e-14, "abs": 0.0}


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


def test_linear_warmup_decay() -> None:
    factors = [linear_warmup_decay(t, warmup=4, total=10) for t in range(12)]
    sixths = [6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert factors == [0.0, 0.25, 0.5, 0.75, *sixths, 0.0, 0.0]


def test_google_decay_starts_at_step_0_and_jumps_after_the_warm_up() -> None:
    factors = [google_warmup_decay(t, warmup=4, total=10) for t in range(12)]
    assert factors == pytest.approx([0.0, 0.25, 0.5, 0.75, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0], **EXACT)


def test_constant_schedules() -> None:
    assert [constant(t) for t in range(3)] == [1.0] * 3
    assert [constant_with_warmup(t, warmup=2) for t in range(4)] == [0.0, 0.5, 1.0, 1.0]


def test_no_warm_up_starts_at_the_peak() -> None:
    assert linear_warmup_decay(0, warmup=0, total=5) == 1.0
    assert google_warmup_decay(0, warmup=0, total=5) == 1.0
    assert constant_with_warmup(0, warmup=0) == 1.0


def test_warm_up_all_the_way() -> None:
    assert [linear_warmup_decay(t, warmup=3, total=3) for t in range(4)] == [0.0, 1 / 3, 2 / 3, 0.0]


@pytest.mark.parametrize(
    ("step", "warmup", "total", "wrong"),
    [(-1, 0, 5, "step"), (0, -1, 5, "warmup"), (0, 0, 0, "total"), (0, 6, 5, "total")],
)
def test_bad_schedules(step: int, warmup: int, total: int, wrong: str) -> None:
    decays = (
        linear_warmup_decay, google_warmup_decay, cosine_warmup_decay, cosine_with_hard_restarts,
        polynomial_warmup_decay,
    )  # fmt: skip
    for schedule in decays:
        with pytest.raises(ValueError, match=f"schedule: {wrong} must be"):
            schedule(step, warmup, total)


def test_half_a_cosine_wave() -> None:
    factors = [cosine_warmup_decay(t, warmup=2, total=6) for t in range(7)]
    half = 0.5 * np.sqrt(2)
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5 + half / 2, 0.5, 0.5 - half / 2, 0.0], rel=1e-14, abs=1e-16)


def test_cosine_with_restarts() -> None:
    factors = [cosine_with_hard_restarts(t, warmup=0, total=8, num_cycles=2) for t in range(10)]
    assert factors[4] == factors[0] == 1.0
    assert factors[1:4] == pytest.approx(factors[5:8], rel=1e-14)
    assert factors[8:] == [0.0, 0.0]


def test_polynomial_decay() -> None:
    factors = [polynomial_warmup_decay(t, warmup=1, total=5, power=2, end=0.2) for t in range(8)]
    assert factors == pytest.approx([0, 1, 0.2 + 0.8 * 9 / 16, 0.4, 0.25, 0.2, 0.2, 0.2], **EXACT)
    linear = [linear_warmup_decay(t, warmup=2, total=6) for t in range(9)]
    assert [polynomial_warmup_decay(t, warmup=2, total=6) for t in range(9)] == pytest.approx(linear, **EXACT)


def test_inverse_square_root() -> None:
    assert [inverse_sqrt_warmup_decay(t, warmup=4) for t in (0, 2, 4, 16, 64)] == [0.0, 0.5, 1.0, 0.5, 0.25]
    assert inverse_sqrt_warmup_decay(30_000, warmup=0) == 0.5
    with pytest.raises(ValueError, match="timescale must be above 0"):
        inverse_sqrt_warmup_decay(0, warmup=0, timescale=0)


def test_numbers_that_are_none_and_numbers_of_numpy() -> None:
    assert cosine_warmup_decay(np.int64(3), np.int32(1), np.int64(5)) == cosine_warmup_decay(3, 1, 5)
    for wrong in ("1", True, None, float("nan")):
        with pytest.raises(ValueError, match="schedule: step must be a finite number"):
            linear_warmup_decay(wrong, 0, 5)  # type: ignore[arg-type]


def test_schedules_by_name() -> None:
    optimizer = AdamW([parameter([1.0])], lr=0.5)
    for name in SCHEDULES:
        scheduler = get_scheduler(name, optimizer, num_warmup_steps=0, num_training_steps=10)
        assert scheduler.get_last_lr() == [0.5]
    scheduler = get_scheduler("cosine_with_restarts", optimizer, 0, 10, {"num_cycles": 2})
    for _ in range(5):
        scheduler.step()
    assert scheduler.get_last_lr() == [0.5]
    for arguments, message in (
        (("cosin",), "unknown schedule 'cosin'; expected one of constant, "),
        (("linear", None, 10), "the schedule 'linear' needs num_warmup_steps"),
        (("cosine", 0), "the schedule 'cosine' needs num_training_steps"),
        (("cosine", 0, 10, {"cycles": 2}), "the schedule 'cosine': .*'cycles'"),
    ):
        with pytest.raises(ValueError, match=message):
            get_scheduler(arguments[0], optimizer, *arguments[1:])
    with pytest.raises(ValueError, match=r"lr_end \(0\.5\) must be below the optimiser's rate \(0\.5\)"):
        get_polynomial_decay_schedule_with_warmup(optimizer, 0, 10, lr_end=0.5)


def test_the_scheduler_sets_the_rate_before_the_first_step() -> None:
    # Warm-up of 2: the first step has rate 0 and must not move the weight, the second has half the rate, ...
    p = parameter([0.0])
    optimizer = AdamW([p], lr=0.1, eps=0.0, weight_decay=0.0)
    scheduler = LRScheduler(optimizer, linear_warmup_decay, warmup=2, total=4)
    moved = []
    for _ in range(5):
        p.grad = Tensor(np.array([1.0]))
        before = p.data[0]
        optimizer.step()
        scheduler.step()
        moved.append(before - p.data[0])
    assert moved == pytest.approx([0.0, 0.05, 0.1, 0.05, 0.0], abs=1e-15)


def test_the_scheduler_keeps_the_groups_own_rates() -> None:
    optimizer = AdamW([{"params": [parameter([1.0])], "lr": 0.4}, {"params": [parameter([1.0])]}], lr=0.1)
    scheduler = LRScheduler(optimizer, linear_warmup_decay, warmup=2, total=4)
    assert scheduler.get_last_lr() == [0.0, 0.0]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.2, 0.05]
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.05]
    # A second scheduler on the same optimiser starts from the groups' own rates, not from the present ones.
    assert LRScheduler(optimizer, constant).get_last_lr() == [0.4, 0.1]


def test_a_scheduler_with_wrong_options() -> None:
    optimizer = AdamW([parameter([1.0])])
    with pytest.raises(ValueError, match="LRScheduler: .*warmup"):
        LRScheduler(optimizer, linear_warmup_decay, total=5)
    with pytest.raises(ValueError, match="total must be at least 1"):
        LRScheduler(optimizer, linear_warmup_decay, warmup=5, total=0)
