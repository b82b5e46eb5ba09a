"""The files of a tokenizer: vocab.txt, tokenizer.json, tokenizer_config.json, special_tokens_map.json.

Where they overlap: the vocabulary is vocab.txt's, or tokenizer.json's where there is no vocab.txt (a warning says so
where they differ); settings are tokenizer_config.json's, and what that leaves open is tokenizer.json's (transformers 5
ignores the normaliser of tokenizer.json, and lower-cases a cased model whose tokenizer_config.json forgot to say so).
A setting that is null is one that nothing is said about. What has no meaning for the fast tokenizers has none here:
never_split, do_basic_tokenize, and the truncation and padding that tokenizer.json was saved with.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.json_file import read_object
from minibert.tokenizer.added import AddedToken, added_id
from minibert.tokenizer.rows import Rows, lines_of, read_vocab
from minibert.tokenizer.special import SPECIAL_NAMES, special_token
from minibert.tokenizer.wordpiece import CONTINUES

VOCAB, TOKENIZER = "vocab.txt", "tokenizer.json"
CONFIG, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
FILES = (VOCAB, TOKENIZER, CONFIG, SPECIAL, ADDED)

_SETTINGS = (
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
)
_EXTRA = ("extra_special_tokens", "additional_special_tokens")
# Tokenizers that cut words before WordPiece sees them, by other rules than BERT's: their vocabularies look alike.
_OTHER_RULES = ("BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer")

AddedTokens = list[tuple[int | None, AddedToken]]


def read_folder(folder: Path) -> tuple[Any, AddedTokens, dict[str, Any]]:
    """(vocabulary, added tokens with their ids where the files give them, settings for BertTokenizer).

    Raises:
        ValueError: there is nothing to read, or it is not what such files hold.
    """
    whole, config = _read_json(folder / TOKENIZER), _read_json(folder / CONFIG)
    model = _part(whole, "model", dict, folder / TOKENIZER)
    if (folder / VOCAB).exists():
        vocab: Any = read_vocab(folder / VOCAB)
        if whole:
            _warn_of_difference(vocab, whole, folder)
    elif whole:
        vocab = _vocab_of(model, folder / TOKENIZER)
    else:
        raise ValueError(f"there is neither a {VOCAB} nor a {TOKENIZER} in {folder}{_elsewhere(folder)}")
    if str(config.get("tokenizer_class")).removesuffix("Fast") in _OTHER_RULES:
        warnings.warn(
            f"{folder / CONFIG} is of a {config['tokenizer_class']}, which cuts words by other rules than BERT's: texts"
            " must come with spaces between the words it would find",
            stacklevel=3,
        )
    tokens = _read_json(folder / SPECIAL) | {name: value for name, value in config.items() if value is not None}
    settings = _settings(whole, model, config, folder) | _special(tokens, model, folder)
    return vocab, _added(whole, config, folder), settings


def _settings(
    whole: Mapping[str, Any], model: Mapping[str, Any], config: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """What the files say about the arguments of BertTokenizer, special tokens apart."""
    known = config.get("do_lower_case") is not None
    settings = {} if known else _normalizer_settings(whole, folder / TOKENIZER)
    if model.get("max_input_chars_per_word") is not None:
        settings["max_input_chars_per_word"] = model["max_input_chars_per_word"]
    settings |= {name: config[name] for name in _SETTINGS if config.get(name) is not None}
    if config.get("max_len") is not None:  # the name in the first versions of transformers
        settings.setdefault("model_max_length", config["max_len"])
    return settings


def _special(tokens: Mapping[str, Any], model: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The special tokens of special_tokens_map.json and of the configuration, whose word counts more."""
    settings = {name: special_token(name, tokens[name]) for name in SPECIAL_NAMES if tokens.get(name)}
    if isinstance(model.get("unk_token"), str):
        settings.setdefault("unk_token", special_token("unk_token", model["unk_token"]))
    extra: Any = next((tokens[name] for name in _EXTRA if tokens.get(name)), [])
    if not isinstance(extra, list | dict):
        raise ValueError(f"the extra special tokens in {folder} must be a list of tokens, not {extra!r}")
    return {**settings, "extra_special_tokens": list(extra.values()) if isinstance(extra, dict) else extra}


def _added(whole: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> AddedTokens:
    """The added tokens of all files, by id."""
    found: list[tuple[Any, AddedToken]] = []
    for entry in _part(whole, "added_tokens", list, folder / TOKENIZER):
        if not isinstance(entry, dict):
            raise ValueError(f"{folder / TOKENIZER}: an entry of added_tokens is {entry!r}, not an object")
        found.append((entry.get("id"), AddedToken.from_json(entry, special=True)))
    decoder = _part(config, "added_tokens_decoder", dict, folder / CONFIG)
    found += [(id, AddedToken.from_json(entry, special=True)) for id, entry in decoder.items()]
    found += [(id, AddedToken.from_json(token, special=False)) for token, id in _read_json(folder / ADDED).items()]
    added = [(None if id is None else added_id(id, token.content), token) for id, token in found if token.content]
    return sorted(added, key=lambda entry: (entry[0] is None, entry[0] or 0))  # those without an id come last


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


def _part(whole: Mapping[str, Any], name: str, kind: type, path: Path) -> Any:
    """A list or an object in a JSON object; an empty one where it is missing or null."""
    value = whole.get(name)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{path}: {name!r} should be {'an object' if kind is dict else 'a list'}, not {_shown(value)}")
    return kind() if value is None else value


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | bool) else f"a {type(value).__name__}"


