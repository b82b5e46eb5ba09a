"""A corpus to a folder of token files (shards.py), read once and never held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minibert.pretraining.corpus import Corpus
from minibert.pretraining.errors import CorpusError
from minibert.pretraining.shards import SHARD_TOKENS, ShardWriter, new_folder
from minibert.tokenizer import BertTokenizer
from minibert.tokenizer.cutter import Cutter

__all__ = ["prepare_corpus"]


def prepare_corpus(
    corpus: Corpus,
    tokenizer: BertTokenizer,
    folder: str | Path,
    *,
    shard_tokens: int = SHARD_TOKENS,
    progress: bool = False,
) -> dict[str, Any]:
    """Tokenizes every document of `corpus` into a new folder, with the tokenizer beside it.

    All tokens are kept. A "[MASK]" that stands in a text is taken for the characters it is written with: no special
    token gets into the data, except [UNK] for words that the vocabulary cannot write.

    Args:
        folder: must not exist, or be empty; appears when all is done, or not at all.
        shard_tokens: a shard is closed behind the document that makes it this long.
        progress: show a bar on stderr.

    Returns:
        What data.json says: documents, segments, tokens, shards, skipped and more.

    Raises:
        CorpusError: nothing could be read, or with on_error="refuse" something could not.
        DataError: the folder exists or cannot be written.
    """
    # No added tokens: the cutter then finds no special token in a text.
    ids = Cutter(tokenizer.basic, tokenizer.wordpiece, [], {}).ids
    with new_folder(Path(folder).expanduser()) as hidden:
        tokenizer.save_pretrained(hidden)
        writer = ShardWriter(hidden, len(tokenizer), shard_tokens)
        with _bar(corpus, progress) as moved:
            for document in corpus:
                if not writer.add(document.name, map(ids, document.sentences())):
                    corpus.complain(f"{document.name} has no token")
                moved()
        told = writer.finish(skipped=corpus.skipped)
        if not told["documents"]:
            raise CorpusError(f"nothing to prepare: no document in {', '.join(map(str, corpus.paths))} could be used")
    return told


@contextmanager
def _bar(corpus: Corpus, wanted: bool) -> Iterator[Any]:
    """A bar of the bytes read; yields what moves it."""
    if not wanted:
        yield lambda: None
        return
    from tqdm import tqdm

    with tqdm(total=corpus.size, unit="B", unit_scale=True, desc="prepare") as bar:
        yield lambda: bar.update(corpus.position - bar.n)
