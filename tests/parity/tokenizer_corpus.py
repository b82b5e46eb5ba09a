"""Holds minibert's tokenizer against the `tokenizers` library on a folder of text, and measures its speed.

    python -m tests.parity.tokenizer_corpus FOLDER [--lines 100000] [--model FOLDER]

Every line of every file below FOLDER (up to --lines, spread over the files) is tokenized by both, uncased with the
published vocabulary, and cased with a vocabulary of 8,192 tokens trained on the same text; ids, types, masks, offsets
and word numbers must be equal. Exit status 1 if a line differs. The speed is that of one core, cache cold at the start.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from minibert.tokenizer import BertTokenizer

FIELDS = ("input_ids", "token_type_ids", "attention_mask", "offset_mapping")


def lines_of(folder: Path) -> Iterator[str]:
    """Lines of all files below a folder, one of each file in turn, so that the first 100,000 come from everywhere."""
    files = [path.open(encoding="utf-8", errors="replace") for path in sorted(folder.rglob("*")) if path.is_file()]
    while files:
        going = []
        for file in files:
            line = file.readline()
            if line:
                going.append(file)
                yield line
            else:
                file.close()
        files = going


def train_cased(lines: list[str], size: int) -> list[str]:
    """A cased WordPiece vocabulary."""
    from tokenizers import BertWordPieceTokenizer

    trainer = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    trainer.train_from_iterator(lines, vocab_size=size, show_progress=False)
    vocab = trainer.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def oracle_of(tokenizer: BertTokenizer) -> Any:
    """transformers' BertTokenizer with the same vocabulary and settings."""
    from transformers import BertTokenizer as Oracle

    return Oracle(
        vocab=dict(tokenizer.get_vocab()),
        do_lower_case=tokenizer.basic.do_lower_case,
        strip_accents=tokenizer.basic.strip_accents,
        tokenize_chinese_chars=tokenizer.basic.tokenize_chinese_chars,
    )


def differing(ours: BertTokenizer, oracle: Any, lines: list[str], batch: int = 1000) -> tuple[list[str], int]:
    """The lines that the two tokenize differently, and the number of tokens."""
    different: list[str] = []
    tokens = 0
    for start in range(0, len(lines), batch):
        part = lines[start : start + batch]
        got = ours(part, return_offsets_mapping=True)
        want = oracle(part, return_offsets_mapping=True)
        for k, line in enumerate(part):
            tokens += len(got["input_ids"][k])
            equal = all(list(got[field][k]) == list(want[field][k]) for field in FIELDS)
            if not equal or got.word_ids(k) != want.word_ids(k):
                different.append(line)
    return different, tokens


def speed(tokenizer: BertTokenizer, lines: list[str]) -> float:
    """Tokens a second of one core: `tokenizer(line)` for every line, starting with an empty cache."""
    tokenizer._cutter.cache.clear()
    start = time.perf_counter()
    tokens = sum(len(tokenizer(line)["input_ids"]) for line in lines)
    return tokens / (time.perf_counter() - start)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of text files")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument(
        "--model", type=Path, help="a folder with an uncased tokenizer; the published MiniLM's if not given"
    )
    options = parser.parse_args(argv)
    lines = list(islice(lines_of(options.folder), options.lines))
    if not lines:
        parser.error(f"there is no text in {options.folder}")

    if options.model is None:
        from minibert.published import fetch

        options.model = fetch("minilm")
    uncased = BertTokenizer.from_pretrained(options.model, model_max_length=None)
    cased = BertTokenizer(train_cased(lines, 8192), do_lower_case=False)
    status = 0
    for name, tokenizer in (("uncased", uncased), ("cased", cased)):
        different, tokens = differing(tokenizer, oracle_of(tokenizer), lines)
        rate = speed(tokenizer, lines)
        print(
            f"{name}: {len(lines)} lines, {tokens} tokens, {len(different)} lines differ, {rate:,.0f} tokens a second"
        )
        for line in different[:5]:
            print("   ", ascii(line))
        status |= bool(different)
    return status


if __name__ == "__main__":
    sys.exit(main())
