"""Linear layers on the kernels' threads: their float32 error against float64 is no more than 1.5 times torch's."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracle tests need torch: pip install 'minibert-numpy[oracle]'")

from minibert.kernels.cpu.linear import linear_backward, linear_forward  # noqa: E402
from minibert.kernels.cpu.projections import projections_backward, projections_forward  # noqa: E402

pytestmark = pytest.mark.oracle

SHAPES = [(5, 96, 64), (16, 768, 256), (16, 3072, 96), (64, 1030, 48), (100, 64, 130), (300, 768, 256), (130, 3072, 96)]
"""Few rows and many, short sums and long ones; (rows, inputs, outputs)."""
DRAWS = 8


def errors(got: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    return np.array([np.abs(g.astype(np.float64) - t).max() for g, t in zip(got, truth, strict=True)])


def torch_gradients(dtype: str, dy: np.ndarray, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    tensors = [torch.tensor(a, dtype=getattr(torch, dtype), requires_grad=True) for a in (x, w, b)]
    y = torch.nn.functional.linear(*tensors)
    y.backward(torch.tensor(dy, dtype=y.dtype))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


@pytest.mark.parametrize("shape", SHAPES)
def test_linear(shape: tuple[int, int, int]) -> None:
    """Result and three gradients; the mean over drawn inputs of the largest error, since of one input it is luck."""
    rows, inputs, outputs = shape
    rng, ours, theirs = np.random.default_rng(rows), np.zeros(4), np.zeros(4)
    for _ in range(DRAWS):
        sizes = ((rows, outputs), (rows, inputs), (outputs, inputs), (outputs,))
        dy, x, w, b = (rng.standard_normal(size).astype(np.float32) for size in sizes)
        truth = torch_gradients("float64", dy, x, w, b)
        y, saved = linear_forward(x, w, b)
        ours += errors([y, *linear_backward(dy, saved, (True, True, True))], truth)
        theirs += errors(torch_gradients("float32", dy, x, w, b), truth)
    print(f"{shape}: ours {ours / DRAWS}, torch's {theirs / DRAWS}")
    assert (ours <= 1.5 * theirs).all()


def test_projections_are_three_linear_layers() -> None:
    """The gradient of x is a sum over three layers, here taken in one product."""
    rng, ours, theirs = np.random.default_rng(1), np.zeros(2), np.zeros(2)
    for _ in range(DRAWS):
        x, dy = (rng.standard_normal(size).astype(np.float32) for size in ((100, 64), (3, 100, 64)))
        layers = [rng.standard_normal(size).astype(np.float32) for size in ((64, 64), (64,)) * 3]
        results = {}
        for dtype in ("float64", "float32"):
            parts = [torch_gradients(dtype, dy[i], x, *layers[2 * i : 2 * i + 2]) for i in range(3)]
            results[dtype] = [np.stack([p[0] for p in parts]), parts[0][1] + parts[1][1] + parts[2][1]]
        y, saved = projections_forward(x, *layers)
        dx = projections_backward(dy, saved, (True,) * 7)[0]
        assert dx is not None
        ours += errors([y, dx], results["float64"])
        theirs += errors(results["float32"], results["float64"])
    assert (ours <= 1.5 * theirs).all()
