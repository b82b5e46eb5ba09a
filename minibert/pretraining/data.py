"""Prepared data as examples: epochs of masked pairs, in an order of their own, any of which can be made again."""

from __future__ import annotations

import hashlib
import tempfile
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

from minibert.heads.pretraining import NextSentence
from minibert.number_like import as_float, as_int
from minibert.paths import StrPath, as_path
from minibert.pretraining.draws import permuted
from minibert.pretraining.errors import DataError, one_line
from minibert.pretraining.masking import Masking, continuations
from minibert.pretraining.pairs import PAIR, SHORTEST, other_place, plan_shard
from minibert.pretraining.shards import INDEX, Shard, let_go, open_shards, read_index
from minibert.tokenizer import BertTokenizer

__all__ = ["Batch", "Epoch", "Places", "PretrainingData"]

Batch = dict[str, np.ndarray]
# Examples between two times of letting go of pages that were read. For a look at one place the system maps a large
# piece of a file, up to half a megabyte; so this many looks, twice, must be little memory.
_LET_GO = 64
_LONGEST = 1 << 15


class Places(NamedTuple):
    """Where examples come from: A is tokens [first_start, first_stop) of the folder, B [second_start, second_stop).

    Each (B,) int64; `negative` (B,) bool. Of a positive pair, B begins where A ends.
    """

    first_start: np.ndarray
    first_stop: np.ndarray
    second_start: np.ndarray
    second_stop: np.ndarray
    negative: np.ndarray


