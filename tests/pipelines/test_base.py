"""What all pipelines share: making one, options, order, errors that say which input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minibert
from minibert import pipeline
from minibert.pipelines import DEFAULT_MODELS, TASKS, PipelineException
from tests.pipelines import checkpoints
from tests.pipelines.checkpoints import POSITIONS

TEXTS = ["the cat sat", "a", "", "who sings in new york ?", "it is a dog and a cat", "the dog ran on the mat ."]


@pytest.fixture
def features(tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("feature-extraction", tiny_checkpoints["encoder"])


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("fill-mask", "mlm"),
        ("fill-mask", "pretraining"),
        ("feature-extraction", "mlm"),
        ("feature-extraction", "encoder"),
        ("next-sentence", "next"),
        ("next-sentence", "pretraining"),
        ("text-classification", "classes"),
        ("sentiment-analysis", "classes"),
        ("token-classification", "tokens"),
        ("ner", "tokens"),
        ("question-answering", "answers"),
    ],
)
def test_every_task_loads_its_checkpoints_without_a_warning(
    tiny_checkpoints: dict[str, Path], task: str, kind: str
) -> None:
    pipe = pipeline(task, model=str(tiny_checkpoints[kind]))
    assert not pipe.model.training
    assert pipe.tokenizer.mask_token_id == 4


def test_unknown_task(tiny_checkpoints: dict[str, Path]) -> None:
    expected = "unknown task 'fill-masks'; did you mean 'fill-mask'. Expected one of fill-mask, "
    with pytest.raises(ValueError, match=expected):
        pipeline("fill-masks", tiny_checkpoints["mlm"])


@pytest.mark.parametrize("task", [task for task in TASKS if task not in DEFAULT_MODELS])
def test_no_model_is_named(task: str) -> None:
    with pytest.raises(ValueError, match="no model is named"):
        pipeline(task)


@pytest.mark.parametrize(
    ("task", "kind", "part"),
    [
        ("fill-mask", "encoder", "cls.predictions"),
        ("text-classification", "pretraining", "classifier"),
        ("question-answering", "mlm", "qa_outputs"),
        ("next-sentence", "mlm", "seq_relationship"),
    ],
)
def test_a_checkpoint_without_the_head_is_an_error(
    tiny_checkpoints: dict[str, Path], task: str, kind: str, part: str
) -> None:
    with pytest.raises(ValueError, match=f"no weights for {task}: .*{part}.*it needs a checkpoint of Bert"):
        pipeline(task, tiny_checkpoints[kind])


def test_a_model_object_keeps_its_dtype_and_needs_a_tokenizer() -> None:
    model = checkpoints.model("mlm", dtype="float64")
    pipe = pipeline("fill-mask", model, tokenizer=checkpoints.tokenizer())
    assert pipe.model is model
    assert model.bert.embeddings.word_embeddings.weight.dtype == np.float64
    with pytest.raises(ValueError, match="needs its tokenizer too"):
        pipeline("fill-mask", model)
    with pytest.raises(ValueError, match="fill-mask needs a BertForMaskedLM or BertForPreTraining, got a BertFor"):
        pipeline("fill-mask", checkpoints.model("tokens"), tokenizer=checkpoints.tokenizer())


def test_precision(tiny_checkpoints: dict[str, Path]) -> None:
    out = pipeline("feature-extraction", tiny_checkpoints["encoder"], dtype="float64")("a cat", return_tensors=True)
    assert out.dtype == np.float64


def test_devices(tiny_checkpoints: dict[str, Path]) -> None:
    for device in ("cpu", -1):
        pipeline("feature-extraction", tiny_checkpoints["encoder"], device=device)
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        pipeline("feature-extraction", tiny_checkpoints["encoder"], device="tpu")


def test_a_tokenizer_of_its_own(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    checkpoints.model("mlm").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="vocab.txt"):
        pipeline("fill-mask", tmp_path)
    assert pipeline("fill-mask", tmp_path, tokenizer=tiny_checkpoints["mlm"])("the [MASK]", top_k=1)


def test_unknown_and_impossible_options(features: Any) -> None:
    with pytest.raises(ValueError, match="feature-extraction has no option 'top_k'; it takes "):
        features("a", top_k=3)
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        features("a", batch_size=0)
    with pytest.raises(ValueError, match="truncation is given twice"):
        features("a", truncation=True, tokenizer_kwargs={"truncation": True})
    with pytest.raises(ValueError, match="tokenizer_kwargs cannot hold return_tensors"):
        features("a", tokenizer_kwargs={"return_tensors": "np"})


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_a_list_gives_what_its_texts_give_one_by_one(features: Any, batch_size: int) -> None:
    together = features(TEXTS, batch_size=batch_size, return_tensors=True)
    for text, array in zip(TEXTS, together, strict=True):
        alone = features(text, return_tensors=True)
        assert array.shape == alone.shape
        # Other rows in the batch change the order of sums in the matrix product: a few roundings of 6e-8 on numbers of
        # size one, two layers deep.
        np.testing.assert_allclose(array, alone, atol=5e-6)


def test_kinds_of_lists(features: Any) -> None:
    assert features([]) == []
    assert len(features(("a", "the cat"))) == 2
    assert len(features(np.array(["a", "the cat", "it"]))) == 3


def test_iterators_are_answered_as_they_come(features: Any) -> None:
    asked = []

    def texts() -> Any:
        for n in range(100):
            asked.append(n)
            yield "cat " * (n % 7 + 1)

    answers = features(texts(), batch_size=2)
    first = next(answers)
    assert len(asked) < 100  # not all were read for the first answer
    assert len(first[0]) == 3
    assert [len(answer[0]) - 2 for answer in answers] == [n % 7 + 1 for n in range(1, 100)]


def test_errors_say_which_input(features: Any) -> None:
    with pytest.raises(PipelineException, match=r"^expected text \(a str\), got 3 \(int\)") as alone:
        features(3)
    assert alone.value.index is None
    with pytest.raises(PipelineException, match="^input 1: expected text .*got bytes") as listed:
        features(["a", b"b"])
    assert (listed.value.index, listed.value.task, listed.value.model) == (1, "feature-extraction", "bert")
    with pytest.raises(PipelineException, match="^input 70: "):
        list(features(iter(["a"] * 70 + [None]), batch_size=2))


def test_too_long_for_the_model(features: Any) -> None:
    long = "cat " * 10_000
    with pytest.raises(PipelineException, match=f"10002 tokens and the model takes {POSITIONS}.*truncation=True"):
        features(long)
    assert len(features(long, truncation=True)[0]) == POSITIONS
    assert len(features(long, tokenizer_kwargs={"truncation": True, "max_length": 9})[0]) == 9
    assert len(features(long, max_length=9)[0]) == 9


def test_the_model_limits_where_the_tokenizer_knows_none() -> None:
    tokenizer = minibert.BertTokenizer(checkpoints.VOCAB)
    features = pipeline("feature-extraction", checkpoints.model("encoder"), tokenizer=tokenizer)
    assert len(features("cat " * 99, truncation=True)[0]) == POSITIONS


def test_nothing_is_kept_for_a_backward_pass(features: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    forward = type(features).forward

    def watched(*arguments: Any) -> Any:
        seen.append(minibert.is_grad_enabled())
        return forward(*arguments)

    monkeypatch.setattr(type(features), "forward", watched)
    features("a cat")
    assert seen == [False]
    assert minibert.is_grad_enabled()


class Dataset:
    """A map-style dataset that counts what was read; as PyTorch's, without an end of its own."""

    def __init__(self, texts: list[Any]) -> None:
        self.texts, self.asked = texts, []

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return self.texts[index % len(self.texts)]


