"""When parts of a model may be computed as one.

A fused op (`projections`, `add_layer_norm`, ...) and the encoder's kernel compute what their parts would, only faster.
That is true of the library's own parts. Where one of them is a subclass, has a `forward` of its own, or was replaced by
assignment, the parts themselves must run; every fused path asks here first.
"""

from __future__ import annotations

from typing import Any

from minibert import ops
from minibert.autograd import Op
from minibert.intact import intact
from minibert.nn import Module
from minibert.ops.add_layer_norm import AddLayerNorm
from minibert.ops.attention import Attention
from minibert.ops.bias_gelu import BiasGelu
from minibert.ops.cross_entropy import CrossEntropy
from minibert.ops.dropout import Dropout
from minibert.ops.embedding import Embedding
from minibert.ops.gelu import Gelu
from minibert.ops.layer_norm import LayerNorm
from minibert.ops.linear import Linear
from minibert.ops.projections import Projections

_CLASSES: dict[str, type[Op]] = {
    "add_layer_norm": AddLayerNorm,
    "bias_gelu": BiasGelu,
    "cross_entropy": CrossEntropy,
    "dropout": Dropout,
    "embedding": Embedding,
    "gelu": Gelu,
    "layer_norm": LayerNorm,
    "linear": Linear,
    "projections": Projections,
    "self_attention": Attention,
}
_OWN = {name: (getattr(ops, name), cls) for name, cls in _CLASSES.items()}


def own_ops(*names: str) -> bool:
    """Whether these functions of `minibert.ops`, and the op behind each, are the library's own."""
    for name in names:
        function, cls = _OWN[name]
        if getattr(ops, name) is not function or not intact(cls):
            return False
    return True


def plain(kind: type[Module], *modules: Any) -> bool:
    """Whether each of `modules` is of exactly this kind and computes what the kind's `forward` says."""
    return exactly(kind, *modules) and intact(kind)


def exactly(kind: type[Module], *modules: Any) -> bool:
    """Whether each of `modules` is of this kind, no subclass, with no `forward` set on the instance."""
    for module in modules:  # noqa: SIM110 (`all` of a generator takes three times as long)
        if type(module) is not kind or "forward" in module.__dict__:
            return False
    return True


def runs_forward_of(kind: type[Module], module: Any) -> bool:
    """Whether a call of `module` runs what `kind` says; also where it is a subclass that left the call as it is."""
    cls = type(module)
    inherited = getattr(cls, "forward", None) is kind.forward and cls.__call__ is kind.__call__
    return inherited and "forward" not in vars(module) and intact(kind)
