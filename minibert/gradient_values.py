"""What can be a tensor's gradient: an array of its shape, dtype and device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minibert import backend
from minibert.backend import Array
from minibert.op_checks import is_real
from minibert.operators import Operators

if TYPE_CHECKING:
    from minibert.autograd import Tensor


class Gradients:
    """`requires_grad` and `grad` of a `Tensor`."""

    __slots__ = ()

    data: Array
    _grad: Tensor | None
    _requires_grad: bool

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is wanted."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self: Any, wanted: bool) -> None:
        if wanted and not is_real(self.data):
            raise ValueError(f"only floating tensors can require a gradient; this one is {self.data.dtype}")
        self._requires_grad = bool(wanted)

    @property
    def grad(self) -> Tensor | None:
        """The gradient, or None."""
        return self._grad

    @grad.setter
    def grad(self: Any, value: Any) -> None:
        if value is not None:
            value = _as_gradient(value, self.data)
        self._grad = value

    @grad.deleter
    def grad(self: Any) -> None:
        self._grad = None


def _as_gradient(value: Any, data: Array) -> Tensor:
    """What is assigned to the `.grad` of a tensor with the array `data`, as a tensor.

    Raises:
        ValueError: neither a Tensor nor an array, or of another shape, dtype or device.
    """
    from minibert.autograd import Tensor  # built on this file

    if not isinstance(value, Tensor) and not backend.is_array(value):
        raise ValueError(f"a gradient is a Tensor, an array, or None, got {type(value).__name__}")
    grad = value if isinstance(value, Tensor) else Tensor(value)
    if grad.shape != tuple(data.shape) or grad.dtype != data.dtype:
        raise ValueError(
            f"a tensor of shape {tuple(data.shape)} ({data.dtype}) has a gradient of the same shape and dtype, got "
            f"{grad.shape} ({grad.dtype})"
        )
    if backend.device_of(grad.data) != backend.device_of(data):
        raise ValueError(f"a tensor on {backend.device_of(data)} has its gradient there, got one on another device")
    return grad


def seed(tensor: Tensor, gradient: Any) -> Array:
    """What `tensor.backward(gradient)` begins with: dL/d(tensor), which is 1 for a single number if None.

    Raises:
        ValueError: None for several numbers, or of another shape than the tensor.
    """
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"backward() without a gradient needs a single number, this tensor has shape {tensor.shape}; "
                "reduce it to a loss, or pass dL/d(tensor) as gradient="
            )
        xp = backend.namespace(tensor.data)
        return xp.ones_like(tensor.data)
    dy = backend.asarray(gradient.data if isinstance(gradient, Operators) else gradient, like=tensor.data)
    if tuple(dy.shape) != tensor.shape:
        raise ValueError(f"the gradient has shape {tuple(dy.shape)}, the tensor {tensor.shape}; they must be equal")
    return dy


def is_owned(dx: Array, dy: Array, grads: tuple[Array | None, ...]) -> bool:
    """Whether backward made this array, for one input: no view, not the incoming gradient, nothing that is saved."""
    writeable = getattr(getattr(dx, "flags", None), "writeable", True)
    return dx is not dy and getattr(dx, "base", dx) is None and writeable and sum(g is dx for g in grads) == 1
