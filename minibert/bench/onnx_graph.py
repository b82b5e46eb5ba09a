"""BERT as an ONNX graph of the fused nodes that onnxruntime has for it.

onnxruntime's optimiser turns an exported BERT into these same nodes when it recognises the export's patterns, which
depends on the versions of three packages. So the graph is built from them directly: attention with its heads, masks
and projections as one node, residual + LayerNorm as one, bias + GELU as one. The session then folds and fuses what is
left (`ORT_ENABLE_ALL`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FUSED = "com.microsoft"


class _Graph:
    """Nodes and weights in the order they are added."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy_helper = helper, numpy_helper
        self.state = state
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, name: str, array: np.ndarray | None = None) -> str:
        """The name of a weight of the checkpoint, or of an array made from several."""
        values = self.state[name] if array is None else array
        self.weights.append(self.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; the name of its (first) output."""
        output = f"{op}.{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(op, list(inputs), [output], domain=domain, **attributes))
        return output

    def times(self, x: str, name: str) -> str:
        """x W^T for the linear layer `name`, without its bias."""
        return self.node("MatMul", x, self.weight(f"{name}.weight^T", self.state[f"{name}.weight"].T))

    def dense(self, x: str, name: str) -> str:
        """x W^T + b."""
        return self.node("Add", self.times(x, name), self.weight(f"{name}.bias"))

    def add_and_norm(self, x: str, skip: str, name: str, eps: float) -> str:
        """LayerNorm(dense(x) + skip): `name` is BERT's Self/Output block."""
        parts = self.weight(f"{name}.LayerNorm.weight"), self.weight(f"{name}.LayerNorm.bias")
        product, bias = self.times(x, f"{name}.dense"), self.weight(f"{name}.dense.bias")
        return self.node("SkipLayerNormalization", product, skip, *parts, bias, domain=FUSED, epsilon=eps)


def write_onnx(model: Any, path: Path, *, masked: bool = True) -> None:
    """Write a `BertModel` as an ONNX file, its weights beside it.

    The graph takes input_ids (B, S) and, if `masked`, attention_mask (B, S), both int32, and gives last_hidden_state
    (B, S, H). Without a mask onnxruntime has a faster attention, so it is left out where there are no pads.
    """
    import onnx
    from onnx import TensorProto, helper

    config = model.config
    g = _Graph(model.state_dict())
    x = _embeddings(g, config.layer_norm_eps)
    for i in range(config.num_hidden_layers):
        x = _layer(g, x, f"encoder.layer.{i}", config, masked)
    g.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
    names = ["input_ids", "attention_mask"] if masked else ["input_ids"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, ["B", "S"]) for name in names]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["B", "S", config.hidden_size])
    graph = helper.make_graph(g.nodes, "bert", inputs, [output], g.weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save_model(proto, str(path), save_as_external_data=True, location=path.with_suffix(".weights").name)


def _embeddings(g: _Graph, eps: float) -> str:
    """(B, S, H): words + types + positions, normalised. All tokens are of type 0."""
    words = g.node("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    one, zero, axis = (np.array([n], np.int64) for n in (1, 0, 0))
    length = g.node("Slice", g.node("Shape", "input_ids"), g.weight("one", one), g.weight("two", one + 1))
    table = g.weight("embeddings.position_embeddings.weight")
    positions = g.node("Slice", table, g.weight("zero", zero), length, g.weight("axis", axis))  # (S, H)
    kind = g.weight("type 0", g.state["embeddings.token_type_embeddings.weight"][0])
    total = g.node("Add", g.node("Add", words, kind), positions)
    parts = g.weight("embeddings.LayerNorm.weight"), g.weight("embeddings.LayerNorm.bias")
    return g.node("LayerNormalization", total, *parts, epsilon=eps)


def _layer(g: _Graph, x: str, name: str, config: Any, masked: bool) -> str:
    """(B, S, H) to (B, S, H)."""
    context = (_masked_attention if masked else _full_attention)(g, x, f"{name}.attention.self", config)
    x = g.add_and_norm(context, x, f"{name}.attention.output", config.layer_norm_eps)
    widened = g.times(x, f"{name}.intermediate.dense")
    bent = g.node("BiasGelu", widened, g.weight(f"{name}.intermediate.dense.bias"), domain=FUSED)
    return g.add_and_norm(bent, x, f"{name}.output", config.layer_norm_eps)


def _masked_attention(g: _Graph, x: str, name: str, config: Any) -> str:
    """(B, S, H): projections and attention as one node."""
    projections = [f"{name}.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([g.state[f"{p}.weight"].T for p in projections], axis=1)  # (H, 3H)
    bias = np.concatenate([g.state[f"{p}.bias"] for p in projections])  # (3H,)
    inputs = x, g.weight(f"{name}.qkv", matrix), g.weight(f"{name}.qkv.bias", bias), "attention_mask"
    return g.node("Attention", *inputs, domain=FUSED, num_heads=config.num_attention_heads)


def _full_attention(g: _Graph, x: str, name: str, config: Any) -> str:
    """(B, S, H): projections, then a node that goes through keys in blocks; it takes no mask."""
    projected = [g.times(x, f"{name}.{part}") for part in ("query", "key", "value")]
    bias = np.concatenate([g.state[f"{name}.{part}.bias"] for part in ("query", "key", "value")])  # (3H,)
    inputs = *projected, g.weight(f"{name}.qkv.bias", bias)
    return g.node("MultiHeadAttention", *inputs, domain=FUSED, num_heads=config.num_attention_heads)
