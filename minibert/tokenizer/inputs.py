"""What a call of the tokenizer may be given, brought into one form: a list of samples, each one text or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Text = str | Sequence[str]  # a text, or a text that came as words
Sample = tuple[Text, ...]  # one text, or a pair

EXPECTED = {
    False: "a string, a list of strings, or a list of pairs of strings",
    True: "a list of words, a list of such lists, or a list of pairs of such lists (is_split_into_words=True)",
}


def samples(text: Any, text_pair: Any, is_split_into_words: bool) -> tuple[list[Sample], bool]:
    """The samples of a call, and whether it is a batch.

    A single text with an empty `text_pair` counts as a single text (as in transformers); in a batch it is a pair.
    Raises ValueError for anything that is not text, for ragged nesting, and for batches of different lengths.
    """
    words = is_split_into_words
    if not (_is_text(text, words) or _is_list(text)):
        raise ValueError(f"the tokenizer takes {EXPECTED[words]}, not {_describe(text)}")
    if _is_text(text, words):
        if text_pair is not None and not _is_text(text_pair, words):
            raise ValueError(f"text is one text, so text_pair must be one too, not {_describe(text_pair)}")
        return [(text, text_pair) if text_pair else (text,)], False
    if len(text) == 0:
        raise ValueError("the batch is empty: give at least one text")
    if text_pair is None:
        return [_sample(entry, k, words) for k, entry in enumerate(text)], True
    if not _is_list(text_pair) or len(text_pair) != len(text):
        raise ValueError(
            f"text is a batch of {len(text)}, so text_pair must be a list of {len(text)} texts,"
            f" not {_describe(text_pair)}"
        )
    for k, entry in enumerate([*text, *text_pair]):
        if not _is_text(entry, words):
            raise ValueError(f"entry {k % len(text)} of the batch is not a text but {_describe(entry)}")
    return list(zip(text, text_pair, strict=True)), True


def _sample(entry: Any, k: int, words: bool) -> Sample:
    if _is_text(entry, words):
        return (entry,)
    if _is_list(entry) and len(entry) == 2 and all(_is_text(part, words) for part in entry):
        return tuple(entry)
    raise ValueError(f"entry {k} of the batch is neither a text nor a pair of texts but {_describe(entry)}")


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_text(value: Any, words: bool) -> bool:
    """One text: a string, or, where texts come as words, a list of strings."""
    if words:
        return _is_list(value) and all(isinstance(word, str) for word in value)
    return isinstance(value, str)


def _describe(value: Any) -> str:
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, bytes):
        return "bytes (decode them first: data.decode('utf-8'))"
    if isinstance(value, str | list | tuple):
        return f"a {kind} of length {len(value)}"
    return f"{value!r} ({kind})" if isinstance(value, int | float) else f"a {kind}"
