"""The ops of BERT, one idea a file, each with its forward and its backward written out side by side.

An op here is the definition: plain array code in the names of the array API standard, float32 or float64, no kernel in
sight. The functions take tensors and check what they are given; the classes behind them do the arithmetic.
"""

from minibert.ops.add_layer_norm import add_layer_norm
from minibert.ops.arithmetic import add, divide, exponential, multiply, negative, power, subtract
from minibert.ops.attention import attention, attention_probabilities, self_attention
from minibert.ops.bias_gelu import bias_gelu
from minibert.ops.cross_entropy import IGNORE_INDEX, binary_cross_entropy, cross_entropy
from minibert.ops.dropout import dropout
from minibert.ops.elementwise import exp, log, relu, sqrt
from minibert.ops.embedding import embedding
from minibert.ops.embedding_sum import embedding_sum
from minibert.ops.gelu import gelu
from minibert.ops.layer_norm import layer_norm
from minibert.ops.linear import linear
from minibert.ops.linear_cross_entropy import linear_cross_entropy
from minibert.ops.matmul import matmul
from minibert.ops.projections import projections
from minibert.ops.reductions import max, mean, sum
from minibert.ops.rows import place_rows, take_rows
from minibert.ops.shape import broadcast_to, concat, getitem, permute_dims, reshape
from minibert.ops.softmax import softmax
from minibert.ops.tanh import tanh

__all__ = [
    "IGNORE_INDEX",
    "add",
    "add_layer_norm",
    "attention",
    "attention_probabilities",
    "bias_gelu",
    "binary_cross_entropy",
    "broadcast_to",
    "concat",
    "cross_entropy",
    "divide",
    "dropout",
    "embedding",
    "embedding_sum",
    "exp",
    "exponential",
    "gelu",
    "getitem",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "log",
    "matmul",
    "max",
    "mean",
    "multiply",
    "negative",
    "permute_dims",
    "place_rows",
    "power",
    "projections",
    "relu",
    "reshape",
    "self_attention",
    "softmax",
    "sqrt",
    "subtract",
    "sum",
    "take_rows",
    "tanh",
]
