"""From names to a pipeline: the task that a checkpoint was made for, and the options of making one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import BertConfig, pipeline
from minibert.checkpoint import CheckpointWarning
from minibert.models import MINI
from minibert.pipelines import PipelineException
from tests.pipelines import checkpoints

TASK_OF = {
    "mlm": "fill-mask",
    "pretraining": "fill-mask",
    "next": "next-sentence",
    "classes": "text-classification",
    "tokens": "token-classification",
    "answers": "question-answering",
    "encoder": "feature-extraction",
}


def copy(source: Path, target: Path, **changes: Any) -> Path:
    """A copy of a checkpoint with other settings in its config.json; None removes one."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    settings = json.loads((target / "config.json").read_text(encoding="utf-8")) | changes
    kept = {name: value for name, value in settings.items() if value is not None}
    (target / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    return target


@pytest.mark.parametrize(("kind", "task"), TASK_OF.items())
def test_the_task_is_read_off_the_checkpoint(tiny_checkpoints: dict[str, Path], kind: str, task: str) -> None:
    assert pipeline(model=tiny_checkpoints[kind]).task == task
    assert pipeline(model=checkpoints.model(kind), tokenizer=checkpoints.tokenizer()).task == task


@pytest.mark.parametrize("kind", ["mlm", "pretraining", "next", "answers", "encoder"])
def test_or_off_the_names_of_its_weights(tiny_checkpoints: dict[str, Path], tmp_path: Path, kind: str) -> None:
    folder = copy(tiny_checkpoints[kind], tmp_path / kind, architectures=None)
    assert pipeline(model=folder).task == TASK_OF[kind]


def test_a_task_that_cannot_be_told(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    silent = copy(tiny_checkpoints["tokens"], tmp_path / "silent", architectures=None)
    with pytest.raises(ValueError, match=r"names no architecture.*one of text-classification, token-classification$"):
        pipeline(model=silent)
    assert pipeline("ner", silent).task == "token-classification"
    strange = copy(tiny_checkpoints["mlm"], tmp_path / "strange", architectures=["BertForJokes"])
    with pytest.raises(ValueError, match=r"architectures: BertForJokes\) cannot be determined.*one of fill-mask, "):
        pipeline(model=strange)
    with pytest.raises(ValueError, match="give a task, a model, or both"):
        pipeline()
    with pytest.raises(ValueError, match=r"for the folder of a model say pipeline\(model="):
        pipeline(str(silent))
    with pytest.raises(ValueError, match="the task must be its name, got a PosixPath|WindowsPath"):
        pipeline(silent)  # type: ignore[call-overload]


@pytest.mark.parametrize("task", ["fill-mask", "feature-extraction", "next-sentence"])
def test_the_model_that_comes_along_serves_what_it_has_heads_for(task: str) -> None:
    assert pipeline(task).tokenizer.name_or_path == MINI


@pytest.mark.parametrize("dtype", ["float64", "torch.float64", np.float64, np.dtype("float64")])
def test_dtypes(tiny_checkpoints: dict[str, Path], dtype: Any) -> None:
    for name in ("dtype", "torch_dtype"):
        pipe = pipeline(model=tiny_checkpoints["encoder"], **{name: dtype})
        assert pipe("a cat", return_tensors=True).dtype == np.float64


def test_options_of_making_one(tiny_checkpoints: dict[str, Path]) -> None:
    folder = tiny_checkpoints["encoder"]
    pipeline(model=folder, framework="np", use_fast=True, trust_remote_code=False, device="cpu:0", dtype="auto")
    pipeline(model=folder, batch_size=np.int64(4), num_workers=0, model_kwargs={"hidden_dropout_prob": 0.0})
    pipeline(model=folder, config=BertConfig.from_pretrained(folder), tokenizer=str(folder))
    pipeline(model=folder, config=folder)
    with pytest.raises(ValueError, match="framework 'pt': minibert computes with NumPy alone"):
        pipeline(model=folder, framework="pt")
    with pytest.raises(ValueError, match="dtype and torch_dtype are two names for one thing"):
        pipeline(model=folder, dtype="float32", torch_dtype="float32")
    with pytest.raises(ValueError, match="no option 'device_map'; a model runs on one device"):
        pipeline(model=folder, device_map="auto")
    with pytest.raises(ValueError, match="no option 'tokeniser_kwargs'; did you mean 'tokenizer_kwargs'"):
        pipeline(model=folder, tokeniser_kwargs={})
    with pytest.raises(ValueError, match="config and model_kwargs are for loading a model"):
        pipeline(model=checkpoints.model("mlm"), tokenizer=checkpoints.tokenizer(), config=BertConfig())


def test_offsets_from_outside(tiny_checkpoints: dict[str, Path]) -> None:
    ner = pipeline(model=tiny_checkpoints["tokens"], ignore_labels=[])
    found = ner("the cat", offset_mapping=[(0, 0), (0, 1), (np.int64(1), 2), (0, 0)])
    assert [(e["start"], e["end"]) for e in found] == [(0, 1), (1, 2)]
    with pytest.raises(PipelineException, match="offset_mapping has 1 pairs and the text 4 tokens"):
        ner("the cat", offset_mapping=[(0, 1)])
    with pytest.raises(ValueError, match=r"offset_mapping must be a list of \(start, end\)"):
        ner("the cat", offset_mapping=[1, 2])
    with pytest.raises(ValueError, match="offset_mapping is for a text as it is"):
        ner("the cat", offset_mapping=[(0, 1)], is_split_into_words=True)


def test_labels_under_former_names(tiny_checkpoints: dict[str, Path]) -> None:
    classify = pipeline(model=tiny_checkpoints["classes"])
    with pytest.warns(DeprecationWarning, match="use top_k=None") as caught:
        assert classify("a cat", return_all_scores=True) == [classify("a cat", top_k=None)]
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="no option 'topk'; it is called top_k"):
        classify("a cat", topk=2)
    assert len(classify("a cat", top_k=np.int64(99))) == 2  # no more labels than there are


def test_words_by_their_ids(tiny_checkpoints: dict[str, Path]) -> None:
    unmask = pipeline(model=tiny_checkpoints["mlm"])
    cat, dog = unmask.tokenizer.convert_tokens_to_ids(["cat", "dog"])
    by_word = unmask("the [MASK]", targets=["cat", "dog", "cat"], top_k=50)
    assert unmask("the [MASK]", target_ids=np.array([cat, dog, cat]), top_k=50) == by_word
    assert len(by_word) == 2
    assert len(unmask("the [MASK]", top_k=10**9)) == len(checkpoints.VOCAB)
    for wrong in (-1, len(checkpoints.VOCAB), 1.5, True):
        with pytest.raises(ValueError, match="a target's id must be an integer from 0 to"):
            unmask("the [MASK]", target_ids=[wrong])


def test_tasks_of_other_libraries_are_not_taken_for_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown task 'zero-shot-classification'; expected one of fill-mask"):
        pipeline("zero-shot-classification")
    with pytest.raises(ValueError, match="unknown task 'Fill_Mask'; did you mean 'fill-mask'"):
        pipeline("Fill_Mask")


def test_a_classifier_of_sequences_is_none_of_tokens(tiny_checkpoints: dict[str, Path]) -> None:
    with pytest.warns(CheckpointWarning, match="a checkpoint of BertForSequenceClassification, and token-classific"):
        pipeline("token-classification", model=tiny_checkpoints["classes"])


def test_a_length_beyond_the_model_is_named(tiny_checkpoints: dict[str, Path]) -> None:
    classify = pipeline("text-classification", model=tiny_checkpoints["classes"])
    assert classify.device == "cpu"
    with pytest.raises(PipelineException, match="max_length is 100, the row has 62 tokens, and the model takes 32"):
        classify("cat " * 60, truncation=True, max_length=100)


def test_arrays_are_numpy_s(tiny_checkpoints: dict[str, Path]) -> None:
    features = pipeline("feature-extraction", model=tiny_checkpoints["encoder"])
    assert isinstance(features("a", return_tensors="np"), np.ndarray)
    with pytest.raises(ValueError, match="return_tensors must be True, False or 'np', got 'pt'"):
        features("a", return_tensors="pt")


def test_models_of_other_libraries_are_named(tiny_checkpoints: dict[str, Path]) -> None:
    class BertForMaskedLM:
        def save_pretrained(self, folder: Path) -> None: ...

    given: Any = BertForMaskedLM()
    for task in ("fill-mask", None):
        with pytest.raises(ValueError, match=r"another library's, a tests\.pipelines\.test_factory\.BertForMaskedLM"):
            pipeline(task, model=given, tokenizer=checkpoints.tokenizer())


def test_options_of_other_libraries_that_are_not_given(tiny_checkpoints: dict[str, Path]) -> None:
    fill = pipeline("fill-mask", model=tiny_checkpoints["mlm"], feature_extractor=None, device_map=None)
    with pytest.raises(ValueError, match="targets and target_ids are two ways to say the same"):
        fill("the [MASK]", targets="cat", target_ids=[5])
