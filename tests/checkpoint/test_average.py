"""`average`: the mean of checkpoints, and which ones have none."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from minibert import BertConfig, BertForMaskedLM, manual_seed
from minibert.checkpoint import CheckpointError, average, read_weights

SIZES = {"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = []
    for seed in range(3):
        manual_seed(seed)
        folder = tmp_path / f"run-{seed}"
        BertForMaskedLM(BertConfig(**SIZES)).save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join("abcdefghijk") + "\n")
        made.append(folder)
    return made


@pytest.mark.parametrize(("shares", "parts"), [(None, (1 / 3, 1 / 3, 1 / 3)), ((2, 1, 5), (0.25, 0.125, 0.625))])
def test_each_weight_is_the_mean(
    folders: list[Path], tmp_path: Path, shares: tuple[float, ...] | None, parts: tuple[float, ...]
) -> None:
    done = average(folders, tmp_path / "mean", shares=shares)
    assert done.dtype == "float32"
    found, read = read_weights(tmp_path / "mean"), [read_weights(folder) for folder in folders]
    assert list(found) == list(read[0])
    for name in found:
        expected = sum(part * one[name].astype(np.float64) for part, one in zip(parts, read, strict=True))
        np.testing.assert_array_equal(found[name], np.asarray(expected, np.float32), err_msg=name)
    assert (tmp_path / "mean" / "vocab.txt").read_text() == (folders[0] / "vocab.txt").read_text()
    BertForMaskedLM.from_pretrained(tmp_path / "mean")


def test_the_mean_of_one_model_is_that_model(folders: list[Path]) -> None:
    """Also where the target is a source, which is read while it is written."""
    before = {name: array.copy() for name, array in read_weights(folders[0]).items()}
    twin = folders[0].parent / "twin"
    shutil.copytree(folders[0], twin)
    average([folders[0], twin], folders[0])
    after = read_weights(folders[0])
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)


def test_what_has_no_mean(folders: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "mean"
    with pytest.raises(CheckpointError, match="needs two checkpoints or more, got 1"):
        average(folders[:1], target)
    with pytest.raises(CheckpointError, match="got 2 shares for 3 checkpoints"):
        average(folders, target, shares=[1, 2])
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match="shares are positive numbers"):
            average(folders, target, shares=[1, wrong, 1])
    wide = tmp_path / "wide"
    BertForMaskedLM(BertConfig(**{**SIZES, "hidden_size": 6})).save_pretrained(wide)
    with pytest.raises(CheckpointError, match=r"is \(11, 8\) in .* and \(11, 6\) in .*wide; an average is of"):
        average([folders[0], wide], target)
    deep = tmp_path / "deep"
    BertForMaskedLM(BertConfig(**{**SIZES, "num_hidden_layers": 2})).save_pretrained(deep)
    with pytest.raises(CheckpointError, match=r"layer\.1\..* is missing in .* and \("):
        average([folders[0], deep], target)
    heads = tmp_path / "heads"
    BertForMaskedLM(BertConfig(**{**SIZES, "num_attention_heads": 4})).save_pretrained(heads)
    with pytest.raises(CheckpointError, match="has 2 heads and .*heads 4"):
        average([folders[0], heads], target)
    (folders[1] / "vocab.txt").write_text("\n".join("bacdefghijk") + "\n")
    with pytest.raises(CheckpointError, match="differ; an average needs the same vocabulary"):
        average(folders, target)
    assert not target.exists()