def _vocab_of(model: Mapping[str, Any], path: Path) -> dict[str, int]:
    vocab = model.get("vocab")
    if (model.get("type") or "WordPiece") != "WordPiece" or not isinstance(vocab, dict):
        raise ValueError(f"{path} holds a {model.get('type')} tokenizer; BERT's is a WordPiece with a vocabulary")
    if (model.get("continuing_subword_prefix") or CONTINUES) != CONTINUES:
        raise ValueError(
            f"{path} marks the pieces inside words with {model['continuing_subword_prefix']!r}; BERT does with '##'"
        )
    return vocab


def _warn_of_difference(rows: Rows, whole: Mapping[str, Any], folder: Path) -> None:
    """vocab.txt is what people edit, and tokenizer.json what other programs read."""
    there = _part(whole, "model", dict, folder / TOKENIZER).get("vocab")
    if not isinstance(there, dict) or there == rows.ids:
        return
    entries = [entry for entry in _part(whole, "added_tokens", list, folder / TOKENIZER) if isinstance(entry, dict)]
    known = there | {entry.get("content"): entry.get("id") for entry in entries}
    differ = [token for token, id in rows.ids.items() if known.get(token) != id]
    differ += [token for token in there if token not in rows.ids]
    names = [token for token in differ if token.strip()]
    if names:
        examples = ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
        warnings.warn(
            f"{VOCAB} and {TOKENIZER} in {folder} disagree about the ids of {len(names)} tokens ({examples}):"
            f" {VOCAB} counts here, while other programs may read {TOKENIZER}",
            stacklevel=3,
        )


def _normalizer_settings(whole: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What tokenizer.json says about lower-casing, accents and Chinese characters."""
    normalizer = _part(whole, "normalizer", dict, path)
    if not normalizer:
        return {}
    steps = _part(normalizer, "normalizers", list, path) if normalizer.get("type") == "Sequence" else [normalizer]
    for step in steps:
        if isinstance(step, dict) and step.get("type") == "BertNormalizer":
            names = (
                ("do_lower_case", "lowercase"),
                ("strip_accents", "strip_accents"),
                ("tokenize_chinese_chars", "handle_chinese_chars"),
            )
            return {ours: step[theirs] for ours, theirs in names if step.get(theirs) is not None}
    raise ValueError(
        f"{path} normalises text by {normalizer.get('type')!r}, not as BERT does: say do_lower_case=True or False"
        f" in {path.parent / CONFIG}"
    )


def write_folder(
    folder: Path,
    rows: Rows,
    added: Mapping[str, tuple[int, AddedToken]],
    settings: Mapping[str, Any],
) -> tuple[str, ...]:
    """Writes the files and returns their paths; they appear together, complete, or not at all.

    Raises:
        ValueError: the folder cannot be written to, or a token cannot be written as UTF-8.
    """
    special = {name: settings[name] for name in SPECIAL_NAMES}
    entries = [(id, token.to_json()) for id, token in sorted(added.values(), key=lambda entry: entry[0])]
    config = {
        **{name: settings[name] for name in (*_SETTINGS, *SPECIAL_NAMES)},
        "extra_special_tokens": settings["extra_special_tokens"],
        "added_tokens_decoder": {str(id): entry for id, entry in entries},
        "tokenizer_class": "BertTokenizer",
    }
    files = {
        TOKENIZER: _dump(_tokenizer_json(rows.ids, entries, settings)),
        CONFIG: _dump(config),
        SPECIAL: _dump(special),
    }
    lines = lines_of(rows)
    if lines is not None:
        files[VOCAB] = "".join(line + "\n" for line in lines)
    # Ids with gaps: only tokenizer.json can say them, and an older vocab.txt would lie.
    return _write(folder, files, stale=VOCAB if lines is None else None)


def write_vocab(folder: Path, name: str, rows: Rows) -> tuple[str, ...]:
    """Writes vocab.txt alone, under that name, and returns its path.

    Raises:
        ValueError: the ids have gaps, so that no vocab.txt can say them; or the folder cannot be written to.
    """
    lines = lines_of(rows)
    if lines is None:
        raise ValueError(
            f"a {VOCAB} cannot say the ids of this vocabulary, which have gaps (or tokens with spaces at their ends):"
            " save_pretrained writes them"
        )
    return _write(folder, {name: "".join(line + "\n" for line in lines)})


def _write(folder: Path, files: Mapping[str, str], stale: str | None = None) -> tuple[str, ...]:
    """Writes the files, and removes the `stale` one in the same instant; returns their paths."""
    from minibert.checkpoint import Staging

    try:
        encoded = {name: text.encode("utf-8") for name, text in files.items()}
    except UnicodeEncodeError as error:
        raise ValueError(f"a token holds {error.object[error.start]!r}, which cannot be written as UTF-8") from None
    try:
        with Staging(folder) as stage:
            for name, data in encoded.items():
                stage.open(name).write(data)
            if stale is not None:
                stage.remove(stale)
    except OSError as error:
        raise ValueError(f"cannot write the tokenizer to {folder}: {error.strerror or error}") from None
    return tuple(str(folder / name) for name in files)


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
