"""The special tokens by name, as attributes: `tokenizer.mask_token`, `tokenizer.mask_token_id`, and setting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minibert.number_like import as_int
from minibert.tokenizer.added import AddedToken

if TYPE_CHECKING:
    from minibert.tokenizer.vocabulary import Vocabulary

SPECIAL_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class SpecialToken:
    """The attribute `mask_token` and its like: a string. What it is set to must be a token already.

    Raises:
        ValueError: set to something that is no token of the vocabulary.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Vocabulary, owner: type) -> str:
        if tokenizer is None:
            return self  # type: ignore[unreachable]  # seen on the class, as by documentation tools
        return tokenizer._special[self.name]

    def __set__(self, tokenizer: Vocabulary, value: str | AddedToken) -> None:
        token = special_token(self.name, value)
        if tokenizer._id_of(token.content) is None:
            raise ValueError(
                f"{self.name} cannot be {token.content!r}, which is no token of the vocabulary;"
                f" add_special_tokens({{{self.name!r}: {token.content!r}}}) adds it"
            )
        tokenizer._name_special({self.name: token})


class SpecialTokenId:
    """The attribute `mask_token_id` and its like; setting it names the token that has this id."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.token_name = name, name.removesuffix("_id")

    def __get__(self, tokenizer: Vocabulary, owner: type) -> int:
        if tokenizer is None:
            return self  # type: ignore[unreachable]
        return tokenizer.convert_tokens_to_ids(tokenizer._special[self.token_name])

    def __set__(self, tokenizer: Vocabulary, value: int) -> None:
        token = tokenizer.convert_ids_to_tokens(as_int(self.name, value))
        if token is None:
            raise ValueError(f"{self.name} cannot be {value}: no token has that id")
        setattr(tokenizer, self.token_name, token)


class AbsentToken:
    """`bos_token`, `eos_token` and their ids: None, since BERT has neither; [CLS] and [SEP] stand at the ends."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Vocabulary, owner: type) -> None:
        return None

    def __set__(self, tokenizer: Vocabulary, value: Any) -> None:
        if value is not None:
            raise ValueError(
                f"BERT has no {self.name.removesuffix('_id')}: a row begins with cls_token and ends with sep_token"
            )


def special_token(name: str, value: Any) -> AddedToken:
    """The special token `name` from what a caller or a file gives.

    Raises:
        ValueError: it is no token, or an empty one.
    """
    try:
        token = AddedToken.from_json(value, special=True)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not token.content:
        raise ValueError(f"{name} must be a token, not {value!r}")
    return token
