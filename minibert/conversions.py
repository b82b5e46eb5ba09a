"""The ways out of a tensor: to NumPy, to Python's numbers, to text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from minibert import backend
from minibert.backend import Array

if TYPE_CHECKING:
    from minibert.autograd import Tensor


class Conversions:
    """What an array says of itself, and its values in other forms."""

    __slots__ = ()

    data: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return tuple(self.data.shape)

    @property
    def dtype(self) -> Any:
        """The array's dtype."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.data.size)

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array (the array itself if it is one, a copy if it lives on a GPU)."""
        return backend.to_numpy(self.data)

    def item(self) -> float:
        """The one value of a tensor with a single element."""
        if self.size != 1:
            raise ValueError(f"item() needs a tensor with one element, this one has shape {self.shape}")
        number: float = self.numpy().item()
        return number

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.shape or not backend.namespace(self.data).isdtype(self.data.dtype, "integral"):
            raise TypeError(f"an index is an integer without axes, not a tensor of shape {self.shape} {self.dtype}")
        return int(self.item())

    def __round__(self, digits: int | None = None) -> float:
        return round(self.item(), digits)

    def __format__(self, how: str) -> str:
        if not how:
            return str(self)
        if self.size != 1:
            raise TypeError(f"a tensor of shape {self.shape} is no number, and cannot be written as {how!r}")
        return format(self.item(), how)

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"a tensor of shape {self.shape} is neither true nor false; try .numpy().any()")
        return bool(self.item())

    def __repr__(self) -> str:
        wanted = cast("Tensor", self).requires_grad
        body = np.array2string(self.numpy(), separator=", ", prefix="Tensor(")
        return f"Tensor({body}, dtype={self.dtype}{', requires_grad=True' if wanted else ''})"
