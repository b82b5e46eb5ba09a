"""The three embeddings of a token, looked up and added."""

from __future__ import annotations

from typing import Any

from minibert import backend
from minibert.autograd import Op, Tensor
from minibert.backend import Array, namespace
from minibert.ops.embedding import check_range


class EmbeddingSum(Op, kernel="embedding_sum"):
    """y[t] = words[ids[t]] + types[type_ids[t]] + positions[position_ids[t]].

    The same as three `Embedding`s and two additions, without the arrays in between.

    Source: Devlin et al., "BERT", section 3, figure 2.
    """

    def forward(
        self, words: Array, positions: Array, types: Array, *, ids: Array, position_ids: Array, type_ids: Array
    ) -> Array:
        xp = namespace(words)
        self.save(ids, position_ids, type_ids, words.shape[0], positions.shape[0], types.shape[0])
        y = xp.take(words, ids, axis=0) + xp.take(types, type_ids, axis=0)  # (T, H)
        return y + xp.take(positions, position_ids, axis=0)

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        ids, position_ids, type_ids, V, P, K = self.saved
        # whatever stands in many places gets the sum of its gradients
        dwords = backend.scatter_add(ids, dy, V)  # (V, H)
        dpositions = backend.scatter_add(position_ids, dy, P)  # (P, H)
        dtypes = backend.scatter_add(type_ids, dy, K)  # (K, H)
        return dwords, dpositions, dtypes


def embedding_sum(
    words: Tensor, positions: Tensor, types: Tensor, *, ids: Any, position_ids: Any, type_ids: Any
) -> Tensor:
    """The sum of three rows for each token.

    Args:
        words: (V, H).
        positions: (P, H).
        types: (K, H).
        ids, position_ids, type_ids: (T,) integers, row numbers of the three tables in that order.

    Returns:
        (T, H).

    Raises:
        ValueError: tables of different widths; ids that are not integers, not (T,), or outside their table.
    """
    tables = {"ids": (ids, words), "position_ids": (position_ids, positions), "type_ids": (type_ids, types)}
    if any(table.ndim != 2 or table.shape[1] != words.shape[-1] for _, table in tables.values()):
        raise ValueError(
            f"embedding_sum needs tables (V, H), (P, H) and (K, H); got {words.shape}, {positions.shape}, {types.shape}"
        )
    indices = {what: backend.index_array(given, like=words.data) for what, (given, _) in tables.items()}
    for what, index in indices.items():
        xp = namespace(index)
        if index.ndim != 1 or index.shape != indices["ids"].shape or not xp.isdtype(index.dtype, "integral"):
            shapes = ", ".join(f"{tuple(i.shape)} {i.dtype}" for i in indices.values())
            raise ValueError(f"embedding_sum needs three arrays of T integers, got {shapes}")
        if index.shape[0]:
            check_range(backend.checkable(tables[what][0], index), tables[what][1].shape[0], what)
    return EmbeddingSum.apply(words, positions, types, **indices)
