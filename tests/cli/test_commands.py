"""What each command prints: a table for people, JSON lines for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minibert
from minibert import pipeline
from minibert.cli import main
from tests.pipelines import checkpoints

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command that must succeed in silence; what it printed."""

    def go(*arguments: object, stdin: str | None = None) -> str:
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (status, err) == (0, "")
        return out

    return go


def objects(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_fill_mask(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    folder = tiny_checkpoints["mlm"]
    expected = pipeline("fill-mask", folder)("The [MASK] sat", top_k=3)
    table = run("fill-mask", "--model", folder, "--top-k", 3, "The [MASK] sat").splitlines()
    assert table[0] == "The [MASK] sat"
    assert table[1].split() == ["score", "word", "token", "text"]
    assert len(table) == 5
    assert table[2].split()[:3] == [f"{expected[0]['score']:.4f}", expected[0]["token_str"], str(expected[0]["token"])]
    assert objects(run("fill-mask", "--model", folder, "--top-k", 3, "--json", "The [MASK] sat")) == [
        {"text": "The [MASK] sat", "predictions": expected}
    ]
    several = objects(run("fill-mask", "--model", folder, "--json", "[MASK] and [MASK]", "a [MASK]"))
    assert [len(words) for words in several[0]["predictions"]] == [5, 5]
    assert len(several[1]["predictions"]) == 5
    assert "[MASK] number 2" in run("fill-mask", "--model", folder, "[MASK] and [MASK]")
    chosen = objects(run("fill-mask", "--model", folder, "--json", "--targets", "cat, dog", "a [MASK]"))
    assert {w["token_str"] for w in chosen[0]["predictions"]} == {"cat", "dog"}


def test_warnings_are_lines_of_their_own(capsys: pytest.CaptureFixture[str], tiny_checkpoints: dict[str, Path]) -> None:
    assert main(["fill-mask", "--model", str(tiny_checkpoints["mlm"]), "--targets", "wolfs,cat", "a [MASK]"]) == 0
    out, err = capsys.readouterr()
    assert err == "minibert: warning: the target 'wolfs' is no token of the vocabulary: 'wolf' is used instead\n"
    assert "a cat" in out


def test_texts_come_in_three_ways(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    model = ["--model", tiny_checkpoints["encoder"], "--pool", "cls", "--json"]
    file = tmp_path / "texts"
    file.write_bytes("\ufeffa cat\r\n\nthe é\n".encode())  # a mark, Windows' line ends, an empty line
    from_arguments = objects(run("features", *model, "a cat", "", "the é"))
    assert [one["text"] for one in from_arguments] == ["a cat", "", "the é"]
    assert objects(run("features", *model, "--file", file)) == from_arguments
    assert objects(run("features", *model, stdin="a cat\n\nthe é")) == from_arguments
    assert objects(run("features", *model, "--file", "-", stdin="a cat\n\nthe é\n")) == from_arguments


@pytest.mark.parametrize("pool", ["none", "cls", "mean"])
@pytest.mark.parametrize("normalize", [False, True])
def test_features(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path, pool: str, normalize: bool) -> None:
    folder, texts = tiny_checkpoints["encoder"], ["the cat sat", "a"]
    expected = pipeline("feature-extraction", folder)(texts, pool=pool, normalize=normalize, return_tensors=True)
    target = tmp_path / "x.npy"
    options = ["--model", folder, "--pool", pool, *(["--normalize"] if normalize else [])]
    told = run("features", *options, "--out", target, *texts)
    array = np.load(target)
    assert told == f"wrote {target}: {array.shape} float32\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    if pool == "none":
        assert array.shape == (2, 5, 12)
        np.testing.assert_array_equal(array[0], expected[0][0])
        np.testing.assert_array_equal(array[1, :3], expected[1][0])
        assert not array[1, 3:].any()
    else:
        np.testing.assert_array_equal(array, np.stack(expected))
    lines = objects(run("features", *options, "--json", *texts))
    assert [line["text"] for line in lines] == texts
    first = expected[0] if pool != "none" else expected[0][0]
    assert np.shape(lines[0]["features"]) == first.shape
    np.testing.assert_array_equal(np.float32(lines[0]["features"]), first)
    if pool == "none":
        assert lines[0]["tokens"] == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    table = run("features", *options, *texts)
    assert "the cat sat" in table
    assert "..." in table
    again = objects(run("features", *options, "--json", "--out", target, *texts))
    assert again == [{"out": str(target), "shape": list(array.shape), "dtype": "float32"}]


def test_double_precision(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "x.npy"
    run("features", "-m", tiny_checkpoints["encoder"], "--dtype", "float64", "--pool", "mean", "--out", target, "a")
    assert np.load(target).dtype == np.float64


def test_next_sentence(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    folder = tiny_checkpoints["next"]
    found = pipeline("next-sentence", folder)(("the cat", "it ran"))
    (line,) = objects(run("next-sentence", "--model", folder, "--json", "the cat", "it ran"))
    assert line == {"text": "the cat", "text_pair": "it ran", **found}
    table = run("next-sentence", "--model", folder, stdin="the cat\tit ran\nwho ?\ta dog\n").splitlines()
    assert table[0].split() == ["label", "is", "next", "not", "next", "first", "second"]
    assert table[1].split()[:2] == [found["label"], f"{found['is_next']:.4f}"]
    assert len(table) == 3


def test_classify(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    folder = tiny_checkpoints["classes"]
    every = pipeline("text-classification", folder)("the cat", top_k=None)
    assert objects(run("classify", "-m", folder, "--json", "--top-k", "all", "the cat")) == [
        {"text": "the cat", "predictions": every}
    ]
    assert run("classify", "-m", folder, "the cat").splitlines()[1].split()[1] == every[0]["label"]
    (raw,) = objects(run("classify", "-m", folder, "--json", "--function", "none", "the cat"))
    assert raw["predictions"][0]["score"] != every[0]["score"]
    (pair,) = objects(run("classify", "-m", folder, "--json", "--pairs", "the cat\tit ran"))
    assert pair["predictions"] == [pipeline("text-classification", folder)(("the cat", "it ran"))]


def test_tokens(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    folder, text = tiny_checkpoints["tokens"], "Wolfgang lives in Berlin"
    for strategy in ("none", "simple", "first"):
        found = pipeline("ner", folder)(text, aggregation_strategy=strategy)
        (line,) = objects(run("tokens", "-m", folder, "--aggregation", strategy, "--json", text))
        assert line == {"text": text, "entities": found}
    assert run("tokens", "-m", folder, text).splitlines()[1].split() == ["score", "label", "start", "end", "word"]
    assert "nothing found" in run("tokens", "-m", folder, "")
    assert run("tokens", "-m", folder, "--stride", 4, "the cat " * 60)


def test_answer(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder, question, context = tiny_checkpoints["answers"], "who sings ?", "wolfgang sings .\nthe dog ran ."
    expected = pipeline("question-answering", folder)(question=question, context=context, top_k=2)
    page = tmp_path / "page.txt"
    page.write_text(context + "\n", encoding="utf-8")
    options = ["answer", "-m", folder, "--top-k", 2, "--json"]
    for line in (
        run(*options, question, context),
        run(*options, "--context", context, question),
        run(*options, "--context-file", page, question),
        run(*options, "--context-file", page, stdin=question),
    ):
        assert objects(line) == [{"question": question, "answers": expected}]
    tabbed = objects(run(*options, stdin="who ?\tit is a cat\nwhere ?\ton the mat"))
    assert [one["question"] for one in tabbed] == ["who ?", "where ?"]
    assert run("answer", "-m", folder, question, context).splitlines()[1].split() == ["score", "start", "end", "answer"]
    assert run("answer", "-m", folder, "--impossible", question, context)


def test_tokenize(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    table = run("tokenize", "--model", tiny_checkpoints["mlm"], "The Zebra sings").splitlines()
    assert table[1].split() == ["id", "token", "type", "characters", "text"]
    assert [line.split()[1] for line in table[2:]] == ["[CLS]", "the", "[UNK]", "sings", "[SEP]"]
    assert table[4].split()[-1] == "Zebra"
    (pair,) = objects(run("tokenize", "-m", tiny_checkpoints["mlm"], "--json", "--pairs", "the\ta cat"))
    assert pair["tokens"] == ["[CLS]", "the", "[SEP]", "a", "cat", "[SEP]"]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1, 1]
    assert pair["offsets"][3:5] == [[0, 1], [2, 5]]
    (bare,) = objects(run("tokenize", "-m", tiny_checkpoints["mlm"], "--json", "--no-special-tokens", "the"))
    assert bare["tokens"] == ["the"]
    vocabulary = tiny_checkpoints["mlm"] / "vocab.txt"  # a vocabulary alone is enough
    assert run("tokenize", "-m", vocabulary, "--pairs", stdin="the\ta cat\n").splitlines()[0] == "the | a cat"


def test_convert(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    source, target = tiny_checkpoints["mlm"], tmp_path / "new"
    told = run("convert", source, target, "--dtype", "float16")
    assert told.startswith(f"wrote {target}\n")
    assert "float16" in told
    old, new = (pipeline("fill-mask", folder)("a [MASK]", top_k=1)[0] for folder in (source, target))
    assert new["token"] == old["token"]
    (line,) = objects(run("convert", source, tmp_path / "other", "--json"))
    assert line["dtype"] == "float32"
    assert "model.safetensors" in line["files"]


def test_average(run: Run, tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    source, target = tiny_checkpoints["mlm"], tmp_path / "mean"
    (line,) = objects(run("average", source, source, "--shares", "0.25,0.75", "--out", target, "--json"))
    assert line["folder"] == str(target)
    old, new = (pipeline("fill-mask", folder)("a [MASK]", top_k=1)[0] for folder in (source, target))
    assert new == old
    assert run("average", source, source, "--out", target, "--dtype", "float16").startswith(f"wrote {target}\n")


@pytest.mark.parametrize("option", [[], ["--model"]])
def test_info(run: Run, tiny_checkpoints: dict[str, Path], option: list[str]) -> None:
    table = run("info", *option, tiny_checkpoints["classes"])
    for line in (
        "architecture           BertForSequenceClassification",
        "labels                 LABEL_0, LABEL_1",
        "special tokens  [UNK] 1, [SEP] 3, [PAD] 0, [CLS] 2, [MASK] 4",
    ):
        assert line in table
    (told,) = objects(run("info", *option, tiny_checkpoints["classes"], "--json"))
    counted = sum(part["parameters"] for part in told["parts"].values())
    assert (
        counted == minibert.BertForSequenceClassification.from_pretrained(tiny_checkpoints["classes"]).num_parameters()
    )
    assert list(told["parts"]) == ["embeddings", "encoder", "pooler", "classifier"]
    assert told["files"]["model.safetensors"] > 4 * counted
    assert told["config"]["hidden_size"] == 12
    assert told["tokenizer"]["tokens"] == len(checkpoints.VOCAB)


def test_info_without_a_tokenizer(run: Run, tmp_path: Path) -> None:
    checkpoints.model("encoder").save_pretrained(tmp_path)
    assert "tokens  0" in run("info", tmp_path)


def test_control_characters_do_not_reach_the_terminal(run: Run, tiny_checkpoints: dict[str, Path]) -> None:
    assert "\x1b" not in run("tokenize", "-m", tiny_checkpoints["mlm"], "a \x1b[31m cat")
