"""Mixed precision on a GPU: activations in 16 bits, parameters, sums and the optimiser in float32.

    scaler = LossScaler()
    optimizer.loss_scaler, optimizer.scheduler = scaler, scheduler
    with mixed_precision("float16"):
        loss = model(**batch).loss
        scaler.scale(loss).backward()
    optimizer.step()

float16 holds nothing below 6e-8, and gradients of activations are smaller than that. So the loss is multiplied by a
large number before backward, and the gradients of the parameters, which are float32, are divided by it again on their
way into the step. If the number was too large, a gradient is infinite: the step is left out and the number halved;
after many good steps it is doubled. bfloat16 has float32's range and needs no scaling.

A step that was left out is no step: neither Adam's bias correction nor the schedule may count it. But that it was is
known on the GPU alone, and to ask would mean to wait. So the GPU counts too, and picks the numbers of its step by that
(see kernels/cuda/adam.cu); `optimizer.settle()` brings the counts on both sides together, now and then.

Source: Micikevicius et al., "Mixed Precision Training", 2018, sections 3.1 to 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from minibert.autograd import Tensor
from minibert.backend import Array, device_of, namespace
from minibert.number_like import as_float, as_int, is_float


@contextmanager
def mixed_precision(dtype: str = "float16") -> Iterator[None]:
    """Context manager: models on a GPU keep their activations in `dtype`, "float16" or "bfloat16".

    Raises:
        ValueError: another dtype; or bfloat16 without ml_dtypes, which brings it to NumPy and CuPy.
    """
    from minibert.kernels.cuda import activations

    before, activations.dtype = activations.dtype, _narrow(dtype)
    try:
        yield
    finally:
        activations.dtype = before


def _narrow(dtype: str) -> Any:
    if dtype == "float16":
        return np.dtype(np.float16)
    if dtype != "bfloat16":
        raise ValueError(f"mixed precision is in float16 or bfloat16, got {dtype!r}")
    try:
        import ml_dtypes
    except ImportError:
        raise ValueError("bfloat16 needs ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


class LossScaler:
    """The number that the loss is multiplied with, kept and changed on the GPU, so that nobody waits.

    Args:
        initial: the first number.
        interval: good steps after which it is doubled.

    Raises:
        ValueError: a number that is not above 0, an interval below 1.
    """

    def __init__(self, initial: float = 2.0**16, interval: int = 2000) -> None:
        begin = as_float("LossScaler: initial", initial)
        if not begin > 0:
            raise ValueError(f"LossScaler: initial must be above 0, got {initial!r}")
        self.interval = as_int("LossScaler: interval", interval, least=1)
        self._begin = begin, 0.0  # the first number, and good steps that it has seen
        self._number: Array | None = None  # (1,), on the device of the losses
        self._good: Array | None = None  # (1,), good steps since the number last changed
        self._skipped: Array | None = None  # (1,), steps left out since `settle`

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the number.

        Raises:
            ValueError: the loss is not on a GPU.
        """
        if device_of(loss.data) != "cuda":
            raise ValueError("loss scaling is for mixed precision on a GPU, and this loss is on the CPU")
        if self._number is None:
            xp, (number, good) = namespace(loss.data), self._begin
            self._number = xp.asarray(np.full(1, number, np.float32))
            self._good = xp.asarray(np.full(1, good, np.float32))
            self._skipped = xp.asarray(np.zeros(1, np.int32))
        scaled: Tensor = loss * self._number.reshape(())
        return scaled

    @property
    def inverse(self) -> Array | None:
        """(1,): what gradients are multiplied with to take the number out again; None before the first loss."""
        return None if self._number is None else 1.0 / self._number

    @property
    def skipped(self) -> Array | None:
        """(1,) int32: steps left out since the last `settle`; None before the first loss."""
        return self._skipped

    def settle(self) -> int:
        """The number of steps left out since the last call; the optimiser's `settle` is the one to call. Waits."""
        if self._skipped is None:
            return 0
        skipped = int(self._skipped[0])
        self._skipped = namespace(self._skipped).zeros_like(self._skipped)
        return skipped

    def update(self, norm: Array) -> None:
        """Learn from a step, whose gradients' norm is this, a single number on the GPU: halve, or perhaps double."""
        if self._number is None or self._good is None or self._skipped is None:
            return
        xp = namespace(norm)
        finite = xp.isfinite(norm)
        self._skipped = self._skipped + xp.astype(~finite, xp.int32)
        good = xp.where(finite, self._good + 1.0, xp.zeros_like(self._good))
        grown = good >= self.interval
        factor = xp.where(finite, xp.where(grown, 2.0, 1.0), 0.5)
        self._number = xp.astype(self._number * factor, xp.float32)
        self._good = xp.astype(xp.where(grown, xp.zeros_like(good), good), xp.float32)

    def state_dict(self) -> dict[str, float]:
        """The number and the count of good steps, to be kept with a checkpoint. Waits."""
        if self._number is None or self._good is None:
            return {"number": self._begin[0], "good": self._begin[1]}
        return {"number": float(self._number[0]), "good": float(self._good[0])}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Go on where `state_dict` was taken: the same numbers to the bit.

        Raises:
            ValueError: it is no such state.
        """
        number, good = (state_dict.get(name) for name in ("number", "good"))
        for value in (number, good):
            if value is None or not is_float(value) or not math.isfinite(value) or value < 0:
                raise ValueError(f"LossScaler.load_state_dict: expected a number and a count, got {dict(state_dict)}")
        assert number is not None
        assert good is not None
        self._begin = float(number), float(good)
        self._number = self._good = self._skipped = None
