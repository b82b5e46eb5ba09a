"""BERT's tokenizer.

To read in this order:

    basic        a text to words: clean, lower-case, strip accents, split at spaces and punctuation
    wordpiece    a word to pieces of the vocabulary
    encoding     [CLS] A [SEP] B [SEP]: windows, truncation, padding, offsets
    bert         `BertTokenizer`, which puts them together

and beside them: `characters` (Unicode tables), `added` (tokens that are never split), `cutter` (the cache of words) and
`normal_form` (the same for characters), `inputs` and `options` (what a call may be given), `batch` (what it returns),
`padding`, `decoding` (ids back to text), `vocabulary` (ids and tokens), `special` (the special ones by name), `rows`
(which token has which id) and `files` (what lies in a folder).
"""

from __future__ import annotations

from minibert.tokenizer.added import AddedToken
from minibert.tokenizer.basic import BasicTokenizer
from minibert.tokenizer.batch import BatchEncoding, CharSpan, TokenSpan
from minibert.tokenizer.bert import BertTokenizer
from minibert.tokenizer.encoding import Encoding
from minibert.tokenizer.wordpiece import WordPiece

__all__ = [
    "AddedToken",
    "BasicTokenizer",
    "BatchEncoding",
    "BertTokenizer",
    "CharSpan",
    "Encoding",
    "TokenSpan",
    "WordPiece",
]
