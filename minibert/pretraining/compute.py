"""Where a run computes, and in what precision.

Neither is part of the recipe: a run is the same run on another device. But its bits are not: sums are added up in
another order. So a state remembers where it came from, a resumed run goes on there if nobody says otherwise, and where
somebody does it is told that the outcome is no longer that of an undisturbed run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from minibert import backend
from minibert.precision import LossScaler, mixed_precision
from minibert.pretraining.errors import DeviceError

__all__ = ["PRECISIONS", "Compute"]

PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Compute:
    """A device, and what activations are kept in there.

    Attributes:
        device: "cpu" or "cuda".
        precision: "float32"; on a GPU also "float16", with loss scaling, or "bfloat16". Parameters, Adam's moments and
            all sums are float32 with each of them.
    """

    device: str = "cpu"
    precision: str = "float32"

    @classmethod
    def chosen(cls, device: str | None, precision: str | None, before: Mapping[str, str] | None = None) -> Compute:
        """What was asked for, or else what was used `before` (as a saved state tells it), or else the CPU.

        Raises:
            DeviceError: a device that is not to be had here, or a precision that it has not.
        """
        past = cls(**(before or {}))
        device = past.device if device is None else device
        if precision is None:
            precision = past.precision if device == past.device else "float32"
        if precision not in PRECISIONS:
            raise DeviceError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        if device == "cpu" and precision != "float32":
            raise DeviceError(f"precision {precision} is for device cuda; on the CPU a run computes in float32")
        made = cls(device, precision)
        try:
            backend.check_device(device)
            with made.mixed():
                pass
        except ValueError as error:
            hint = "; the run was there before, and --device cpu moves it" if before and device == past.device else ""
            raise DeviceError(f"{error}{hint}") from None
        return made

    def mixed(self) -> AbstractContextManager[None]:
        """The context of a training step."""
        return nullcontext() if self.precision == "float32" else mixed_precision(self.precision)

    def scaler(self) -> LossScaler | None:
        """What scales the loss, for the one precision whose range is too small."""
        return LossScaler() if self.precision == "float16" else None

    def moved(self, before: Mapping[str, str] | None) -> str:
        """What to say about a run that was somewhere else before; nothing if it was here."""
        past = Compute(**(before or {}))
        if past == self:
            return ""
        return f"on {self} from here on, on {past} before: the run will not end at the same bits as an undisturbed one"

    def __str__(self) -> str:
        return f"{self.device} in {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """For a saved state."""
        return asdict(self)
