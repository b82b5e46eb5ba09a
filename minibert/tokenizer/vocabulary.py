"""Tokens and their ids: the vocabulary of the model, the tokens added to it, the special ones by name, ids as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from minibert.tokenizer import decoding
from minibert.tokenizer.added import AddedToken
from minibert.tokenizer.files import SPECIAL_NAMES, index_tokens, read_vocab


class Vocabulary:
    """The part of BertTokenizer that knows ids; it never looks at a text.

    `vocab` is a vocab.txt, a list of tokens (their places are the ids) or a mapping token -> id.
    """

    unk_token: str
    sep_token: str
    pad_token: str
    cls_token: str
    mask_token: str
    clean_up_tokenization_spaces: bool = False  # the default of `decode`

    def __init__(
        self,
        vocab: str | Path | Mapping[str, int] | Iterable[str],
        special: Mapping[str, str],
        extra_special_tokens: Sequence[str],
        added_tokens: Iterable[tuple[int | None, AddedToken]],
    ) -> None:
        self._base = _base_vocabulary(vocab)
        for name in SPECIAL_NAMES:
            if not isinstance(special[name], str) or not special[name]:
                raise ValueError(f"{name} must be a token, not {special[name]!r}")
            setattr(self, name, special[name])
        if self.unk_token not in self._base:
            raise ValueError(
                f"the vocabulary has no {self.unk_token!r}: words it does not cover could not be written"
                " (another name for it can be given as unk_token)"
            )
        self.extra_special_tokens = list(extra_special_tokens)
        self._added: dict[str, tuple[int, AddedToken]] = {}
        for id, token in added_tokens:
            self._add(token, id)
        self._add_missing(AddedToken(token) for token in self.all_special_tokens)

    def _add(self, token: AddedToken, id: int | None = None) -> bool:
        """Registers a token under the id it has, or under `id`, or under a new one. False: nothing changed."""
        known = self._id_of(token.content)
        if known is None:
            known = id if id is not None else 1 + max(self.get_vocab().values())
            if known in self.get_vocab().values():
                raise ValueError(
                    f"the added token {token.content!r} has the id {known} of {self.convert_ids_to_tokens(known)!r}"
                )
        changed = self._added.get(token.content) != (known, token)
        self._added[token.content] = (known, token)
        self.__dict__.pop("_tokens", None)
        return changed

    def _add_missing(self, tokens: Iterable[AddedToken]) -> None:
        for token in tokens:
            if token.content not in self._added:
                self._add(token)

    def _id_of(self, token: str) -> int | None:
        return self._added[token][0] if token in self._added else self._base.get(token)

    @cached_property
    def _tokens(self) -> dict[int, str]:
        return {id: token for token, id in self.get_vocab().items()}

    # ---- more tokens

    def add_tokens(
        self, new_tokens: str | AddedToken | Sequence[str | AddedToken], special_tokens: bool = False
    ) -> int:
        """Adds tokens that are never split; returns how many are new. The model's embeddings must grow with them.

        A plain string that is not special is looked for in the normalised text, so that an uncased tokenizer finds
        "NewTok" in any case.
        """
        tokens = [new_tokens] if isinstance(new_tokens, str | AddedToken) else list(new_tokens)
        whole = [
            AddedToken(token, normalized=not special_tokens, special=special_tokens)
            if isinstance(token, str)
            else token
            for token in tokens
        ]
        count = sum([self._add(token) for token in whole if token.content])
        self._refresh()
        return count

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """{"mask_token": "<mask>", "extra_special_tokens": [...]}: names special tokens and adds those that are new."""
        before = len(self)
        for name, value in special_tokens_dict.items():
            if name in ("extra_special_tokens", "additional_special_tokens"):
                self.extra_special_tokens = [AddedToken.from_json(_json(token)).content for token in value]
            elif name in SPECIAL_NAMES:
                setattr(self, name, AddedToken.from_json(_json(value)).content)
            else:
                names = ", ".join((*SPECIAL_NAMES, "extra_special_tokens"))
                raise ValueError(f"there is no special token called {name!r}; there are {names}")
        self._add_missing(AddedToken(token) for token in self.all_special_tokens)
        self._refresh()
        return len(self) - before

    def _refresh(self) -> None:
        """Called when tokens were added."""

    # ---- sizes and tables

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the model's vocabulary, added ones not counted; `len(tokenizer)` counts them."""
        return len(self._base)

    def __len__(self) -> int:
        return len(self.get_vocab())

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

    # ---- special tokens

    @property
    def unk_token_id(self) -> int:
        """The id of [UNK]."""
        return self.convert_tokens_to_ids(self.unk_token)

    @property
    def sep_token_id(self) -> int:
        """The id of [SEP]."""
        return self.convert_tokens_to_ids(self.sep_token)

    @property
    def pad_token_id(self) -> int:
        """The id of [PAD]."""
        return self.convert_tokens_to_ids(self.pad_token)

    @property
    def cls_token_id(self) -> int:
        """The id of [CLS]."""
        return self.convert_tokens_to_ids(self.cls_token)

    @property
    def mask_token_id(self) -> int:
        """The id of [MASK]."""
        return self.convert_tokens_to_ids(self.mask_token)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """{"unk_token": "[UNK]", ...}."""
        return {name: getattr(self, name) for name in SPECIAL_NAMES}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens as strings, each once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens]))

    @property
    def all_special_ids(self) -> list[int]:
        """The special tokens' ids."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def get_special_tokens_mask(self, token_ids: Sequence[int]) -> list[int]:
        """1 where an id is a special token's."""
        special = set(self.all_special_ids)
        return [int(int(id) in special) for id in token_ids]

    # ---- ids and tokens

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str] | tuple[str, ...]) -> list[int]: ...
    def convert_tokens_to_ids(self, tokens: str | list[str] | tuple[str, ...]) -> int | list[int]:
        """The id of a token, or of each of a list; [UNK]'s for what is no token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        id = self._id_of(tokens)
        return self._base[self.unk_token] if id is None else id

    @overload
    def convert_ids_to_tokens(self, ids: int | np.integer[Any], skip_special_tokens: bool = False) -> str | None: ...
    @overload
    def convert_ids_to_tokens(self, ids: Iterable[int], skip_special_tokens: bool = False) -> list[str | None]: ...
    def convert_ids_to_tokens(
        self, ids: int | np.integer[Any] | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str | None] | None:
        """The token of an id, or of each of a list; None for an id that no token has."""
        if isinstance(ids, int | np.integer):
            return self._tokens.get(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._tokens.get(int(id)) for id in ids if int(id) not in skipped]

    # ---- ids to text

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> Any:
        """The text of ids (a list, an array, or one id), or the texts of a batch of them.

        Pieces are joined and punctuation closed up; `clean_up_tokenization_spaces` also closes up contractions that
        the tokens spread ("it's" came as it ' s). Ids that no token has are left out.
        """
        ids = token_ids.tolist() if hasattr(token_ids, "tolist") else token_ids
        if isinstance(ids, int):
            ids = [ids]
        if len(ids) and isinstance(ids[0], list | tuple):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids]
        special = {token for token, (_, added) in self._added.items() if added.special} if skip_special_tokens else ()
        tokens = [token for token in self.convert_ids_to_tokens(ids) if token is not None and token not in special]
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

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """The text of tokens: ["he", "##llo", "."] -> "hello."."""
        return decoding.join(tokens)


def _base_vocabulary(vocab: Any) -> dict[str, int]:
    base: dict[str, int]
    if isinstance(vocab, str | Path):
        base = read_vocab(vocab)
    elif isinstance(vocab, Mapping):
        base = dict(vocab)
    elif isinstance(vocab, Iterable):
        base = index_tokens(vocab, "list")
    else:
        raise ValueError(f"vocab must be a file, a list of tokens or a mapping token -> id, not {type(vocab).__name__}")
    if not base:
        raise ValueError("the vocabulary is empty")
    entries: Iterable[tuple[Any, Any]] = base.items()
    if not all(isinstance(token, str) and isinstance(id, int) and id >= 0 for token, id in entries):
        raise ValueError("a vocabulary maps strings to non-negative integers")
    if len(set(base.values())) != len(base):
        raise ValueError("two tokens of the vocabulary have the same id")
    return base


def _json(token: Any) -> Any:
    return token.to_json() if isinstance(token, AddedToken) else token