class PretrainingData:
    """The examples of a folder that `minibert prepare` wrote.

    Args:
        folder: with data.json.
        max_length: S, the most tokens of an example, [CLS] and both [SEP] counted.
        seed: all randomness comes from it, 0..2**64 - 1.
        short_sequence_probability: of an example to be made for a random shorter length.
        masking_probability: of a token to be masked.
        whole_word_masking: mask all pieces of a word or none.
        next_sentence: False makes every pair a positive one; needed for a folder of a single document, from which no
            negative pair can be drawn.
        verify: compare the files with their SHA-256 (about a second a gigabyte); their lengths are compared always.

    Attributes:
        vocabulary_size: V.
        tokens, documents: how many there are.
        fingerprint: of the folder's contents. The same folder, seed, options and epoch give the same examples.

    Raises:
        DataError: files that are missing, cut off or changed; options that make no sense.
    """

    def __init__(
        self,
        folder: StrPath,
        *,
        max_length: int,
        seed: int,
        short_sequence_probability: float = 0.1,
        masking_probability: float = 0.15,
        whole_word_masking: bool = False,
        next_sentence: bool = True,
        verify: bool = True,
    ) -> None:
        max_length, seed = as_int("max_length", max_length), as_int("a seed", seed)
        short_sequence_probability = as_float("short_sequence_probability", short_sequence_probability)
        masking_probability = as_float("masking_probability", masking_probability)
        self.folder = as_path(folder)
        told = read_index(self.folder)
        self.about: dict[str, Any] = told
        self.documents, self.tokens = int(told["documents"]), int(told["tokens"])
        self.vocabulary_size = int(told["vocabulary_size"])
        if not SHORTEST <= max_length <= _LONGEST:
            raise DataError(f"max_length is {SHORTEST} to {_LONGEST}, got {max_length}")
        if not 0 <= seed < 2**64:
            raise DataError(f"a seed is an integer from 0 to 2**64 - 1, got {seed}")
        if not 0 <= short_sequence_probability <= 1:
            raise DataError(f"the short-sequence probability is 0 to 1, got {short_sequence_probability}")
        if next_sentence and self.documents < 2:
            raise DataError(
                f"{self.folder} holds a single document: the second text of a negative pair comes from another one;"
                " add texts, or do without next-sentence prediction (next_sentence=False)"
            )
        self.max_length, self.seed, self.next_sentence = max_length, seed, next_sentence
        self.short_sequence_probability = short_sequence_probability
        self.fingerprint = hashlib.sha256((self.folder / INDEX).read_bytes()).hexdigest()
        self.shards = open_shards(self.folder, told, verify=verify)
        self.tokenizer = BertTokenizer.from_pretrained(self.folder)
        if self.vocabulary_size != 1 + max(self.tokenizer.get_vocab().values()):
            raise DataError(f"{self.folder / INDEX} is damaged: its vocabulary_size is not that of the tokenizer")
        tokens = tuple(token or "" for token in self.tokenizer.convert_ids_to_tokens(range(self.vocabulary_size)))
        special = tuple(self.tokenizer.all_special_ids)
        self.masking = Masking(tokens, special, self.tokenizer.mask_token_id, masking_probability, whole_word_masking)
        self.continues = continuations(tokens)  # (V,)
        self._continues: list[bool] = self.continues.tolist()  # for one look at a time
        self._first_tokens = [shard.first_token for shard in self.shards]
        self._arrays = [np.asarray(shard.tokens) for shard in self.shards]  # slices of a memmap take longer
        self._epoch: Epoch | None = None
        self._read, self._touched = 0, set[int]()

    def epoch(self, number: int) -> Epoch:
        """An epoch: every token of the corpus once, in pairs. The last one asked for is kept.

        Raises:
            DataError: a number outside 0..2**32 - 1.
        """
        number = as_int("the number of an epoch", number)
        if not 0 <= number < 2**32:
            raise DataError(f"epochs are numbered from 0 to 2**32 - 1, got {number}")
        if self._epoch is None or self._epoch.number != number:
            self._epoch = Epoch(self, number)
        return self._epoch

    def document_of(self, place: int) -> int:
        """The number of the document that holds a token of the folder."""
        shard = self.shards[self._shard_of(place)]
        return shard.first_document + _count(shard.documents, place - shard.first_token) - 1

    def name_of(self, document: int) -> str:
        """A document's name."""
        shard = [shard for shard in self.shards if shard.first_document <= document][-1]
        return shard.names()[document - shard.first_document]

    # ---- tokens by their number in the folder

    def _shard_of(self, place: int) -> int:
        return bisect_right(self._first_tokens, place) - 1

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop), all of one document; uint16 or uint32."""
        number = self._shard_of(start)
        first = self._first_tokens[number]
        self._touched.add(number)
        return self._arrays[number][start - first : stop - first]

    def span_of_document(self, place: int) -> tuple[int, int]:
        """The document that holds a token, as tokens [start, stop)."""
        shard = self.shards[self._shard_of(place)]
        d = _count(shard.documents, place - shard.first_token)
        return shard.first_token + int(shard.documents[d - 1]), shard.first_token + int(shard.documents[d])

    def text_at(self, place: int, length: int, aligned: bool) -> tuple[int, int]:
        """About `length` tokens round `place`: from the beginning of a sentence (`aligned`) or a word, to a word's end.

        Never outside the document of `place`; shorter where that is shorter, or where a word would be cut.
        """
        start, stop = self.span_of_document(place)
        shard = self.shards[self._shard_of(place)]
        first = max(start, min(place, stop - length))
        if aligned:
            j = _count(shard.segments, first - shard.first_token) - 1
            first = shard.first_token + int(shard.segments[j])
        else:
            first = self._word_start(first, start)
        last = min(first + length, stop)
        return first, last if last == stop else self._word_start(last, first + 1)

    def _word_start(self, place: int, least: int) -> int:
        """The beginning of the word that `place` is in; `place` if it begins before `least`."""
        ids = self.read(max(least, place - 32), place + 1)
        for back, id in enumerate(ids[::-1].tolist()):
            if not self._continues[id]:
                return place - back
        return place

    def let_go(self, examples: int) -> None:
        """Called with the number of examples read; now and then forgets which pages were read."""
        self._read += examples
        if self._read >= _LET_GO:
            for number in self._touched:
                self.shards[number].let_go()
            self._read, self._touched = 0, set()
            if self._epoch is not None:
                let_go(self._epoch.pairs)


def _count(index: np.ndarray, place: int) -> int:
    """How many entries of an index are at or before `place`; of its own type, else NumPy would convert all of it."""
    return int(index.searchsorted(index.dtype.type(place), "right"))


class Epoch:
    """The examples of one epoch, in its shuffled order. An example depends on (seed, epoch, index) alone.

    The pairs are planned at once, a shard at a time (milliseconds a million tokens), and kept in a temporary file.

    Raises:
        DataError: no room for that file.
    """

    def __init__(self, data: PretrainingData, number: int) -> None:
        self.data, self.number = data, number
        try:
            with tempfile.TemporaryFile() as file:
                for shard in data.shards:
                    file.write(self._plan(shard).tobytes())
                    shard.let_go()
                file.flush()
                self.pairs = np.memmap(file, PAIR, "r")  # (examples,) unshuffled; keeps what the file held
        except OSError as error:
            where = tempfile.gettempdir()
            raise DataError(
                f"cannot write the plan of an epoch, {PAIR.itemsize} bytes an example, to {where}:"
                f" {error.strerror or one_line(error)}; TMPDIR names another folder"
            ) from error

    def _plan(self, shard: Shard) -> np.ndarray:
        return plan_shard(
            shard,
            self.data.continues,
            room=self.data.max_length - 3,
            short=self.data.short_sequence_probability,
            negatives=self.data.next_sentence,
            seed=self.data.seed,
            epoch=self.number,
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def _chosen(self, first: int, last: int) -> np.ndarray:
        if not 0 <= first < last <= len(self):
            raise DataError(f"examples {first} to {last} were asked for; the epoch has {len(self)}")
        order: np.ndarray = permuted(first, last, len(self), np.uint64(self.data.seed), self.number)
        return order

    def places(self, first: int, last: int) -> Places:
        """Where examples first..last-1 come from.

        Raises:
            DataError: there are no such examples.
        """
        data, order = self.data, self._chosen(first, last)
        pairs = self.pairs[order]
        starts = pairs["start"].astype(np.int64)
        middles = starts + pairs["first"]
        begins, ends = middles.copy(), middles + pairs["second"]
        for k in np.flatnonzero(pairs["negative"]).tolist():
            span = data.span_of_document(int(starts[k]))
            place = other_place(np.uint64(data.seed), self.number, order[k], *span, data.tokens)
            begins[k], ends[k] = data.text_at(place, int(pairs["second"][k]), bool(pairs["aligned"][k]))
        return Places(starts, middles, begins, ends, pairs["negative"].astype(bool))

    def batch(self, first: int, last: int) -> Batch:
        """Examples first..last-1, B of them, as keyword arguments of `BertForPreTraining`.

        Returns:
            input_ids, attention_mask, token_type_ids, labels (B, S), next_sentence_label (B,), all int64. S is the
            longest example's length; labels are -100 where nothing was masked.

        Raises:
            DataError: there are no such examples.
        """
        data, places = self.data, self.places(first, last)
        one, two = places.first_stop - places.first_start, places.second_stop - places.second_start
        lengths = one + two + 3
        S = int(lengths.max())
        ids = np.full((last - first, S), data.tokenizer.pad_token_id, np.int64)
        ids[:, 0] = data.tokenizer.cls_token_id
        for row, a, b, c, d, n in zip(ids, *(part.tolist() for part in places[:4]), one.tolist(), strict=True):
            row[1 : n + 1] = data.read(a, b)
            row[n + 2 : n + 2 + d - c] = data.read(c, d)
        sep = data.tokenizer.sep_token_id
        rows = np.arange(last - first)
        ids[rows, one + 1] = ids[rows, lengths - 1] = sep
        examples = np.arange(first, last)
        masked, labels = data.masking(ids, examples, seed=data.seed, epoch=self.number)
        position = np.arange(S)
        real = position < lengths[:, None]
        data.let_go(last - first)
        return {
            "input_ids": masked,
            "attention_mask": real.astype(np.int64),
            "token_type_ids": (real & (position >= one[:, None] + 2)).astype(np.int64),
            "labels": labels,
            "next_sentence_label": np.where(places.negative, NextSentence.NOT_NEXT, NextSentence.IS_NEXT).astype(
                np.int64
            ),
        }
