"""SentenceEncoder: vectors as the folder says, in the order of the texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import SentenceEncoder, no_grad
from minibert.checkpoint import CheckpointWarning
from minibert.pipelines import PipelineException
from tests.pipelines import checkpoints
from tests.sentences import folders
from tests.sentences.folders import TEXTS, H, write

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def states(encoder: SentenceEncoder, text: str) -> np.ndarray:
    """(S, H) of a text alone."""
    batch = encoder.tokenizer(text, return_tensors="np", truncation=True, max_length=encoder.settings.max_seq_length)
    with no_grad():
        hidden: np.ndarray = encoder.model(**batch).last_hidden_state.numpy()[0]
    return hidden


def close(one: Any, other: Any) -> None:
    # Rows of another batch: a few roundings of 6e-8 on numbers of size one, two layers deep, and sums over them.
    np.testing.assert_allclose(one, other, atol=2e-5)


def by_hand(h: np.ndarray, mode: str) -> np.ndarray:
    """The textbook's formulas."""
    n = len(h)
    total = sum(h[i] for i in range(n))
    return {
        "cls": h[0],
        "max": np.array([max(h[i, j] for i in range(n)) for j in range(h.shape[1])]),
        "mean": total / n,
        "mean_sqrt_len": total / n**0.5,
        "weightedmean": sum((i + 1) * h[i] for i in range(n)) / (n * (n + 1) / 2),
        "lasttoken": h[-1],
    }[mode]


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_cls_token": True}, ["cls"]),
        ({"pooling_mode_max_tokens": True}, ["max"]),
        ({"pooling_mode_mean_tokens": True}, ["mean"]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ["mean_sqrt_len"]),
        ({"pooling_mode_weightedmean_tokens": True}, ["weightedmean"]),
        ({"pooling_mode_lasttoken": True}, ["lasttoken"]),
        ({"pooling_mode": "max"}, ["max"]),
        ({"pooling_mode": ["mean", "cls"]}, ["cls", "mean"]),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
         ["cls", "max", "lasttoken"]),
    ],
    ids=str,
)  # fmt: skip
def test_each_way_of_pooling(tmp_path: Path, config: dict[str, Any], modes: list[str]) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=config))
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), H * len(modes)) == (len(TEXTS), encoder.dimension)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        close(vector, np.concatenate([by_hand(states(encoder, text), mode) for mode in modes]))


def test_forms_of_texts(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN))
    expected = encoder.encode(TEXTS)
    assert encoder.encode(TEXTS[0]).shape == (H,)
    close(encoder.encode(TEXTS[0]), expected[0])
    assert encoder.encode([]).shape == (0, H)
    for several in (tuple(TEXTS), np.array(TEXTS), iter(TEXTS), dict.fromkeys(TEXTS).keys()):
        close(encoder.encode(several), expected)
    close(encoder.encode(TEXTS, batch_size=np.int64(1)), expected)
    assert encoder.encode(TEXTS, dtype="float64").dtype == np.float64
    with pytest.raises(PipelineException, match=r"^input 1: expected text \(a str\), got 3"):
        encoder.encode(["a", 3])
    with pytest.raises(ValueError, match=r"expected a text \(a str\) or several, got 3"):
        encoder.encode(3)
    with pytest.raises(ValueError, match="dtype must be a float dtype"):
        encoder.encode("a", dtype="int32")


def test_many_texts_come_in_their_order(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN), batch_size=2)  # windows of 256 texts
    texts = [f"{'cat ' * (n % 9)}dog" for n in range(600)]
    vectors = encoder.encode(texts)
    close(vectors, vectors[np.arange(600) % 9])
    with pytest.raises(PipelineException, match="^input 500: "):
        encoder.encode([*texts[:500], None])


def test_length_one(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, ("Pooling", "Normalize"), pooling=MEAN))
    plain = encoder.encode(TEXTS, normalize=False)
    unit = plain / np.linalg.norm(plain, axis=1, keepdims=True)
    close(encoder.encode(TEXTS), unit)
    assert not (tmp_path / "2_Normalize").exists()  # it has nothing to say
    without = SentenceEncoder(tmp_path, normalize=False)
    close(without.encode(TEXTS), plain)
    close(without.encode(TEXTS, normalize=True), unit)
    close(SentenceEncoder(tmp_path, normalize=True).encode(TEXTS), unit)


