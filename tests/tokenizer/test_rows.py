"""The rows of a vocabulary: repeated lines, blank ones, and files as editors leave them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert.tokenizer import AddedToken, BertTokenizer

BASE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"]


def quiet(vocab: Any) -> BertTokenizer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return BertTokenizer(vocab)


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        ([*BASE, "hello", "##s"], [7, 6, 8]),
        ([*BASE, "", "", "##s"], [5, 6, 9]),
        ([*BASE, "hello", "", "hello", "", "##s", "world"], [9, 12, 11]),
        ([*BASE, " ", "\u3000", "##s"], [5, 6, 9]),  # spaces are a blank line
        (["hello", *BASE, "##s"], [6, 7, 8]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_last_line_counts_and_no_id_moves(tmp_path: Path, lines: list[str], ids: list[int], end: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(end.join([*lines, ""]).encode())
    with pytest.warns(UserWarning, match="comes? again further down .*: the last one counts"):
        tokenizer = BertTokenizer(path)
    assert tokenizer.encode("hello worlds", add_special_tokens=False) == ids
    assert tokenizer.vocab_size == len(tokenizer) == len(lines)
    assert tokenizer.add_tokens("new") == 1
    assert tokenizer.convert_tokens_to_ids("new") == len(lines)  # behind all rows, the reserved ones too


def test_saving_keeps_the_reserved_rows(tmp_path: Path) -> None:
    lines = [*BASE, "hello", "", "", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(lines) + "\n")
    tokenizer = quiet(tmp_path / "vocab.txt")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").read_text() == (tmp_path / "vocab.txt").read_text()
    with pytest.warns(UserWarning, match="has 2 lines .*'hello' on lines 6 and 8; a blank line on lines"):
        again = BertTokenizer.from_pretrained(tmp_path / "saved")
    assert again.get_vocab() == tokenizer.get_vocab()
    assert len(again) == len(tokenizer)


def test_the_warning_names_three_examples_and_the_count() -> None:
    with pytest.warns(UserWarning, match=r"has 5 lines .*'hello'.*'world'.*'\[MASK\]'.*, \.\.\.") as caught:
        BertTokenizer([*BASE, "hello", "world", "[MASK]", "[SEP]", "[CLS]"])
    assert len(caught) == 1
    assert Path(caught[0].filename).name == Path(__file__).name  # it points at whose vocabulary it is


def test_lines_as_editors_leave_them(tmp_path: Path) -> None:
    """A byte order mark, mixed line ends, spaces at the ends, no last line end: Google's `load_vocab` strips, too."""
    data = "\ufeff[PAD]\r\n[UNK]\n[CLS]\r[SEP] \n[MASK]\t\nhello \r\n world".encode()
    (tmp_path / "vocab.txt").write_bytes(data)
    assert BertTokenizer(tmp_path / "vocab.txt").get_vocab() == {token: id for id, token in enumerate(BASE)}


def test_only_the_unknown_token_is_needed() -> None:
    tokenizer = BertTokenizer(["a", "[UNK]"])
    assert tokenizer.encode("a") == [4, 0, 2]  # the others stand behind the vocabulary
    with pytest.raises(ValueError, match=r"no '\[UNK\]'"):
        BertTokenizer(["a", "[CLS]"])


def test_mappings() -> None:
    assert len(BertTokenizer({"[UNK]": np.int64(0), "a": np.uint8(7)})) == 12  # rows up to 7, and four special tokens
    for vocab, message in (
        ({"[UNK]": 0, "a": True}, "non-negative integer"),
        ({"[UNK]": 0, "a": 1.0}, "non-negative integer"),
        ({"[UNK]": 0, "a": -1}, "non-negative integer"),
        ({"[UNK]": 0, "a": 2**40}, "non-negative integer"),
        ({"[UNK]": 0, 5: 1}, "5 is no string"),
        (["[UNK]", 5], "entry 1 is no string"),
        (b"[UNK]", "must be a file, a list"),
    ):
        wrong: Any = vocab
        with pytest.raises(ValueError, match=message):
            BertTokenizer(wrong)


def test_what_no_vocab_txt_can_say_is_refused_in_words(tmp_path: Path) -> None:
    assert BertTokenizer(BASE).save_vocabulary(tmp_path, "x") == (str(tmp_path / "x-vocab.txt"),)
    assert (tmp_path / "x-vocab.txt").read_text().split("\n")[:-1] == BASE
    with pytest.raises(ValueError, match="have gaps"):
        BertTokenizer({"[UNK]": 0, "a": 7}).save_vocabulary(tmp_path)
    with pytest.raises(ValueError, match="no slash"):
        BertTokenizer(BASE).save_vocabulary(tmp_path, "../x")
    with pytest.raises(ValueError, match="cannot be written as UTF-8"):
        BertTokenizer([*BASE, "\ud800"]).save_pretrained(tmp_path)


def test_home_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tokenizer = BertTokenizer(BASE)
    tokenizer.save_pretrained("~/saved")
    tokenizer.save_vocabulary("~/saved", "more")
    for other in (BertTokenizer("~/saved/vocab.txt"), BertTokenizer.from_pretrained("~/saved"),
                  BertTokenizer(vocab_file=Path("~/saved/more-vocab.txt"))):  # fmt: skip
        assert other.get_vocab() == tokenizer.get_vocab()


def test_added_tokens_of_files_keep_their_ids() -> None:
    tokenizer = BertTokenizer(BASE, added_tokens=[(20, AddedToken("<x>")), (None, AddedToken("<y>"))])
    assert tokenizer.get_added_vocab() == {
        "[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "<x>": 20, "<y>": 21,
    }  # fmt: skip
    assert len(tokenizer) == 22
