"""The encoder without a tape, for few rows and for many: what the ops one by one compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibert
from minibert import BertConfig, BertModel, backend
from minibert.kernels.cpu import encoder, threads
from minibert.kernels.cpu.few_rows_encoder import MOST_ROWS


def model(heads: int, head_size: int, wide: int, seed: int, dtype: str = "float32") -> BertModel:
    minibert.manual_seed(seed)
    config = BertConfig(
        vocab_size=50, hidden_size=heads * head_size, num_hidden_layers=2, num_attention_heads=heads,
        intermediate_size=wide, max_position_embeddings=80, initializer_range=0.2,
    )  # fmt: skip
    made = BertModel(config).eval()
    for parameter in made.parameters():
        noise = np.random.default_rng(seed).normal(0, 0.1, parameter.shape)
        parameter.data = parameter.data + noise.astype(np.float32)  # biases that are not 0, scales that are not 1
    return made.to(dtype=dtype)


def states(made: BertModel, lengths: Sequence[int], *, kernels: bool = True) -> np.ndarray:
    """(T, H), of all tokens."""
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(int)
    ids = np.random.default_rng(0).integers(0, 50, mask.shape)
    with minibert.no_grad():
        if kernels:
            out = made(ids, attention_mask=mask)
        else:
            with minibert.kernels_off():
                out = made(ids, attention_mask=mask)
    found: np.ndarray = out.last_hidden_state.numpy()[mask == 1]
    return found


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend._switch, "smallest", 0)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens the kernel was asked for, call by call."""
    seen: list[int] = []
    kernel = encoder.encoder

    def counted(x: np.ndarray, *rest: object, **options: object) -> np.ndarray:
        seen.append(len(x))
        return kernel(x, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(encoder, "encoder", counted)
    return seen


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 80), min_size=1, max_size=6),
    st.sampled_from([1, 2, 3, 5]), st.sampled_from([5, 8, 16, 33]), st.sampled_from([7, 24, 50, 130]),
    st.integers(1, 4),
)  # fmt: skip
def test_equals_the_ops(lengths: list[int], heads: int, head_size: int, wide: int, workers: int) -> None:
    made = model(heads, head_size, wide, seed=sum(lengths), dtype="float64")
    narrow = model(heads, head_size, wide, seed=sum(lengths))
    exact = states(made, lengths, kernels=False)
    before = threads.get_num_threads()
    try:
        threads._threads = workers
        # numbers of size one after a few hundred roundings of 1e-16 a layer
        np.testing.assert_allclose(states(made, lengths), exact, rtol=0, atol=1e-12)
        # the explicit ops in float32 are NumPy's products and sums; no more than half as bad again, and a rounding
        allowed = 1.5 * np.abs(states(narrow, lengths, kernels=False) - exact).max() + 1e-6
        assert np.abs(states(narrow, lengths) - exact).max() <= allowed
    finally:
        threads._threads = before


def test_where_it_runs(calls: list[int]) -> None:
    made = model(2, 8, 24, seed=0)
    states(made, [MOST_ROWS - 20, 21])
    assert calls == [MOST_ROWS + 1]
    states(made, [9], kernels=False)
    made(np.ones((1, 9), int))  # a tape
    with minibert.no_grad():
        made(np.ones((1, 9), int), output_hidden_states=True)
        made(np.ones((1, 9), int), output_attentions=True)
        made.train()(np.ones((1, 9), int))  # dropout
    assert calls == [MOST_ROWS + 1]


@pytest.mark.parametrize("lengths", [[7, 12], [70, 30]])
def test_same_bits_every_time_and_with_any_number_of_threads(lengths: list[int]) -> None:
    made = model(3, 16, 50, seed=1)
    before = threads.get_num_threads()
    try:
        found = []
        for workers in (1, 2, 3, 2):
            threads._threads = workers
            found.append(states(made, lengths).tobytes())
        assert len(set(found)) == 1
    finally:
        threads._threads = before


@pytest.mark.parametrize("lengths", [[11], [70]])
def test_while_the_pool_is_busy(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that wait for one another must not run in turn: then one thread does it all."""
    monkeypatch.setattr(threads, "_threads", 2)  # with a single one there is no pool to be busy
    made = model(2, 8, 24, seed=2)
    expected = states(made, lengths)
    seen = threads.together(lambda pool, parts: states(made, lengths))
    np.testing.assert_array_equal(seen, expected)


def test_what_goes_in_is_left_as_it_is() -> None:
    made = model(2, 8, 24, seed=4)
    for tokens in (9, 90):
        x = np.random.default_rng(0).standard_normal((tokens, 16))
        layers = [layer.arrays() for layer in made.encoder.layer]  # type: ignore[attr-defined]
        before = [array.copy() for layer in layers for array in layer]
        kept = x.astype(np.float32)
        encoder.encoder(kept, [0, tokens], layers, heads=2, eps=1e-12)
        np.testing.assert_array_equal(kept, x.astype(np.float32))
        for array, copy in zip((array for layer in layers for array in layer), before, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_weights_that_are_not_numbers_show() -> None:
    made = model(2, 8, 24, seed=3)
    made.encoder.layer[0].output.dense.bias.data[0] = np.nan  # type: ignore[attr-defined, index]
    assert np.isnan(states(made, [4])).all()
