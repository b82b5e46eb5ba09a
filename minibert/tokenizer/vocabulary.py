"""Tokens and their ids: the vocabulary of the model, the tokens added to it, the special ones by name, ids as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np

from minibert.number_like import as_int, is_int
from minibert.tokenizer import decoding
from minibert.tokenizer.added import AddedToken, added_id
from minibert.tokenizer.rows import vocabulary_rows
from minibert.tokenizer.special import SPECIAL_NAMES, AbsentToken, SpecialToken, SpecialTokenId, special_token


class Vocabulary:
    """The part of BertTokenizer that knows ids; it never looks at a text.

    `vocab` is a vocab.txt, a list of tokens (their places are the ids) or a mapping token -> id.
    """

    unk_token = SpecialToken()
    sep_token = SpecialToken()
    pad_token = SpecialToken()
    cls_token = SpecialToken()
    mask_token = SpecialToken()
    unk_token_id = SpecialTokenId()
    sep_token_id = SpecialTokenId()
    pad_token_id = SpecialTokenId()
    cls_token_id = SpecialTokenId()
    mask_token_id = SpecialTokenId()
    bos_token = AbsentToken()
    eos_token = AbsentToken()
    bos_token_id = AbsentToken()
    eos_token_id = AbsentToken()

    SPECIAL_TOKENS_ATTRIBUTES = SPECIAL_NAMES
    clean_up_tokenization_spaces: bool = False  # the default of `decode`

    def __init__(
        self,
        vocab: Any,
        special: Mapping[str, Any],
        extra_special_tokens: Any,
        added_tokens: Iterable[tuple[int | None, AddedToken]],
    ) -> None:
        rows = vocabulary_rows(vocab)
        self._vocab_rows = rows
        self._base = rows.ids
        self._tokens = {id: token for token, id in self._base.items()}
        self._size = rows.size  # of all rows, those of added tokens too
        self._added: dict[str, tuple[int, AddedToken]] = {}
        self._special: dict[str, str] = {}
        self._extra: list[str] = []
        tokens = {name: special_token(name, special[name]) for name in SPECIAL_NAMES}
        unknown = tokens["unk_token"].content
        if unknown not in self._base:
            raise ValueError(
                f"the vocabulary has no {unknown!r}: words it does not cover could not be written"
                " (another name for it can be given as unk_token)"
            )
        for id, token in added_tokens:
            self._add(token, id)
        self._name_special(tokens, extra=_extra_tokens(extra_special_tokens))

    def _add(self, token: AddedToken, id: int | None = None) -> bool:
        """Registers a token under the id it has, or under `id`, or under a new one. False: nothing changed."""
        known = self._id_of(token.content)
        if known is None:
            known = self._size if id is None else added_id(id, token.content)
            if known in self._tokens:
                raise ValueError(
                    f"the added token {token.content!r} has the id {known} of {self._tokens[known]!r}: one of the two"
                    " must have another id"
                )
            self._tokens[known] = token.content
            self._size = max(self._size, known + 1)
        before = self._added.get(token.content)
        if before == (known, token):
            return False
        self._added[token.content] = (known, token)
        self._added_changed(token, known, is_new=before is None)
        return True

    def _name_special(self, named: Mapping[str, AddedToken], extra: Iterable[AddedToken] = ()) -> None:
        """Gives special tokens their names (and the extra ones none); all of them are never split from now on."""
        extra = list(extra)
        self._special |= {name: token.content for name, token in named.items()}
        self._extra = list(dict.fromkeys([*self._extra, *(token.content for token in extra)]))
        for token in (*named.values(), *extra):
            # A plain string says nothing about the flags, and what a file has said of them stays.
            if token.content not in self._added or token != AddedToken(token.content):
                self._add(token)
        self._added_changed()

    def _added_changed(self, token: AddedToken | None = None, id: int = 0, is_new: bool = False) -> None:
        """Called when a token was added or got other flags, or when a special token got another name."""
        self.__dict__.pop("_skipped_ids", None)
        self.__dict__.pop("_special_ids", None)

    def _id_of(self, token: str) -> int | None:
        return self._added[token][0] if token in self._added else self._base.get(token)

    @cached_property
    def _skipped_ids(self) -> frozenset[int]:
        """What `decode` leaves out: the added tokens that are special."""
        return frozenset(id for id, token in self._added.values() if token.special)

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(self.all_special_ids)

    # ---- more tokens

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Adds tokens that are never split; returns how many are new. The model's embeddings must grow
        with them: `model.resize_token_embeddings(len(tokenizer))`.

        A plain string that is not special is looked for in the normalised text, so that an uncased tokenizer finds
        "NewTok" in any case. An empty string adds nothing.

        Raises:
            ValueError: what was given is no token; then none was added.
        """
        given: Any = new_tokens
        if isinstance(given, str) or hasattr(given, "content"):
            given = [given]
        if not isinstance(given, Iterable):
            raise ValueError(f"add_tokens takes a token or a list of tokens, not {given!r}")
        tokens = [AddedToken.from_json(token, special=special_tokens) for token in given]
        return sum([self._add(token) for token in tokens if token.content])

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_extra_special_tokens: bool = True
    ) -> int:
        """{"mask_token": "<mask>", "extra_special_tokens": [...]}: names special tokens and adds those that are new.

        Args:
            special_tokens_dict: the names are those of `special_tokens_map`, and "extra_special_tokens" (also called
                "additional_special_tokens") for a list.
            replace_extra_special_tokens: False: the list is joined to the one there is. Otherwise it takes its place;
                the former ones stay tokens that are never split.

        Returns:
            How many of the tokens the vocabulary did not have.

        Raises:
            ValueError: an unknown name, or something that is no token; then nothing was added.
        """
        named: dict[str, AddedToken] = {}
        extra: list[AddedToken] | None = None
        for name, value in special_tokens_dict.items():
            if name in ("extra_special_tokens", "additional_special_tokens"):
                extra = _extra_tokens(value)
            elif name in SPECIAL_NAMES:
                named[name] = special_token(name, value)
            else:
                names = ", ".join((*SPECIAL_NAMES, "extra_special_tokens"))
                raise ValueError(f"there is no special token called {name!r}; there are {names}")
        new = {token.content for token in (*named.values(), *(extra or ())) if self._id_of(token.content) is None}
        if extra is not None and replace_extra_special_tokens:
            self._extra = []
        self._name_special(named, extra or ())
        return len(new)

    @property
    def extra_special_tokens(self) -> list[str]:
        """Special tokens that have no name of their own; the list can be set, to tokens of the vocabulary."""
        return list(self._extra)

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Sequence[str | AddedToken]) -> None:
        extra = _extra_tokens(tokens)
        for token in extra:
            if self._id_of(token.content) is None:
                raise ValueError(
                    f"extra_special_tokens has {token.content!r}, which is no token of the vocabulary;"
                    " add_special_tokens adds it"
                )
        self._extra = []
        self._name_special({}, extra)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The former name of `extra_special_tokens`."""
        return self.extra_special_tokens

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[str | AddedToken]) -> None:
        self.extra_special_tokens = tokens

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of `extra_special_tokens`."""
        return self.convert_tokens_to_ids(self.extra_special_tokens)

    # ---- sizes and tables

    @property
    def vocab_size(self) -> int:
        """Rows of the model's vocabulary, added tokens not counted: as many as it has lines.

        More than it has tokens where a line stands there twice; the row of the earlier one stays reserved.
        """
        return self._vocab_rows.size

    def __len__(self) -> int:
        """Rows that an embedding table needs for all tokens, added ones too: one more than the greatest id."""
        return self._size

    def __bool__(self) -> bool:
        return True

    def get_vocab(self) -> dict[str, int]:
        """token -> id, with the added tokens."""
        return self._base | {token: id for token, (id, _) in self._added.items()}

    @property
    def vocab(self) -> dict[str, int]:
        """token -> id, as `get_vocab`."""
        return self.get_vocab()

    def get_added_vocab(self) -> dict[str, int]:
        """token -> id of the tokens that are never split."""
        return {token: id for token, (id, _) in sorted(self._added.items(), key=lambda entry: entry[1][0])}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """id -> added token."""
        return dict(sorted(self._added.values(), key=lambda entry: entry[0]))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """token -> id of the tokens that are never split, by id."""
        return self.get_added_vocab()

    # ---- special tokens

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """{"unk_token": "[UNK]", ...}."""
        return {name: self._special[name] for name in SPECIAL_NAMES}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens as strings, each once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self._extra]))

    @property
    def all_special_ids(self) -> list[int]:
        """The special tokens' ids."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = True,
    ) -> list[int]:
        """1 where an id is a special token's.

        With `already_has_special_tokens=False` the ids are those of a text (and a second one), and the mask is that of
        the row that `build_inputs_with_special_tokens` makes of them.
        """
        first, second = id_list(token_ids_0), None if token_ids_1 is None else id_list(token_ids_1)
        if not already_has_special_tokens:
            return [1, *(0 for _ in first), 1, *([] if second is None else [*(0 for _ in second), 1])]
        if second is not None:
            raise ValueError("token_ids_1 goes with already_has_special_tokens=False: a finished row is one list")
        return [int(id in self._special_ids) for id in first]

    # ---- ids and tokens

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """The id of a token, or of each of a list; [UNK]'s for what is no token."""
        if isinstance(tokens, str):
            id = self._id_of(tokens)
            return self._base[self._special["unk_token"]] if id is None else id
        given: Any = tokens
        if isinstance(given, bytes) or not isinstance(given, Iterable):
            raise ValueError(f"convert_tokens_to_ids takes a token or a list of tokens, not {given!r}")
        return [self.convert_tokens_to_ids(token) for token in given]

    @overload
    def convert_ids_to_tokens(self, ids: int | np.integer[Any], skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int], skip_special_tokens: bool = False) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | np.integer[Any] | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """The token of an id, or of each of a list or an array; None for an id that no token has.

        Raises:
            ValueError: what was given are no integers.
        """
        if is_int(ids):
            return self._tokens.get(as_int("the id", ids))
        skipped: frozenset[int] = self._special_ids if skip_special_tokens else frozenset()
        return [self._tokens.get(id) for id in id_list(ids) if id not in skipped]

    # ---- ids to text

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """The text of ids (a list, an array, or one id), or the texts of a batch of them.

        Pieces are joined and punctuation closed up; `clean_up_tokenization_spaces` also closes up contractions that
        the tokens spread ("it's" came as it ' s). Ids that no token has are left out.

        Raises:
            ValueError: what was given are no integers.
        """
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if is_int(ids):
            ids = [ids]
        if isinstance(ids, list | tuple) and len(ids) and not is_int(ids[0]) and isinstance(ids[0], Iterable):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        skipped: frozenset[int] = self._skipped_ids if skip_special_tokens else frozenset()
        tokens = [self._tokens[id] for id in id_list(ids) if id in self._tokens and id not in skipped]
        text = decoding.join(tokens)
        wanted = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return decoding.clean_up(text) if wanted else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """`decode` for each row."""
        return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in sequences]

    @staticmethod
    def clean_up_tokenization(text: str) -> str:
        """A text without the spaces before punctuation and in contractions."""
        return decoding.clean_up(text)

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """The text of tokens: ["he", "##llo", "."] -> "hello."."""
        return decoding.join(tokens)


def id_list(ids: Any) -> list[int]:
    """Token ids as a list of Python integers.

    Raises:
        ValueError: they are no flat list or array of integers.
    """
    values = ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise ValueError(f"token ids are a list or an array of integers, not {type(ids).__name__}")
    values = list(values)
    if set(map(type, values)) <= {int}:  # no look at each of a long list
        return values
    return [as_int("a token id", value) for value in values]


def _extra_tokens(tokens: Any) -> list[AddedToken]:
    """A list of special tokens, or (as some files have it) a mapping from names to them."""
    tokens = tokens.values() if isinstance(tokens, Mapping) else tokens
    if isinstance(tokens, str) or not isinstance(tokens, Iterable):
        raise ValueError(f"extra_special_tokens is a list of tokens, not {tokens!r}")
    return [special_token("each of extra_special_tokens", token) for token in tokens]
