"""Our float32 attention and torch's (its fused CPU kernel) on the same ragged batches, each against float64.

Ours may err 1.5 times as much. The largest error of a batch hangs on one unlucky rounding, so its mean over several
batches is compared.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the judge is PyTorch")

from minibert.kernels.cpu.attention import attention_backward, attention_forward  # noqa: E402

pytestmark = pytest.mark.oracle


def torchs(qkv: np.ndarray, dcontext: np.ndarray, starts: list[int], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Context (T, N, D) and dqkv (3, T, N, D), sequence by sequence."""
    context, dqkv = np.empty(dcontext.shape, dtype), np.empty(qkv.shape, dtype)
    for a, b in pairwise(starts):
        x = torch.from_numpy(qkv[:, a:b].astype(dtype)).permute(0, 2, 1, 3).contiguous()  # (3, N, L, D)
        heads = [t[None].clone().requires_grad_() for t in x]
        y = torch.nn.functional.scaled_dot_product_attention(*heads)
        y.backward(torch.from_numpy(dcontext[a:b].astype(dtype)).permute(1, 0, 2)[None])
        context[a:b] = y.detach()[0].permute(1, 0, 2).numpy()
        for i, t in enumerate(heads):
            dqkv[i, a:b] = t.grad[0].permute(1, 0, 2).numpy()
    return context, dqkv


@pytest.mark.parametrize("D", [8, 32, 64, 80])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_error_against_float64(D: int, scale: float) -> None:
    worst: dict[str, list[list[float]]] = {}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        starts = [0, *np.cumsum(rng.integers(1, 301, 4)).tolist()]
        qkv = (rng.standard_normal((3, starts[-1], 2, D)) * scale).astype(np.float32)
        dcontext = rng.standard_normal((starts[-1], 2, D)).astype(np.float32)
        context, saved = attention_forward(qkv, starts=starts, p=0.0, key=None)
        (dqkv,) = attention_backward(dcontext, saved, (True,), starts=starts, p=0.0, key=None)
        assert dqkv is not None
        truth, judge = (torchs(qkv, dcontext, starts, dtype) for dtype in ("float64", "float32"))
        for name, ours, theirs, exact in (
            ("context", context, judge[0], truth[0]),
            *((name, dqkv[i], judge[1][i], truth[1][i]) for i, name in enumerate(("dq", "dk", "dv"))),
        ):
            worst.setdefault(name, []).append([np.abs(x - exact).max() for x in (ours, theirs)])
    for name, errors in worst.items():
        our_error, their_error = np.mean(errors, axis=0)
        assert our_error <= 1.5 * their_error, f"{name}: ours {our_error:.3g}, torch's {their_error:.3g}"