def test_datasets_are_answered_as_they_are_read(features: Any) -> None:
    data = Dataset(["cat " * (n % 7 + 1) for n in range(90)])
    answers = features(data)
    assert len(answers) == 90
    assert data.asked == []
    assert len(next(answers)[0]) == 3
    assert len(data.asked) == 1  # the first answer waits for nothing else
    assert [len(answer[0]) - 2 for answer in answers] == [n % 7 + 1 for n in range(1, 90)]
    assert data.asked == list(range(90))
    with pytest.raises(TypeError, match="number of answers is not known"):
        len(features(iter(["a"])))
    assert len(list(features({"a": 1, "the cat": 2}.keys()))) == 2  # any iterable


@pytest.mark.parametrize(("batch_size", "most"), [(1, 1), (2, 32), (32, 512)])
def test_a_stream_is_read_ahead_by_a_bounded_number_of_inputs(features: Any, batch_size: int, most: int) -> None:
    asked = 0

    def texts() -> Any:
        nonlocal asked
        for _ in range(1200):
            asked += 1
            yield "a"

    ahead = [asked - done for done, _ in enumerate(features(texts(), batch_size=batch_size))]
    assert max(ahead) == most


def test_long_texts_are_read_ahead_by_their_length(features: Any) -> None:
    asked = 0

    def texts() -> Any:
        nonlocal asked
        for _ in range(40):
            asked += 1
            yield "cat " * 5000

    ahead = [asked - done for done, _ in enumerate(features(texts(), truncation=True))]
    assert max(ahead) == 14  # 20,000 characters each, 262,144 in a window


