"""What a caller may pass: a mask that is no mask is refused in a sentence of our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert.packing import pack
from tests import tiny


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1, 1], [1]], "attention_mask has rows of different lengths; pad them"),
        ([1, 1, 1], r"attention_mask has shape \(3,\), the batch \(2, 3\)"),
        (np.full((2, 3), 2), "1 for tokens and 0 for pads"),
        (np.full((2, 3), np.nan), "1 for tokens and 0 for pads"),
    ],
)
def test_masks_that_are_none(mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pack(tiny.config(), np.ones((2, 3), int), attention_mask=mask)
