"""The doubling test: how the time of every public entry that takes texts grows with what it is given.

`python -m tests.doubling` prints the table; `tests/test_doubling.py` asserts a quick form of it.

Each case makes a task of size n. The processor time of sizes n and 4n is compared: linear work takes 4 times as long,
quadratic work 16 times. The sizes are such that the larger task takes some tens of milliseconds, and each time is the
least of several, so that what else the machine does hardly counts.
"""

from __future__ import annotations

import argparse
import gc
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minibert import BertConfig, BertForQuestionAnswering, pipeline
from minibert.pipelines.entities import LabelledToken, entities_of, longest_of_overlapping
from minibert.pretraining.sentences import split_sentences
from minibert.tokenizer import AddedToken, BertTokenizer
from tests.doubling_corpora import corpus_cases

BOUND = 9.0  # of time(4n) / time(n): between 4 (linear) and 16 (quadratic)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["a", "b", "the", "##s", "##e", "中", "文", ".", ",", "cat", "word", "##word", "\u0915", "##\u0940"]

Task = Callable[[], Any]
CASES: dict[str, tuple[int, Callable[[int], Task]]] = {}


def case(name: str, size: int) -> Callable[[Callable[[int], Task]], Callable[[int], Task]]:
    """Registers a maker of tasks under a name; `size` is the smaller n."""

    def register(make: Callable[[int], Task]) -> Callable[[int], Task]:
        CASES[name] = size, make
        return make

    return register


def fresh(count: int = 0, **flags: Any) -> BertTokenizer:
    """A tokenizer with `count` added tokens."""
    tokenizer = BertTokenizer([*SPECIAL, *WORDS])
    tokenizer.add_tokens([AddedToken(f"new{k}token", **flags) for k in range(count)])
    return tokenizer


@cache
def plain() -> BertTokenizer:
    return fresh()


# ---- texts of one kind, each through the calls that look at every character