def test_failures_in_the_place_of_answers(features: Any) -> None:
    inputs = ["a", None, "the cat", "cat " * 100, "it"]
    for answers in (features(inputs, errors="return"), list(features(iter(inputs), errors="return"))):
        assert [isinstance(one, PipelineException) for one in answers] == [False, True, False, True, False]
        assert [one.index for one in answers if isinstance(one, PipelineException)] == [1, 3]
        assert [len(one[0]) for one in answers if isinstance(one, list)] == [3, 4, 3]
    assert isinstance(features(None, errors="return"), PipelineException)
    seen: list[Any] = []
    with pytest.raises(PipelineException, match="^input 1: expected text"):
        seen.extend(features(iter(inputs)))
    assert len(seen) == 1  # what came before the failure was given
    with pytest.raises(ValueError, match="errors must be 'raise' or 'return', got 'ignore'"):
        features("a", errors="ignore")


def test_an_input_that_the_model_refuses_is_named_and_the_others_are_answered() -> None:
    vocabulary = [*checkpoints.VOCAB, "unicorn"]  # one word more than the model knows
    tokenizer = minibert.BertTokenizer(vocabulary, model_max_length=POSITIONS)
    features = pipeline("feature-extraction", checkpoints.model("encoder"), tokenizer=tokenizer)
    inputs = ["the cat", "a unicorn", "it sat"]
    with pytest.raises(PipelineException, match="^input 1: input_ids must lie in 0"):
        features(inputs)
    answers = features(inputs, errors="return")
    assert [type(one) for one in answers] == [list, PipelineException, list]


def test_options_that_other_libraries_have(features: Any) -> None:
    plain = features("the cat")
    assert features("the cat", num_workers=2) == plain
    assert features("the cat", batch_size=np.int64(2), max_length=np.int32(20), truncation=True) == plain
    assert features.predict("the cat") == plain
    assert features.transform(["the cat"]) == [plain]
    with pytest.raises(ValueError, match="num_workers must be an integer of at least 0, got -1"):
        features("a", num_workers=-1)
    with pytest.raises(ValueError, match="no option 'normalise'; did you mean 'normalize'"):
        features("a", normalise=True)
    with pytest.raises(ValueError, match=r"no option 'device'; where to compute is decided when the pipeline is made"):
        features("a", device="cpu")


def test_a_saved_pipeline_is_the_same(features: Any, tmp_path: Path) -> None:
    features.save_pretrained(tmp_path / "saved")
    assert pipeline("feature-extraction", tmp_path / "saved")("the cat") == features("the cat")
