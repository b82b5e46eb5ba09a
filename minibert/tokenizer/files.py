"""The files of a tokenizer: vocab.txt, tokenizer.json, tokenizer_config.json, special_tokens_map.json.

Where they overlap: the vocabulary is vocab.txt's, or tokenizer.json's where there is no vocab.txt; settings are
tokenizer_config.json's, and what that leaves open is tokenizer.json's (transformers 5 ignores the normaliser of
tokenizer.json, and lower-cases a cased model whose tokenizer_config.json forgot to say so).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from minibert.file_kind import instead_of
from minibert.json_file import LIMIT, read_object
from minibert.paths import decode, read_regular
from minibert.tokenizer.added import AddedToken

VOCAB, TOKENIZER = "vocab.txt", "tokenizer.json"
CONFIG, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
FILES = (VOCAB, TOKENIZER, CONFIG, SPECIAL, ADDED)

SPECIAL_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_SETTINGS = (
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
)


def read_vocab(path: str | Path) -> dict[str, int]:
    """vocab.txt: one token a line, the line number is the id."""
    try:
        data = read_regular(path, LIMIT)
        if wrong := instead_of(Path(path), "empty"):
            raise ValueError(f"the vocabulary {path} is no list of tokens: {wrong}")
        text = decode(data, path)
    except OSError as error:
        raise ValueError(f"cannot read the vocabulary {path}: {error.strerror or error}") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1]:
        lines.pop()
    return index_tokens(lines, str(path))


def index_tokens(tokens: Iterable[str], origin: str) -> dict[str, int]:
    """token -> id in order; a ValueError names a token that comes twice, since one of its ids could never be met."""
    vocab: dict[str, int] = {}
    for k, token in enumerate(tokens):
        if vocab.setdefault(token, k) != k:
            raise ValueError(
                f"the vocabulary {origin} has {token!r} twice, on lines {vocab[token] + 1} and {k + 1}:"
                " every token must stand there once"
            )
    return vocab


def read_folder(folder: Path) -> tuple[dict[str, int], list[tuple[int | None, AddedToken]], dict[str, Any]]:
    """(vocabulary, added tokens with their ids where the files give them, settings for BertTokenizer)."""
    whole, config = _read_json(folder / TOKENIZER), _read_json(folder / CONFIG)
    model = whole.get("model", {})
    if (folder / VOCAB).is_file():
        vocab = read_vocab(folder / VOCAB)
    elif whole:
        vocab = _vocab_of(model, folder / TOKENIZER)
    else:
        raise ValueError(f"there is neither a {VOCAB} nor a {TOKENIZER} in {folder}{_elsewhere(folder)}")

    settings = {} if "do_lower_case" in config else _normalizer_settings(whole.get("normalizer"), folder / TOKENIZER)
    if "max_input_chars_per_word" in model:
        settings["max_input_chars_per_word"] = model["max_input_chars_per_word"]
    settings |= {name: config[name] for name in _SETTINGS if config.get(name) is not None}
    if "max_len" in config:
        settings.setdefault("model_max_length", config["max_len"])
    tokens = _read_json(folder / SPECIAL) | config
    settings |= {name: AddedToken.from_json(tokens[name]).content for name in SPECIAL_NAMES if tokens.get(name)}

    added: list[tuple[int | None, AddedToken]] = []
    added += [(entry.get("id"), AddedToken.from_json(entry)) for entry in whole.get("added_tokens", [])]
    added += [(int(id), AddedToken.from_json(entry)) for id, entry in config.get("added_tokens_decoder", {}).items()]
    added += [(id, AddedToken.from_json(entry, special=False)) for entry, id in _read_json(folder / ADDED).items()]
    extra = tokens.get("extra_special_tokens") or tokens.get("additional_special_tokens") or []
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    settings["extra_special_tokens"] = [AddedToken.from_json(entry).content for entry in extra]
    return vocab, sorted(added, key=lambda entry: -1 if entry[0] is None else entry[0]), settings


def _elsewhere(folder: Path) -> str:
    """A hint for a folder without a vocabulary: the subfolder that has one, or what there is instead."""
    from minibert.checkpoint.contents import files_below, other_place, some

    names = files_below(folder)
    if place := other_place(names, VOCAB) or other_place(names, TOKENIZER):
        return f"; there is one in {place!r}: pass subfolder={place!r}"
    return f", but {some([name for name in names if '/' not in name])}; expected a BERT tokenizer"


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no such file."""
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None