TEXTS: dict[str, Callable[[int], str]] = {
    "words": lambda n: "the cat sat. " * (n // 13),
    "one word": lambda n: "a" * n,
    "one word of marks": lambda n: "\u0301" * n,
    "marks of two classes": lambda n: "a" + "\u0301\u0323" * (n // 2),
    "one accented word": lambda n: "é" * n,
    "Chinese": lambda n: "中文" * (n // 2),
    "punctuation": lambda n: ".,!?" * (n // 4),
    "rare punctuation": lambda n: "\U00012470" * n,
    "spaces": lambda n: " \t\u3000" * (n // 3),
    "special tokens": lambda n: "[MASK]" * (n // 6),
    "brackets": lambda n: "[" * n,
    "controls": lambda n: "\x00" * n,
    "lone surrogates": lambda n: "\ud800" * n,
    "Hindi": lambda n: "\u0915\u0940 " * (n // 3),
}


def _add_text_cases() -> None:
    for name, text in TEXTS.items():
        CASES[f"encode: {name}"] = 20_000, lambda n, text=text: _with(text(n), lambda it: plain().encode(it))
        CASES[f"offsets: {name}"] = 8_000, lambda n, text=text: _with(
            text(n), lambda it: plain()(it, return_offsets_mapping=True).word_ids()
        )
        CASES[f"sentences: {name}"] = 20_000, lambda n, text=text: _with(text(n), split_sentences)


def _with(value: Any, function: Callable[[Any], Any]) -> Task:
    return lambda: function(value)


_add_text_cases()


@case("sentences: ends and openers", 20_000)
def _sentences(n: int) -> Task:
    return _with('He said. "(' * (n // 11), split_sentences)


@case("sentences: stops without an end", 20_000)
def _stops(n: int) -> Task:
    return _with("." * n + ")" * n + " " * n, split_sentences)


@case("sentences: stops before a letter", 2_000)
def _many_stops(n: int) -> Task:
    return _with("." * n + "x", split_sentences)


@case("sentences: a gap before a small letter", 2_000)
def _gap(n: int) -> Task:
    return _with("He said." + " " * n + "and", split_sentences)


@case("sentences: openers before a small letter", 2_000)
def _openers(n: int) -> Task:
    return _with("He said. " + "( " * (n // 2) + "and", split_sentences)


@case("sentences: full stops without spaces", 2_000)
def _full_stops(n: int) -> Task:
    return _with("。" * n + "」" * n, split_sentences)


@case("sentences: abbreviations", 20_000)
def _abbreviations(n: int) -> Task:
    return _with("Mr. Smith et al. " * (n // 17), split_sentences)


# ---- added tokens


@case("add_tokens, all at once", 2_000)
def _add_at_once(n: int) -> Task:
    return lambda: fresh(n)


@case("add_tokens, one by one", 2_000)
def _add_one_by_one(n: int) -> Task:
    def task() -> None:
        tokenizer = fresh()
        for k in range(n):
            tokenizer.add_tokens(f"new{k}token")

    return task


@case("add_tokens and encode in turn", 1_000)
def _add_and_encode(n: int) -> Task:
    def task() -> None:
        tokenizer = fresh()
        for k in range(n):
            tokenizer.add_tokens(AddedToken(f"new{k}token"))
            tokenizer.encode("the cat")

    return task


@case("add_special_tokens", 2_000)
def _add_special(n: int) -> Task:
    return lambda: fresh().add_special_tokens({"extra_special_tokens": [f"<{k}>" for k in range(n)]})


@case("encode, by the number of added tokens", 1_000)
def _many_added(n: int) -> Task:
    tokenizer, text = fresh(n), "nest of new1tokens and new2token " * 300
    return lambda: tokenizer.encode(text)


@case("encode, by the number in normalised text", 1_000)
def _many_normalized(n: int) -> Task:
    tokenizer, text = fresh(n, normalized=True, special=False), "nest of New1tokens and new2token " * 300
    return lambda: tokenizer.encode(text)


@case("encode, added tokens that take spaces", 3_000)
def _spaces_taken(n: int) -> Task:
    tokenizer = fresh()
    tokenizer.add_tokens([AddedToken("<l>", lstrip=True, rstrip=True), AddedToken("<w>", single_word=True)])
    return _with("  <l>  a<w> " * n, tokenizer.encode)


@case("encode, nested added tokens", 10_000)
def _nested(n: int) -> Task:
    tokenizer = fresh()
    tokenizer.add_tokens([AddedToken("x" * k + "y") for k in range(1, 50)])
    return _with("x" * n, tokenizer.encode)


# ---- ids back to text


@case("decode", 20_000)
def _decode(n: int) -> Task:
    return _with([5, 8, 12, 4] * (n // 4), lambda ids: plain().decode(ids, skip_special_tokens=True))


@case("decode, pieces of one word", 20_000)
def _decode_pieces(n: int) -> Task:
    return _with([8] * n, plain().decode)


@case("batch_decode with as many added tokens as rows", 500)
def _batch_decode(n: int) -> Task:
    tokenizer = fresh(n)
    return _with([[5, 6, 7]] * n, lambda rows: tokenizer.batch_decode(rows, skip_special_tokens=True))


@case("convert_ids_to_tokens and back", 20_000)
def _convert(n: int) -> Task:
    return lambda: plain().convert_tokens_to_ids(plain().convert_ids_to_tokens(np.arange(n) % 15))


@case("len, by calls and added tokens", 3_000)
def _len(n: int) -> Task:
    tokenizer = fresh(n)
    return lambda: [len(tokenizer) + tokenizer.pad_token_id for _ in range(n)]


# ---- batches and windows


@case("a batch of short texts, padded", 1_000)
def _batch(n: int) -> Task:
    return _with(["the cat", "a"] * (n // 2), lambda texts: plain()(texts, padding=True, return_tensors="np"))


@case("windows", 4_000)
def _windows(n: int) -> Task:
    options = {"truncation": True, "max_length": 64, "stride": 16, "return_overflowing_tokens": True}
    return _with("a " * n, lambda text: plain()(text, return_offsets_mapping=True, **options))


@case("windows of a pair", 4_000)
def _pair_windows(n: int) -> Task:
    options = {"truncation": "only_second", "max_length": 64, "stride": 16, "return_overflowing_tokens": True}
    return _with("a " * n, lambda text: plain()("the cat", text, **options))


@case("every token and character looked up", 1_000)
def _look_ups(n: int) -> Task:
    def task() -> None:
        batch = plain()("the cats " * (n // 4))
        for token in range(1, n // 4):
            batch.token_to_chars(token), batch.token_to_word(token), batch.word_to_tokens(token)
            batch.char_to_token(token * 2), batch.word_to_chars(token // 2), batch.char_to_word(token)

    return task


@case("pad", 500)
def _pad(n: int) -> Task:
    return _with([{"input_ids": [1] * (k % 9)} for k in range(n)], plain().pad)


@case("texts given as words", 3_000)
def _split(n: int) -> Task:
    return _with(["the", "cats"] * n, lambda words: plain()(words, is_split_into_words=True).word_ids())


# ---- vocabularies


@case("a vocabulary as a list", 2_000)  # one that leaves the processor's cache takes longer a token
def _vocabulary(n: int) -> Task:
    return _with([*SPECIAL, *(f"w{k}" for k in range(n))], BertTokenizer)


@case("a vocabulary that repeats itself", 2_000)
def _repeats(n: int) -> Task:
    return _with([*SPECIAL, *(f"w{k % (n // 2)}" for k in range(n))], BertTokenizer)


@case("save_pretrained and from_pretrained", 4_000)
def _files(n: int) -> Task:
    def task() -> None:
        with TemporaryDirectory() as folder:
            tokenizer = BertTokenizer([*SPECIAL, *(f"w{k}" for k in range(n))])
            tokenizer.add_tokens([f"<{k}>" for k in range(n // 4)])
            tokenizer.save_pretrained(Path(folder))
            BertTokenizer.from_pretrained(folder)

    return task


# ---- answers


@case("entities of a row", 400)
def _entities(n: int) -> Task:
    scores = np.eye(3)
    tokens = [LabelledToken("x", scores[k % 3], k, 2 * k, 2 * k + 1, k % 4 == 1) for k in range(n)]
    return lambda: entities_of(tokens, "average", {0: "O", 1: "B-X", 2: "I-X"}, " ".join)


@case("entities of one kind", 400)
def _one_entity(n: int) -> Task:
    tokens = [LabelledToken("x", np.ones(1), k, k, k + 1, True) for k in range(n)]
    return lambda: entities_of(tokens, "max", {0: "I-X"}, plain().convert_tokens_to_string)


@case("entities that overlap", 4_000)
def _overlap(n: int) -> Task:
    found = [{"start": k, "end": k + 9, "score": 0.5} for k in range(n)]
    return lambda: longest_of_overlapping(found)


# ---- corpora, and questions about long texts

CASES.update(corpus_cases())


@cache
def answerer() -> Any:
    """A pipeline for questions whose rows have 16 tokens, so that a text has many windows."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = BertConfig(vocab_size=len(plain()), max_position_embeddings=16, **sizes)
    return pipeline("question-answering", BertForQuestionAnswering(config).eval(), tokenizer=plain())


@case("windows of a context, answered", 400)
def _answers(n: int) -> Task:
    return lambda: answerer()(question="the cat", context="the cat sat " * (n // 12), top_k=3)


# ---- measuring


def seconds(task: Task, repeats: int) -> float:
    """The least processor time of several runs; a short task is run in a loop of about 10 ms."""
    began = time.process_time()
    task()
    loops = 1 + int(0.01 / max(time.process_time() - began, 1e-5))
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(loops):
            task()
        best = min(best, (time.process_time() - began) / loops)
    return best


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, and without garbage collection, whose cost is that of all objects, not of the task's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if enabled:
            gc.enable()


def growth(name: str, scale: float = 1.0, repeats: int = 3) -> tuple[int, float, float, float]:
    """(n, seconds at n, seconds at 4n, their ratio) of a case; a ratio above the bound is measured twice more."""
    size, make = CASES[name]
    n = int(size * scale)
    with _quiet():
        small, large = make(n), make(4 * n)
        best = float("inf"), float("inf")
        for _ in range(3):
            best = min(best[0], seconds(small, repeats)), min(best[1], seconds(large, repeats))
            if best[1] <= BOUND * best[0]:
                break
    return n, best[0], best[1], best[1] / best[0]


def main() -> None:
    """Prints the table of all cases."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=float, default=4.0, help="sizes as a multiple of the quick form's")
    parser.add_argument("-k", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    print(f"{'case':50} {'n':>8} {'ms at n':>9} {'ms at 4n':>9} {'ratio':>6}   (4: linear, 16: quadratic)")
    slow = 0
    for name in CASES:
        if args.k in name:
            n, small, large, ratio = growth(name, args.scale)
            slow += ratio > BOUND
            print(f"{name:50} {n:8} {1e3 * small:9.2f} {1e3 * large:9.2f} {ratio:6.1f}{'  !' if ratio > BOUND else ''}")
    raise SystemExit(f"{slow} of {len(CASES)} cases grow faster than they should" if slow else 0)


if __name__ == "__main__":
    main()
