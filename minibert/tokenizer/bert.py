"""`BertTokenizer`: texts in, the model's arguments out, with the interface people know from transformers."""

from __future__ import annotations

import dataclasses
import inspect
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.number_like import as_int
from minibert.options import unknown_option
from minibert.paths import StrPath, about, as_path
from minibert.tokenizer import files
from minibert.tokenizer.added import AddedToken
from minibert.tokenizer.basic import BasicTokenizer
from minibert.tokenizer.batch import BatchEncoding
from minibert.tokenizer.cutter import Cutter, TokenSequence
from minibert.tokenizer.encoding import Encoding, assemble, plan_windows
from minibert.tokenizer.inputs import Sample, samples
from minibert.tokenizer.options import UNLIMITED, Options, check_side, length_limit, padded_length, resolve_options
from minibert.tokenizer.padding import pad_rows
from minibert.tokenizer.vocabulary import Vocabulary, id_list
from minibert.tokenizer.wordpiece import MAX_CHARS_PER_WORD, WordPiece


class BertTokenizer(Vocabulary):
    """BERT's tokenizer: basic tokenization, WordPiece, [CLS] and [SEP].

    Args:
        vocab: a vocab.txt, a list of tokens, or a mapping token -> id (`vocab_file` is another name for it). Of a token
            that stands there twice the last one counts, with a warning; blank lines are rows that no word has.
        do_lower_case: for uncased models.
        strip_accents: remove accents; None: exactly when lower-casing.
        tokenize_chinese_chars: make each Chinese character a word.
        unk_token ... mask_token: the special tokens' names. [UNK] must be in the vocabulary; one of the others that it
            lacks is added behind it.
        model_max_length: the most tokens the model takes; None: no limit is known.
        padding_side, truncation_side: "right" or "left".
        clean_up_tokenization_spaces: whether `decode` contracts "it ' s" too (see `decode`).
        extra_special_tokens: more strings that are never split.
        added_tokens: (id or None, AddedToken), as files give them.

    Raises:
        ValueError: a vocabulary that is missing, empty, gives one id to two tokens, or has no [UNK].
    """

    model_input_names = ("input_ids", "token_type_ids", "attention_mask")

    def __init__(
        self,
        vocab: StrPath | Mapping[str, int] | Iterable[str] | None = None,
        *,
        vocab_file: StrPath | None = None,
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        unk_token: str | AddedToken = "[UNK]",
        sep_token: str | AddedToken = "[SEP]",
        pad_token: str | AddedToken = "[PAD]",
        cls_token: str | AddedToken = "[CLS]",
        mask_token: str | AddedToken = "[MASK]",
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        clean_up_tokenization_spaces: bool = False,
        extra_special_tokens: Sequence[str | AddedToken] = (),
        added_tokens: Iterable[tuple[int | None, AddedToken]] = (),
        max_input_chars_per_word: int = MAX_CHARS_PER_WORD,
    ) -> None:
        source = vocab_file if vocab is None else vocab
        if source is None:
            raise ValueError("give a vocabulary: BertTokenizer('vocab.txt') or BertTokenizer.from_pretrained(folder)")
        special = {
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
        }
        super().__init__(source, special, extra_special_tokens, added_tokens)
        self.basic = BasicTokenizer(
            do_lower_case=_flag("do_lower_case", do_lower_case),
            strip_accents=None if strip_accents is None else _flag("strip_accents", strip_accents),
            tokenize_chinese_chars=_flag("tokenize_chinese_chars", tokenize_chinese_chars),
        )
        most = as_int("max_input_chars_per_word", max_input_chars_per_word, least=1)
        self.wordpiece = WordPiece(self._base, self.unk_token, most)
        self.model_max_length = length_limit(model_max_length)
        self.padding_side = check_side("padding_side", padding_side)
        self.truncation_side = check_side("truncation_side", truncation_side)
        self.clean_up_tokenization_spaces = _flag("clean_up_tokenization_spaces", clean_up_tokenization_spaces)
        self.pad_token_type_id = 0
        self.name_or_path = ""
        self._warned_of_length = False

    # ---- the cutter, made when it is needed: tokens may be added one by one, and in great numbers

    _cutter_made: Cutter | None = None
    _tokens_set = False  # whether the cutter searches for the added tokens as they are now

    @property
    def _cutter(self) -> Cutter:
        cutter = self._cutter_made
        if cutter is None or not self._tokens_set:
            tokens, ids = [token for _, token in self._added.values()], self.get_added_vocab()
            if cutter is None:
                cutter = Cutter(self.basic, self.wordpiece, tokens, ids)
            else:
                cutter.set_added(tokens, ids)
            self._cutter_made, self._tokens_set = cutter, True  # when it is whole: other threads may be waiting for it
        return cutter

    def _added_changed(self, token: AddedToken | None = None, id: int = 0, is_new: bool = False) -> None:
        super()._added_changed(token, id, is_new)
        if token is not None and is_new and self._cutter_made is not None and self._tokens_set:
            self._cutter_made.add(token, id)
        elif token is not None:
            self._tokens_set = False
        if token is None and self._cutter_made is not None and self.wordpiece.unk_id != self.unk_token_id:
            self.wordpiece = WordPiece(self._base, self.unk_token, self.wordpiece.max_chars)
            self._cutter_made = None

    # ---- how texts are normalised

    def _normalize_by(self, **settings: Any) -> None:
        self.basic = replace(self.basic, **settings)
        self._cutter_made = None  # what it remembers of words is void

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are lower-cased; can be set."""
        return self.basic.do_lower_case

    @do_lower_case.setter
    def do_lower_case(self, value: bool) -> None:
        self._normalize_by(do_lower_case=_flag("do_lower_case", value))

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are removed (None: exactly when lower-casing); can be set."""
        return self.basic.strip_accents

    @strip_accents.setter
    def strip_accents(self, value: bool | None) -> None:
        self._normalize_by(strip_accents=None if value is None else _flag("strip_accents", value))

    @property
    def tokenize_chinese_chars(self) -> bool:
        """Whether each Chinese character is a word; can be set."""
        return self.basic.tokenize_chinese_chars

    @tokenize_chinese_chars.setter
    def tokenize_chinese_chars(self, value: bool) -> None:
        self._normalize_by(tokenize_chinese_chars=_flag("tokenize_chinese_chars", value))

    # ---- files

    @classmethod
    def from_vocab(cls, vocab: StrPath | Mapping[str, int] | Iterable[str], **options: Any) -> BertTokenizer:
        """The same as `BertTokenizer(vocab, **options)`."""
        return cls(vocab, **options)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: StrPath,
        **options: Any,
    ) -> BertTokenizer:
        """Reads a folder (or a vocab.txt), or fetches a tokenizer from the hub by name.

        Args:
            name_or_folder: see `minibert.checkpoint.resolve`.
            options: those of `minibert.checkpoint.HubOptions` (revision, token, subfolder, ...); all others are
                arguments of `BertTokenizer` that win over what the files say.

        Raises:
            ValueError: there is nothing to read, it is not a BERT tokenizer, or an unknown option.
        """
        from minibert.checkpoint import HubOptions, resolve

        hub, overrides = HubOptions.split(options)
        known = list(inspect.signature(cls.__init__).parameters.values())[2:]
        if all(one.kind is one.KEYWORD_ONLY for one in known):  # a subclass may take anything
            names = [one.name for one in known]
            for name in overrides:
                if name not in names:
                    hub_names = [one.name for one in dataclasses.fields(HubOptions)]
                    raise ValueError(unknown_option("BertTokenizer.from_pretrained", name, [*names, *hub_names]))
        path = as_path(name_or_folder)
        if path.is_file():
            with about(path):
                return cls(path, **overrides)
        path = resolve(name_or_folder, files=files.FILES, **hub)
        with about(path):
            vocab, added, settings = files.read_folder(path)
            tokenizer = cls(vocab, **({"added_tokens": added} | settings | overrides))
        tokenizer.name_or_path = os.fspath(name_or_folder)
        return tokenizer

    def save_pretrained(self, folder: StrPath) -> tuple[str, ...]:
        """Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json, all or nothing.

        Returns:
            The paths of the files.

        Raises:
            ValueError: the folder cannot be written to.
        """
        settings = {
            "do_lower_case": self.basic.do_lower_case,
            "strip_accents": self.basic.strip_accents,
            "tokenize_chinese_chars": self.basic.tokenize_chinese_chars,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "extra_special_tokens": self.extra_special_tokens,
            "max_input_chars_per_word": self.wordpiece.max_chars,
            **self.special_tokens_map,
        }
        return files.write_folder(as_path(folder), self._vocab_rows, self._added, settings)

    def save_vocabulary(self, folder: StrPath, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Writes vocab.txt alone (with a prefix: PREFIX-vocab.txt), without the added tokens.

        Returns:
            The path of the file.

        Raises:
            ValueError: the folder cannot be written to, or no vocab.txt can say the ids of this vocabulary.
        """
        if filename_prefix is not None and not isinstance(filename_prefix, str):
            raise ValueError(f"filename_prefix must be a string, not {filename_prefix!r}")
        if filename_prefix and (os.sep in filename_prefix or "/" in filename_prefix):
            raise ValueError(f"filename_prefix={filename_prefix!r} is part of a file's name, so it has no slash")
        name = f"{filename_prefix}-{files.VOCAB}" if filename_prefix else files.VOCAB
        return files.write_vocab(as_path(folder), name, self._vocab_rows)

    # ---- text to ids

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
    ) -> BatchEncoding:
        """Tokenizes a text, a pair, or a batch of either.

        Args:
            text: a string or a list of strings; with `is_split_into_words`, lists of words instead of strings. A batch
                may also be a list of pairs.
            text_pair: the second texts.
            padding: True or "longest", "max_length" (to `max_length`, or to the model's), False or "do_not_pad".
            truncation: True or "longest_first", "only_first", "only_second", False or "do_not_truncate".
            max_length: the most tokens in a row, special ones counted; the model's if None. Given alone it truncates.
            stride: how many tokens neighbouring windows share when a text overflows.
            return_overflowing_tokens: give the windows that do not fit as further rows;
                `overflow_to_sample_mapping` then says which sample a row belongs to.
            return_tensors: None for lists, "np" for int64 arrays (B, S).
            return_token_type_ids, return_attention_mask: None means that they are returned.

        Returns:
            A `BatchEncoding` with input_ids, token_type_ids, attention_mask, and as asked special_tokens_mask,
            offset_mapping (characters of the original text), length. Lists of a single text have no batch axis.

        Raises:
            ValueError: what was given is not text, or options contradict each other or the text.
        """
        options = resolve_options(
            padding, truncation, max_length, stride, pad_to_multiple_of, padding_side, truncation_side, self
        )
        given, is_batch = samples(text, text_pair, is_split_into_words)
        rows: list[Encoding] = []
        owners: list[int] = []
        kept: list[int] = []  # lengths of the first row of each sample: they decide the padding
        for owner, sample in enumerate(given):
            windows = self._rows(sample, options, add_special_tokens, return_overflowing_tokens)
            kept.append(len(windows[0]))
            rows += windows
            owners += [owner] * len(windows)
        self._warn_if_long(max(map(len, rows)), options)
        length = padded_length(kept, options)
        if length is not None:
            pad_id, type_id = self.pad_token_id, self.pad_token_type_id
            rows = [row.padded(length, pad_id, type_id, options.padding_side) for row in rows]

        data: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
        if return_token_type_ids is None or return_token_type_ids:
            data["token_type_ids"] = [row.type_ids for row in rows]
        if return_attention_mask is None or return_attention_mask:
            data["attention_mask"] = [row.attention_mask for row in rows]
        if return_special_tokens_mask:
            data["special_tokens_mask"] = [row.special_tokens_mask for row in rows]
        if return_offsets_mapping:
            data["offset_mapping"] = [row.offsets for row in rows]
        if not is_batch and return_tensors is None and not return_overflowing_tokens:
            data = {name: values[0] for name, values in data.items()}
        if return_length:
            data["length"] = [len(row) for row in rows]
        if return_overflowing_tokens:
            data["overflow_to_sample_mapping"] = owners
        return BatchEncoding(data, rows).convert_to_tensors(return_tensors)

    def _rows(self, sample: Sample, options: Options, specials: bool, overflowing: bool) -> list[Encoding]:
        """The row of a sample, and with `overflowing` the rows of what did not fit into it."""
        texts = [TokenSequence(self._cutter, text) for text in sample]
        room = options.room(self.num_special_tokens_to_add(len(texts) > 1) if specials else 0)
        cls_id = self.cls_token_id if specials else None
        rows: list[Encoding] = []
        lengths = [len(text) for text in texts]
        for windows in plan_windows(lengths, room, options.truncation, options.stride, options.truncation_side):
            rows.append(assemble(texts, windows, cls_id, self.sep_token_id, self._tokens))
            if not overflowing:
                break
        return rows

    def _warn_if_long(self, length: int, options: Options) -> None:
        if options.max_length is None and length > self.model_max_length and not self._warned_of_length:
            self._warned_of_length = True
            warnings.warn(
                f"a text has {length} tokens and the model takes {self.model_max_length}: it will refuse them;"
                " truncation=True cuts texts to what fits",
                stacklevel=3,
            )

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> list[int]:
        """`input_ids` of a text or pair; options as for a call."""
        only_ids = {"return_token_type_ids": False, "return_attention_mask": False}
        ids: list[int] = self(text, text_pair, **(only_ids | options))["input_ids"]
        return ids

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text or pair as strings: tokenize("unaffable") -> ["una", "##ffa", "##ble"]."""
        return self(text, pair, add_special_tokens=add_special_tokens, truncation=False).tokens()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """2 ([CLS] A [SEP]), or 3 for a pair."""
        return 3 if pair else 2

    @property
    def is_fast(self) -> bool:
        """True: it is written in Python, but gives offsets and word numbers, which is what callers ask this for."""
        return True

    @property
    def max_len_single_sentence(self) -> int:
        """The most tokens of a text that leave room for [CLS] and [SEP]."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """The most tokens that the two texts of a pair may have together."""
        return self.model_max_length - self.num_special_tokens_to_add(True)

    def build_inputs_with_special_tokens(self, first: Sequence[int], second: Sequence[int] | None = None) -> list[int]:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], from ids to ids."""
        tail = [] if second is None else [*id_list(second), self.sep_token_id]
        return [self.cls_token_id, *id_list(first), self.sep_token_id, *tail]

    def create_token_type_ids_from_sequences(
        self, first: Sequence[int], second: Sequence[int] | None = None
    ) -> list[int]:
        """The token types of `build_inputs_with_special_tokens`: 0 for the first text, 1 for the second."""
        return [0] * (len(first) + 2) + ([] if second is None else [1] * (len(second) + 1))

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool = True,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pads what calls returned, one by one or as a batch: a mapping of lists, or a list of mappings."""
        options = resolve_options(padding, False, max_length, 0, pad_to_multiple_of, padding_side, None, self)
        pads = {"input_ids": self.pad_token_id, "token_type_ids": self.pad_token_type_id}
        return pad_rows(encoded_inputs, options, pads, return_attention_mask).convert_to_tensors(return_tensors)

    def __repr__(self) -> str:
        case = "uncased" if self.basic.do_lower_case else "cased"
        most = "no limit" if self.model_max_length > UNLIMITED else f"at most {self.model_max_length} tokens"
        return f"BertTokenizer({self.name_or_path!r}, {case}, vocabulary of {len(self)}, {most} a row)"


def _flag(name: str, value: Any) -> bool:
    """A setting that is true or false.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, np.bool_):
        value = bool(value)
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, not {value!r}")
    return value
