"""What activations are kept in: the switch of mixed precision.

The embeddings' sum is a model's first activation, and each kernel's result has the dtype of what it is given. So one
place decides for the whole model.
"""

from __future__ import annotations

from typing import Any

dtype: Any = None
"""A dtype of 16 bits, or None: the parameters' own."""