def _vocab_of(model: Mapping[str, Any], path: Path) -> dict[str, int]:
    vocab = model.get("vocab")
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(vocab, dict):
        raise ValueError(f"{path} holds a {model.get('type')} tokenizer; BERT's is a WordPiece with a vocabulary")
    return vocab


def _normalizer_settings(normalizer: Any, path: Path) -> dict[str, Any]:
    """What tokenizer.json says about lower-casing, accents and Chinese characters."""
    if normalizer is None:
        return {}
    steps = normalizer.get("normalizers", []) if normalizer.get("type") == "Sequence" else [normalizer]
    for step in steps:
        if step.get("type") == "BertNormalizer":
            return {
                "do_lower_case": bool(step.get("lowercase", True)),
                "strip_accents": step.get("strip_accents"),
                "tokenize_chinese_chars": bool(step.get("handle_chinese_chars", True)),
            }
    raise ValueError(
        f"{path} normalises text by {normalizer.get('type')!r}, not as BERT does: say do_lower_case=True or False"
        f" in {path.parent / CONFIG}"
    )


def write_folder(
    folder: Path,
    vocab: Mapping[str, int],
    added: Mapping[str, tuple[int, AddedToken]],
    settings: Mapping[str, Any],
) -> None:
    """Writes the files; they appear together, complete, or not at all."""
    from minibert.checkpoint import Staging

    special = {name: settings[name] for name in SPECIAL_NAMES}
    entries = sorted((id, token.to_json()) for id, token in added.values())
    config = {
        **{name: settings[name] for name in (*_SETTINGS, *SPECIAL_NAMES)},
        "extra_special_tokens": settings["extra_special_tokens"],
        "added_tokens_decoder": {str(id): entry for id, entry in entries},
        "tokenizer_class": "BertTokenizer",
    }
    files = {
        TOKENIZER: _dump(_tokenizer_json(vocab, entries, settings)),
        CONFIG: _dump(config),
        SPECIAL: _dump(special),
    }
    in_order = sorted(vocab, key=vocab.__getitem__)
    one_a_line = all(token and "\n" not in token and "\r" not in token for token in vocab)
    if one_a_line and [vocab[token] for token in in_order] == list(range(len(vocab))):
        files[VOCAB] = "".join(token + "\n" for token in in_order)
    try:
        with Staging(folder) as stage:
            for name, text in files.items():
                stage.open(name).write(text.encode("utf-8"))
            if VOCAB not in files:  # ids with gaps: only tokenizer.json can say them, and an older vocab.txt would lie
                stage.remove(VOCAB)
    except OSError as error:
        raise ValueError(f"cannot write the tokenizer to {folder}: {error.strerror or error}") from None


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _tokenizer_json(
    vocab: Mapping[str, int], entries: list[tuple[int, dict[str, Any]]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The one file that the fast tokenizers read, in their format."""
    ids = {entry["content"]: id for id, entry in entries}
    cls, sep = settings["cls_token"], settings["sep_token"]

    def special(token: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [special(cls, 0), text("A", 0), special(sep, 0)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, **entry} for id, entry in entries],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings["tokenize_chinese_chars"],
            "strip_accents": settings["strip_accents"],
            "lowercase": settings["do_lower_case"],
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), special(sep, 1)],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in dict.fromkeys((cls, sep))
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": settings["unk_token"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": settings["max_input_chars_per_word"],
            "vocab": dict(vocab),
        },
    }
