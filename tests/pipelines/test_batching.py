"""Batches of rows, and the scores made of logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert.pipelines.batching import ROWS_WORTH_A_BAR, TOKENS_A_BATCH, Row, pad_rows, plan_batches, progress
from minibert.pipelines.scores import sigmoid, softmax, top


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 40))
def test_every_row_is_in_one_batch_and_no_batch_is_too_large(lengths: list[int], size: int) -> None:
    batches = list(plan_batches(lengths, size))
    assert sorted(k for batch in batches for k in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) == 1 or sum(lengths[k] for k in batch) <= TOKENS_A_BATCH
    flat = [lengths[k] for batch in batches for k in batch]
    assert flat == sorted(lengths, reverse=True)


def test_padding_is_hidden() -> None:
    rows = [Row([2, 7, 3], [0, 0, 0], [1, 1, 1], None), Row([2], [1], [1], None)]
    inputs = pad_rows(rows)
    assert inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert inputs["input_ids"][0].tolist() == [2, 7, 3]
    assert inputs["token_type_ids"][1, 0] == 1


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10 * ROWS_WORTH_A_BAR, "task") as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(ROWS_WORTH_A_BAR - 1, "few") as advance:
        advance(1)
    assert capsys.readouterr().err == ""
    with progress(ROWS_WORTH_A_BAR, "many") as advance:
        advance(3)
    assert "many" in capsys.readouterr().err


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40), st.integers(1, 50))
def test_top_is_a_stable_sort(numbers: list[int], k: int) -> None:
    scores = np.array(numbers, np.float64)
    assert top(scores, k).tolist() == sorted(range(len(numbers)), key=lambda i: -numbers[i])[:k]


def test_scores_of_large_logits_are_finite() -> None:
    logits = np.array([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3], rtol=1e-15)  # a few roundings
    np.testing.assert_allclose(sigmoid(logits[0]), [1.0, 0.5, 0.0], rtol=1e-15)
