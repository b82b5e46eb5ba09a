"""The ops of BERT, one idea a file, each with its forward and its backward written out side by side.

An op here is the definition: plain array code in the names of the array API standard, float32 or float64, no kernel in
sight. The functions take tensors and check what they are given; the classes behind them do the arithmetic.
"""

from minibert.ops.add_layer_norm import add_layer_norm
from minibert.ops.arithmetic import add, divide, exponential, multiply, negative, power, subtract
from minibert.ops.astype import astype
from minibert.ops.attention import attention, attention_probabilities, self_attention
from minibert.ops.bias_gelu import bias_gelu
from minibert.ops.cross_entropy import IGNORE_INDEX, binary_cross_entropy, cross_entropy
from minibert.ops.dropout import dropout
from minibert.ops.elementwise import absolute, exp, log, relu, sqrt
from minibert.ops.embedding import embedding
from minibert.ops.embedding_sum import embedding_sum
from minibert.ops.gelu import gelu
from minibert.ops.indexing import getitem
from minibert.ops.layer_norm import layer_norm
from minibert.ops.linear import linear
from minibert.ops.linear_cross_entropy import linear_cross_entropy
from minibert.ops.matmul import matmul
from minibert.ops.projections import projections
from minibert.ops.reductions import max, mean, min, std, sum, var
from minibert.ops.rows import place_rows, take_rows
from minibert.ops.selection import clip, where
from minibert.ops.shape import (
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    permute_dims,
    reshape,
    squeeze,
    stack,
)
from minibert.ops.sigmoid import sigmoid, silu
from minibert.ops.softmax import log_softmax, softmax
from minibert.ops.tanh import tanh

__all__ = [
    "IGNORE_INDEX",
    "absolute",
    "add",
    "add_layer_norm",
    "astype",
    "attention",
    "attention_probabilities",
    "bias_gelu",
    "binary_cross_entropy",
    "broadcast_to",
    "clip",
    "concat",
    "cross_entropy",
    "divide",
    "dropout",
    "embedding",
    "embedding_sum",
    "exp",
    "expand_dims",
    "exponential",
    "flatten",
    "gelu",
    "getitem",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "mean",
    "min",
    "multiply",
    "negative",
    "permute_dims",
    "place_rows",
    "power",
    "projections",
    "relu",
    "reshape",
    "self_attention",
    "sigmoid",
    "silu",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take_rows",
    "tanh",
    "var",
    "where",
]
