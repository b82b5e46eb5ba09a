"""The activations that a configuration can name, under the names of published config.json files.

Several names mean one function: `gelu_python` was once another implementation of the exact GELU, and `gelu_new`,
`gelu_fast`, `gelu_accurate` and `gelu_pytorch_tanh` are roundings of one formula. Functions here have names of their
own, so that a model that holds one can be pickled.
"""

from __future__ import annotations

from collections.abc import Callable

from minibert.autograd import Tensor
from minibert.ops import gelu, relu, sigmoid, silu, tanh

__all__ = ["ACTIVATIONS"]


def gelu_tanh(x: Tensor) -> Tensor:
    """The GELU's approximation with tanh."""
    return gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """The GELU's approximation with a sigmoid, x sigmoid(1.702 x)."""
    return silu(x, scale=1.702)


def linear(x: Tensor) -> Tensor:
    """x itself: no activation (Google's name for None)."""
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_python": gelu,
    "gelu_new": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_accurate": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
    "swish": silu,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "linear": linear,
}
"""`hidden_act` by name. "gelu" is the exact one, with erf."""
