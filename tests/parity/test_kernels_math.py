"""Our float32 kernels and torch's float32 on the same inputs, each against float64: ours may err 1.5 times as much.

The largest error of each result is taken over several inputs, so that one lucky rounding does not decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the judge is PyTorch")
from torch.nn import functional  # noqa: E402

from minibert.kernels.cpu import bias_gelu, cross_entropy, gelu, linear_cross_entropy, softmax  # noqa: E402

pytestmark = pytest.mark.oracle

Inputs = list[np.ndarray]
Run = Callable[..., Any]


def ours(module: Any, name: str, arrays: Inputs, dy: np.ndarray, **options: Any) -> list[np.ndarray]:
    y, saved = getattr(module, f"{name}_forward")(*arrays, **options)
    return [y, *getattr(module, f"{name}_backward")(dy, saved, (True,) * len(arrays), **options)]


def torchs(function: Run, arrays: Inputs, dy: np.ndarray, dtype: str) -> list[np.ndarray]:
    tensors = [torch.from_numpy(x.astype(dtype)).requires_grad_() for x in arrays]
    y = function(*tensors)
    y.backward(torch.from_numpy(dy.astype(dtype)))
    return [t.detach().numpy() for t in (y, *(t.grad for t in tensors))]


def hold(module: Any, name: str, function: Run, draws: list[tuple[Inputs, dict[str, Any]]], **more: Any) -> None:
    """`function` is torch's, called with the same options as the kernel."""
    worst: dict[int, list[float]] = {}
    for seed, (arrays, options) in enumerate(draws):
        arrays = [x.astype(np.float32) for x in arrays]

        def judge(*tensors: Any, options: dict[str, Any] = options) -> Any:
            return function(*tensors, **{k: torch.from_numpy(v) for k, v in options.items()})

        shape = judge(*(torch.from_numpy(x) for x in arrays)).shape
        dy = np.asarray(np.random.default_rng(seed).standard_normal(shape), np.float32)
        truth = torchs(judge, arrays, dy, "float64")
        pair = ours(module, name, arrays, dy, **options, **more), torchs(judge, arrays, dy, "float32")
        for i, exact in enumerate(truth):
            errors = [float(np.abs(result[i] - exact).max()) for result in pair]
            worst[i] = [max(old, new) for old, new in zip(worst.get(i, [0.0, 0.0]), errors, strict=True)]
    for i, (our_error, their_error) in worst.items():
        assert our_error <= 1.5 * their_error, f"result {i} of {name}: ours {our_error:.3g}, torch's {their_error:.3g}"


def draw(shapes: Callable[[int], list[tuple[int, ...]]], scale: float = 1.0, n: int = 6) -> list[tuple[Inputs, Any]]:
    draws = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        draws.append(([rng.standard_normal(shape) * scale for shape in shapes(seed)], {}))
    return draws


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_gelu(scale: float) -> None:
    draws = draw(lambda seed: [(300 + 37 * seed, 331)], scale)
    hold(gelu, "gelu", functional.gelu, draws)
    hold(gelu, "gelu_tanh", lambda x: functional.gelu(x, approximate="tanh"), draws)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_bias_gelu(scale: float) -> None:
    draws = draw(lambda seed: [(1 + 97 * seed, 331), (331,)], scale)
    hold(bias_gelu, "bias_gelu", lambda x, b: functional.gelu(x + b), draws)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_softmax(scale: float) -> None:
    hold(softmax, "softmax", lambda x: functional.softmax(x, -1), draw(lambda seed: [(200, 2 + 150 * seed)], scale))


def with_labels(draws: list[tuple[Inputs, Any]], classes: int) -> list[tuple[Inputs, dict[str, Any]]]:
    labelled = []
    for seed, (arrays, _) in enumerate(draws):
        rng = np.random.default_rng(seed)
        labels = np.where(rng.random(len(arrays[0])) < 0.2, -100, rng.integers(0, classes, len(arrays[0])))
        labelled.append((arrays, {"labels": labels}))
    return labelled


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_cross_entropy(scale: float) -> None:
    draws = with_labels(draw(lambda seed: [(20 + 30 * seed, 3001)], scale), 3001)
    hold(
        cross_entropy, "cross_entropy", lambda x, labels: functional.cross_entropy(x, labels), draws, ignore_index=-100
    )


def test_linear_cross_entropy() -> None:
    draws = with_labels(draw(lambda seed: [(20 + 130 * seed, 64), (3001, 64), (3001,)], 0.3), 3001)
    hold(
        linear_cross_entropy,
        "linear_cross_entropy",
        lambda x, weight, bias, labels: functional.cross_entropy(functional.linear(x, weight, bias), labels),
        draws,
        ignore_index=-100,
    )