@pytest.mark.parametrize(
    ("activation", "function"), [("Tanh", np.tanh), ("Identity", lambda x: x), ("ReLU", lambda x: np.maximum(x, 0))]
)
def test_a_dense_layer(tmp_path: Path, activation: str, function: Any) -> None:
    write(tmp_path, ("Pooling", "Dense", "Normalize"), pooling=MEAN)
    weight, bias = folders.write_dense(tmp_path / "2_Dense", activation=f"torch.nn.modules.activation.{activation}")
    encoder = SentenceEncoder(tmp_path)
    assert encoder.dimension == 5
    pooled = np.stack([states(encoder, text).mean(axis=0) for text in TEXTS])
    expected = function(pooled @ weight.T + bias)
    close(encoder.encode(TEXTS, normalize=False), expected)
    close(encoder.encode(TEXTS), expected / np.linalg.norm(expected, axis=1, keepdims=True))


def test_long_and_upper_case_texts(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN, max_seq_length=6, do_lower_case=True))
    close(encoder.encode("the cat sat on " * 30), encoder.encode("the cat sat on"))
    close(encoder.encode("THE Cat"), encoder.encode("the cat"))
    assert SentenceEncoder(tmp_path, max_seq_length=10**6).settings.max_seq_length == checkpoints.POSITIONS


@pytest.mark.parametrize("include", [True, False])
def test_prompts(tmp_path: Path, include: bool) -> None:
    prompts = {"query": "who is ", "passage": ""}
    folder = write(
        tmp_path, pooling=MEAN | {"include_prompt": include}, prompts=prompts, default_prompt_name="query",
    )  # fmt: skip
    encoder = SentenceEncoder(folder)
    whole = states(encoder, "who is wolfgang")  # [CLS] who is ...
    expected = whole.mean(axis=0) if include else whole[3:].mean(axis=0)
    close(encoder.encode("wolfgang"), expected)
    close(encoder.encode("wolfgang", prompt_name="query"), expected)
    close(encoder.encode(["wolfgang"], prompt="who is ")[0], expected)
    close(encoder.encode("wolfgang", prompt=""), states(encoder, "wolfgang").mean(axis=0))
    with pytest.raises(ValueError, match="there is no prompt 'document'; this encoder has query, passage"):
        encoder.encode("a", prompt_name="document")
    (hit,) = encoder.search("wolfgang", ["who is wolfgang"])  # the prompt on one side only
    assert hit["score"] < 1 if not include else hit["score"] == pytest.approx(1, abs=1e-5)


def test_padding_on_the_left_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, pooling={"pooling_mode_cls_token": True, "pooling_mode_lasttoken": True} | MEAN)
    right = SentenceEncoder(tmp_path)
    left = SentenceEncoder(tmp_path)
    left.tokenizer.padding_side = "left"
    close(left.encode(TEXTS), right.encode(TEXTS))


def test_any_bert_has_vectors(tmp_path: Path) -> None:
    plain = SentenceEncoder(checkpoints.write(tmp_path / "plain", "mlm"))
    close(plain.encode("the cat"), states(plain, "the cat").mean(axis=0))
    given = SentenceEncoder(checkpoints.model("encoder"), tokenizer=checkpoints.tokenizer(), pooling="cls")
    close(given.encode("the cat"), states(given, "the cat")[0])
    assert SentenceEncoder().encode(["The king sat.", "A queen."]).shape == (2, 256)
    with pytest.raises(ValueError, match="needs its tokenizer too"):
        SentenceEncoder(checkpoints.model("encoder"))


def test_a_folder_without_its_pooling_folder(tmp_path: Path) -> None:
    write(tmp_path, ("Pooling", "Normalize"))
    with pytest.warns(CheckpointWarning, match="1_Pooling/config.json is missing: taking the mean") as caught:
        encoder = SentenceEncoder(tmp_path)
    assert caught[0].filename == __file__
    mean = states(encoder, "the cat").mean(axis=0)
    close(encoder.encode("the cat"), mean / np.linalg.norm(mean))
    assert SentenceEncoder(tmp_path, pooling="max").settings.pooling == ("max",)  # said, so nothing to warn of


def test_an_old_folder_keeps_its_encoder_in_a_folder_of_its_own(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN, transformer="0_Transformer", max_seq_length=8))
    below = SentenceEncoder(tmp_path.parent, subfolder=tmp_path.name)
    close(below.encode("the cat"), encoder.encode("the cat"))
    assert encoder.settings.max_seq_length == 8
    close(encoder.encode("the cat"), states(encoder, "the cat").mean(axis=0))


