"""The schedules under the names that transformers gives them, so that training scripts find what they call.

    scheduler = get_scheduler("cosine", optimizer, num_warmup_steps=100, num_training_steps=1000)

Each function returns an `LRScheduler`; the formulas are those of `minibert.optim.schedule`. All raise ValueError for
step counts that cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minibert.number_like import as_float
from minibert.optim.optimizer import Optimizer
from minibert.optim.schedule import (
    LRScheduler,
    constant,
    constant_with_warmup,
    cosine_warmup_decay,
    cosine_with_hard_restarts,
    inverse_sqrt_warmup_decay,
    linear_warmup_decay,
    polynomial_warmup_decay,
)

__all__ = [
    "SCHEDULES",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_inverse_sqrt_schedule",
    "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
    "get_scheduler",
]


def get_constant_schedule(optimizer: Optimizer) -> LRScheduler:
    """The groups' own rates throughout."""
    return LRScheduler(optimizer, constant)


def get_constant_schedule_with_warmup(optimizer: Optimizer, num_warmup_steps: int) -> LRScheduler:
    """See `constant_with_warmup`."""
    return LRScheduler(optimizer, constant_with_warmup, warmup=num_warmup_steps)


def get_linear_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int
) -> LRScheduler:
    """See `linear_warmup_decay`."""
    return LRScheduler(optimizer, linear_warmup_decay, warmup=num_warmup_steps, total=num_training_steps)


def get_cosine_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 0.5
) -> LRScheduler:
    """See `cosine_warmup_decay`."""
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return LRScheduler(optimizer, cosine_warmup_decay, **steps, num_cycles=num_cycles)


def get_cosine_with_hard_restarts_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, num_cycles: float = 1
) -> LRScheduler:
    """See `cosine_with_hard_restarts`."""
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return LRScheduler(optimizer, cosine_with_hard_restarts, **steps, num_cycles=num_cycles)


def get_polynomial_decay_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, lr_end: float = 1e-7, power: float = 1.0
) -> LRScheduler:
    """See `polynomial_warmup_decay`; `lr_end` is a rate, below the optimiser's own (its `defaults["lr"]`)."""
    lr = optimizer.defaults["lr"]
    if not as_float("lr_end", lr_end, least=0) < lr:
        raise ValueError(f"lr_end ({lr_end}) must be below the optimiser's rate ({lr})")
    steps = {"warmup": num_warmup_steps, "total": num_training_steps}
    return LRScheduler(optimizer, polynomial_warmup_decay, **steps, power=power, end=lr_end / lr)


def get_inverse_sqrt_schedule(
    optimizer: Optimizer, num_warmup_steps: int, timescale: float | None = None
) -> LRScheduler:
    """See `inverse_sqrt_warmup_decay`."""
    return LRScheduler(optimizer, inverse_sqrt_warmup_decay, warmup=num_warmup_steps, timescale=timescale)


SCHEDULES: dict[str, Callable[..., LRScheduler]] = {
    "constant": get_constant_schedule,
    "constant_with_warmup": get_constant_schedule_with_warmup,
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "cosine_with_restarts": get_cosine_with_hard_restarts_schedule_with_warmup,
    "polynomial": get_polynomial_decay_schedule_with_warmup,
    "inverse_sqrt": get_inverse_sqrt_schedule,
}
"""The functions by the names that `get_scheduler` takes."""

_WITHOUT_WARMUP = ("constant",)
_WITHOUT_END = ("constant", "constant_with_warmup", "inverse_sqrt")


def get_scheduler(
    name: str,
    optimizer: Optimizer,
    num_warmup_steps: int | None = None,
    num_training_steps: int | None = None,
    scheduler_specific_kwargs: Mapping[str, Any] | None = None,
) -> LRScheduler:
    """A schedule by its name, a key of `SCHEDULES`.

    Args:
        num_warmup_steps, num_training_steps: needed by the schedules that have a warm-up or an end.
        scheduler_specific_kwargs: more arguments of the schedule, such as {"num_cycles": 2}.

    Raises:
        ValueError: an unknown name, a number that is missing, or an argument that the schedule does not have.
    """
    name = str(getattr(name, "value", name))  # transformers' SchedulerType is an enum of these names
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; expected one of {', '.join(SCHEDULES)}")
    steps: dict[str, Any] = {}
    if name not in _WITHOUT_WARMUP:
        steps["num_warmup_steps"] = num_warmup_steps
    if name not in _WITHOUT_END:
        steps["num_training_steps"] = num_training_steps
    for argument, value in steps.items():
        if value is None:
            raise ValueError(f"the schedule {name!r} needs {argument}")
    try:
        return SCHEDULES[name](optimizer, **steps, **(scheduler_specific_kwargs or {}))
    except TypeError as error:
        raise ValueError(f"the schedule {name!r}: {error}") from error
