"""Which parameters decay: the matrices, and not the biases and LayerNorms.

Weight decay pulls towards zero. That is a sensible wish for a weight matrix; for the scale of a LayerNorm it is not
(its neutral value is 1), and a bias has too few numbers to overfit with. BERT was trained without decay on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minibert.autograd import Tensor
from minibert.nn import LayerNorm, Module


def decay_groups(model: Module | Iterable[tuple[str, Tensor]], weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Two groups for an optimiser: the parameters that decay by `weight_decay`, and those that do not.

    No decay for what is called `bias`, `gamma` or `beta` (the last two are a LayerNorm's weight and bias in old
    checkpoints), for everything under a name with "LayerNorm" or "layer_norm" in it, and for the parameters of a
    LayerNorm module whatever they are called. A parameter with several names (the tied decoder) is listed once, one
    with requires_grad=False not at all.

    Args:
        model: a Module, or pairs (name, parameter) as from `model.named_parameters()`.
        weight_decay: for the first group.

    Returns:
        [{"params": [...], "param_names": [...], "weight_decay": weight_decay}, {... "weight_decay": 0.0}].
    """
    norms: set[int] = set()
    if isinstance(model, Module):
        norms = {id(p) for _, m in model.named_modules() if isinstance(m, LayerNorm) for p in m.parameters()}
    named: Iterable[tuple[str, Tensor]] = model.named_parameters() if isinstance(model, Module) else model
    decay: dict[str, Any] = {"params": [], "param_names": [], "weight_decay": weight_decay}
    plain: dict[str, Any] = {"params": [], "param_names": [], "weight_decay": 0.0}
    seen: set[int] = set()
    for name, p in named:
        if id(p) not in seen and p.requires_grad:
            seen.add(id(p))
            group = plain if id(p) in norms or _is_plain(name) else decay
            group["params"].append(p)
            group["param_names"].append(name)
    return [decay, plain]


def _is_plain(name: str) -> bool:
    """Whether the name alone says bias or LayerNorm."""
    *path, last = name.split(".")
    return last in ("bias", "gamma", "beta") or any("layernorm" in s.lower().replace("_", "") for s in (*path, last))