def test_names_on_the_hub(tmp_path: Path) -> None:
    """As the hub's cache keeps them: folders of modules are asked for by the names in modules.json."""
    commit = "89abcdef0123456789abcdef0123456789abcdef"
    repository = tmp_path / "models--owner--model"
    snapshot = write(repository / "snapshots" / commit, ("Pooling", "Dense"), pooling={"pooling_mode_cls_token": True})
    folders.write_dense(snapshot / "2_Dense")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    encoder = SentenceEncoder("owner/model", cache_dir=tmp_path, local_files_only=True)
    assert encoder.settings.pooling == ("cls",)
    close(encoder.encode("the cat"), SentenceEncoder(snapshot).encode("the cat"))
    below = SentenceEncoder(repository, subfolder=f"snapshots/{commit}")
    close(below.encode("the cat"), encoder.encode("the cat"))
    with pytest.raises(ValueError, match="SentenceEncoder has no option 'pool'; did you mean 'pooling'"):
        SentenceEncoder(snapshot, pool="mean")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(ValueError, match=match):
            SentenceEncoder(tmp_path)

    write(tmp_path, ("Pooling", "CNN"), pooling=MEAN)
    refused("module 3 is CNN; minibert has Transformer, then Pooling, and after it Dense")
    write(tmp_path, ("Pooling", "Dense"), pooling=MEAN)
    refused("2_Dense/config.json does not describe a Dense module")
    folders.write_dense(tmp_path / "2_Dense", activation="torch.nn.modules.activation.Mystery")
    refused("unknown activation 'Mystery'")
    write(tmp_path, pooling={"pooling_mode": "median"})
    refused("unknown pool 'median'")
    write(tmp_path, pooling={})
    refused("switches no way of pooling on")
    write(tmp_path, pooling=MEAN, similarity_fn_name="nearest")
    refused("unknown similarity 'nearest'")
    write(tmp_path, pooling=MEAN, max_seq_length="long")
    refused("sentence_bert_config.json: max_seq_length must be an integer")
    (tmp_path / "modules.json").write_text("[{", encoding="utf-8")
    refused("modules.json is not JSON that can be read")
    folders.write_json(tmp_path / "modules.json", [{"type": "x.Transformer", "path": "../elsewhere"}])
    refused("names the path '../elsewhere'; expected one inside the folder")


def test_similar_texts_and_the_nearest(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN))
    vectors = encoder.encode(TEXTS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    close(encoder.similarity(TEXTS), unit @ unit.T)
    close(encoder.similarity(vectors, TEXTS[:2]), unit @ unit[:2].T)
    assert encoder.similarity("a", "the cat").shape == (1, 1)
    hits = encoder.search(TEXTS[2], TEXTS, top_k=np.int64(3))
    assert hits[0]["corpus_id"] == 2
    assert len(hits) == 3
    assert [hit["corpus_id"] for (hit,) in encoder.search(TEXTS, vectors, top_k=1)] == list(range(len(TEXTS)))
    dot = SentenceEncoder(tmp_path, similarity="dot")
    close(dot.similarity(TEXTS), vectors @ vectors.T)


def test_names_of_sentence_transformers(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN), trust_remote_code=False)
    vectors = encoder.encode(TEXTS, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
    np.testing.assert_array_equal(vectors, encoder.encode(TEXTS, normalize=True))
    for options, message in (
        ({"convert_to_tensor": True}, "convert_to_tensor=True is not supported; vectors are NumPy arrays"),
        ({"precision": "int8"}, "dtype='float16'"),
        ({"normalise": True}, "encode has no option 'normalise'; did you mean 'normalize'"),
        ({"dtype": "foo"}, "dtype must be a float dtype, got 'foo'"),
    ):
        with pytest.raises(ValueError, match=message):
            encoder.encode(TEXTS, **options)


def test_the_longest_text_can_be_set(tmp_path: Path) -> None:
    encoder = SentenceEncoder(write(tmp_path, pooling=MEAN))
    assert encoder.max_seq_length == checkpoints.POSITIONS
    encoder.max_seq_length = np.int64(4)
    np.testing.assert_array_equal(encoder.encode("the cat sat"), encoder.encode("the cat"))
    for wrong in (2, checkpoints.POSITIONS + 1):
        with pytest.raises(ValueError, match="max_seq_length must be an integer from 3 to 32"):
            encoder.max_seq_length = wrong
    assert encoder.encode(np.array("the cat")).shape == encoder.encode("the cat").shape
    with pytest.raises(ValueError, match="vectors of one length; these have several"):
        encoder.similarity([[1.0, 2.0], [3.0]])
