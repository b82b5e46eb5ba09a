"""Learning-rate schedules: a factor on each group's rate, as a function of how many steps have been taken.

`step` counts the optimiser steps already taken, so the first step of training uses the factor for step 0. With a
warm-up of w steps the first step has a rate of exactly 0, and the first at full rate is the one after w others. That is
what transformers does (get_linear_schedule_with_warmup), and what Google's code did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from minibert.number_like import as_float, as_int
from minibert.optim.optimizer import Optimizer


def constant(step: int) -> float:
    """Always 1."""
    _check(step)
    return 1.0


def constant_with_warmup(step: int, warmup: int) -> float:
    """From 0 to 1 in `warmup` steps, then 1."""
    _check(step, warmup)
    return step / warmup if step < warmup else 1.0


def linear_warmup_decay(step: int, warmup: int, total: int) -> float:
    """From 0 to 1 in `warmup` steps, then down in a line to 0 at step `total`, and 0 from there on.

    With t = step, w = warmup, N = total: t / w, then (N - t) / (N - w). The schedule of transformers: no jump.

    Raises:
        ValueError: a number is negative, or total is 0 or below warmup.
    """
    _check(step, warmup, total)
    if step < warmup:
        return step / warmup
    return max(0, total - step) / max(1, total - warmup)


def google_warmup_decay(step: int, warmup: int, total: int) -> float:
    """Google's schedule for BERT: t / w during warm-up, then 1 - t / N, a line that started at step 0.

    So the rate jumps at the end of the warm-up, from almost 1 down to 1 - w / N: by one per cent at 10,000 of 1,000,000
    steps.

    Raises:
        ValueError: a number is negative, or total is 0 or below warmup.
    """
    _check(step, warmup, total)
    if step < warmup:
        return step / warmup
    return 1 - min(step, total) / total


def cosine_warmup_decay(step: int, warmup: int, total: int, num_cycles: float = 0.5) -> float:
    """From 0 to 1 in `warmup` steps, then (1 + cos(2 pi c p)) / 2 with p from 0 to 1 at step `total`, c = num_cycles.

    With c = 0.5 that is half a wave, from 1 down to 0, and it would rise again behind `total`. transformers' schedule;
    Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5, without restarts.

    Raises:
        ValueError: a number is negative, or total is 0 or below warmup.
    """
    _check(step, warmup, total)
    cycles = as_float("schedule: num_cycles", num_cycles, least=0)
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return max(0.0, 0.5 * (1.0 + math.cos(2.0 * math.pi * cycles * progress)))


def cosine_with_hard_restarts(step: int, warmup: int, total: int, num_cycles: float = 1) -> float:
    """From 0 to 1 in `warmup` steps, then `num_cycles` times from 1 down to 0 along half a wave; 0 from `total` on.

    transformers' schedule; Loshchilov & Hutter, "SGDR", equation 5.

    Raises:
        ValueError: a number is negative, or total is 0 or below warmup.
    """
    _check(step, warmup, total)
    cycles = as_float("schedule: num_cycles", num_cycles, least=0)
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(1, total - warmup)
    if progress >= 1.0:
        return 0.0
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((cycles * progress) % 1.0))))


def polynomial_warmup_decay(step: int, warmup: int, total: int, power: float = 1.0, end: float = 0.0) -> float:
    """From 0 to 1 in `warmup` steps, then end + (1 - end) (1 - p)**power with p from 0 to 1 at step `total`.

    `end` from there on; it is a part of the full rate, transformers' lr_end / lr. With power 1 and end 0 it is the
    linear schedule.

    Raises:
        ValueError: a number is negative, total is 0 or below warmup, or end is above 1.
    """
    _check(step, warmup, total)
    power = as_float("schedule: power", power, least=0)
    end = as_float("schedule: end", end, least=0, most=1)
    if step < warmup:
        return step / warmup
    if step > total:
        return end
    left: float = 1 - (step - warmup) / max(1, total - warmup)
    return end + (1 - end) * float(left**power)


def inverse_sqrt_warmup_decay(step: int, warmup: int, timescale: float | None = None) -> float:
    """From 0 to 1 in `warmup` steps, then 1 / sqrt(1 + (step - warmup) / timescale), without an end.

    With timescale = warmup, the default, it is the schedule of Vaswani et al., section 5.3, as a part of its peak:
    sqrt(warmup / step). Without warm-up the default timescale is 10,000.

    Raises:
        ValueError: a number is negative, or timescale is not above 0.
    """
    _check(step, warmup)
    scale = as_float("schedule: timescale", (warmup or 10_000) if timescale is None else timescale, least=0)
    if scale == 0:
        raise ValueError("schedule: timescale must be above 0, got 0")
    if step < warmup:
        return step / warmup
    return 1.0 / math.sqrt(1.0 + (step - warmup) / scale)


class LRScheduler:
    """Sets the rate of every group of an optimiser to the group's own rate times `factor(step, **options)`.

    It sets the rate for step 0 at once; then call `step()` after each optimiser step:

        scheduler = LRScheduler(optimizer, linear_warmup_decay, warmup=100, total=1000)

    Args:
        optimizer: a group's own rate is the one it has when it first meets a scheduler, kept as group["initial_lr"].
        factor: one of the functions above, or your own.
        options: handed to `factor` each time.

    Raises:
        ValueError: `factor` does not take these options.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[..., float], **options: Any) -> None:
        self.optimizer = optimizer
        self.factor = factor
        self.options = options
        self.step_count = 0
        try:
            factor(0, **options)
        except TypeError as error:
            raise ValueError(f"LRScheduler: {error}") from error
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self._set()

    def step(self) -> None:
        """Count one optimiser step and set the rate of the next."""
        self.step_count += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rate of each group as it is now: the next optimiser step will use it."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def earlier(self, group: Mapping[str, Any], steps: int) -> float:
        """The rate that one of the optimiser's groups would have if so many steps fewer had been taken."""
        base = group["initial_lr"]
        if group["lr"] != base * self.factor(self.step_count, **self.options):
            return float(group["lr"])  # somebody has set it by hand
        return float(base * self.factor(max(0, self.step_count - steps), **self.options))

    def rewind(self, steps: int) -> None:
        """Take so many steps out of the count: they were left out (see `minibert.precision`)."""
        self.step_count = max(0, self.step_count - steps)
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """The count and the groups' own rates. `factor` and its options are not part of it: give them anew."""
        return {"step_count": self.step_count, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, and set the rates. The optimiser's own may be loaded before or after.

        Raises:
            ValueError: the optimiser has another number of groups.
        """
        base_lrs = list(state_dict["base_lrs"])
        groups = self.optimizer.param_groups
        if len(base_lrs) != len(groups):
            raise ValueError(f"LRScheduler.load_state_dict: expected {len(groups)} base_lrs, got {len(base_lrs)}")
        self.step_count = as_int("LRScheduler.load_state_dict: step_count", state_dict["step_count"], least=0)
        self.base_lrs = [as_float("LRScheduler.load_state_dict: base_lr", lr, least=0) for lr in base_lrs]
        for group, base in zip(groups, base_lrs, strict=True):
            group["initial_lr"] = base
        self._set()

    def _set(self) -> None:
        factor = self.factor(self.step_count, **self.options)
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = base * factor


def _check(step: int, warmup: int = 0, total: int | None = None) -> None:
    as_float("schedule: step", step, least=0)
    as_float("schedule: warmup", warmup, least=0)
    if total is not None and not as_float("schedule: total", total) >= max(1, warmup):
        raise ValueError(f"schedule: total must be at least 1 and not below warmup ({warmup}), got {total}")
