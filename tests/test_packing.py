"""What a caller may pass: a mask that is no mask is refused in a sentence of our own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minibert import BertForMaskedLM, BertModel, Tensor
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


# --- what a call takes ------------------------------------------------------------------------------------------------


def test_the_mask_by_position_is_refused_with_the_reason() -> None:
    model = tiny.model(BertModel)
    for error in (ValueError, TypeError):
        with pytest.raises(error, match="input_ids alone by position, got 2 .*attention_mask=.* by name") as caught:
            model([[1, 2]], [[1, 1]])
        assert "one taken for the other gives wrong answers" in str(caught.value)


def test_a_name_that_no_model_has() -> None:
    with pytest.raises(ValueError, match="BertModel has no option 'attention_masks'; did you mean 'attention_mask'"):
        tiny.model(BertModel)([[1, 2]], attention_masks=[[1, 1]])
    with pytest.raises(TypeError, match="BertForMaskedLM has no option 'label'; did you mean 'labels'"):
        tiny.model(BertForMaskedLM)([[1, 2]], label=[[1, 1]])
    tiny.model(BertModel)([[1, 2]], return_dict=None, output_attentions=np.True_)


IDS = [[1, 2, 3], [4, 5, 0]]


@pytest.mark.parametrize(
    "ids",
    [np.array(IDS, np.int32), np.array(IDS, np.uint8), np.array(IDS, np.uint64), IDS, tuple(map(tuple, IDS)),
     [np.array(row) for row in IDS], [list(map(np.int64, row)) for row in IDS], Tensor(np.array(IDS)),
     np.array(IDS, np.int16)[:, ::-1][:, ::-1]],
)  # fmt: skip
@pytest.mark.parametrize(
    "mask", [[[1, 1, 1], [1, 1, 0]], [[True, True, True], [True, True, False]], [[1.0, 1, 1], [1, 1, 0]]]
)
def test_integers_and_masks_in_every_form(ids: Any, mask: Any) -> None:
    """All are the same batch, whatever holds it."""
    model = tiny.model(BertModel)
    expected = model(np.array(IDS), attention_mask=np.array([[1, 1, 1], [1, 1, 0]]))
    for form in (mask, np.array(mask), Tensor(np.array(mask))):
        out = model(ids, attention_mask=form, token_type_ids=np.zeros((2, 3), np.uint8))
        np.testing.assert_array_equal(out.last_hidden_state, expected.last_hidden_state)
        np.testing.assert_array_equal(out.pooler_output, expected.pooler_output)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": [[1.0, 2.0, 3.0]]}, "input_ids must be integers, got float64"),
        ({"input_ids": [[True, False, True]]}, "input_ids must be integers, got bool"),
        ({"input_ids": [["1", "2", "3"]]}, "input_ids must be integers, got"),
        ({"input_ids": [[1, 2, None]]}, "input_ids must be integers, got object"),
        ({"input_ids": [1, 2, 3]}, r"expected input_ids \(B, S\), got shape \(3,\); .*\[ids\]"),
        ({"input_ids": [[1, 37, 3]]}, r"input_ids must lie in 0\.\.36.*; got 37"),
        ({"input_ids": [[1, -1, 3]]}, r"input_ids must lie in 0\.\.36.*; got -1"),
        ({"input_ids": np.array([[2**64 - 1]], np.uint64)}, "got 18446744073709551615"),
        ({"input_ids": [[1, 2, 3]], "token_type_ids": [[0, 0, 3]]}, r"token_type_ids must lie in 0\.\.2"),
        ({"input_ids": [[1, 2, 3]], "attention_mask": [[-1, 0, 1]]}, "1 for tokens and 0 for pads"),
        ({"input_ids": [[1, 2, 3]], "attention_mask": [[0.0, -1e9, 0.0]]}, "1 for tokens and 0 for pads"),
        ({"input_ids": [[1, 2, 3]], "attention_mask": np.ones((1, 1, 1, 3))}, "attention_mask has shape"),
    ],
)
def test_what_is_no_input(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.model(BertModel)(**inputs)
