"""A corpus to folders of token files (shards.py), read once and never held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minibert.number_like import as_int
from minibert.paths import StrPath, as_path
from minibert.pretraining.corpus import Corpus, named
from minibert.pretraining.errors import CorpusError, MissingLibrary
from minibert.pretraining.shards import SHARD_TOKENS, ShardWriter, new_folder
from minibert.tokenizer import BertTokenizer
from minibert.tokenizer.cutter import Cutter

__all__ = ["HELD_OUT", "TRAIN", "prepare_corpus"]

TRAIN, HELD_OUT = "train", "held-out"


def prepare_corpus(
    corpus: Corpus,
    tokenizer: BertTokenizer,
    folder: StrPath,
    *,
    held_out: Sequence[str] = (),
    shard_tokens: int = SHARD_TOKENS,
    progress: bool = False,
) -> dict[str, Any]:
    """Tokenizes every document of `corpus` into a new folder, with the tokenizer beside it.

    All tokens are kept. A "[MASK]" that stands in a text is taken for the characters it is written with: no special
    token gets into the data, except [UNK] for words that the vocabulary cannot write.

    Args:
        folder: must not exist, or be empty; appears when all is done, or not at all.
        held_out: names of documents (or patterns) to keep apart, for evaluation. The folder then has two folders
            inside, "train" and "held-out".
        shard_tokens: a shard is closed behind the document that makes it this long.
        progress: show a bar on stderr.

    Returns:
        What data.json says: documents, segments, tokens, shards, skipped and more; with `held_out`, that of
        "train" and of "held-out" under these names.

    Raises:
        CorpusError: nothing could be read, or a held-out name that no document has; with on_error="refuse", anything
            that could not be read.
        DataError: the folder exists or cannot be written.
    """
    shard_tokens = as_int("shard_tokens", shard_tokens, least=1)
    with new_folder(as_path(folder)) as hidden:
        parts = (TRAIN, HELD_OUT) if held_out else (TRAIN,)
        folders = {part: hidden / part if held_out else hidden for part in parts}
        for path in folders.values():
            tokenizer.save_pretrained(path)
        size = 1 + max(tokenizer.get_vocab().values())
        writers = {part: ShardWriter(folders[part], size, shard_tokens) for part in parts}
        # No added tokens: the cutter then finds no special token in a text.
        ids = Cutter(tokenizer.basic, tokenizer.wordpiece, [], {}).ids
        missing = list(held_out)
        with _bar(corpus, progress) as moved:
            for document in corpus:
                kept_apart = bool(held_out) and named(document.name, held_out)
                if kept_apart and missing:
                    missing = [pattern for pattern in missing if not named(document.name, [pattern])]
                if not writers[HELD_OUT if kept_apart else TRAIN].add(document.name, map(ids, document.sentences())):
                    corpus.complain(f"{document.name} has no token")
                moved()
        if missing:
            raise CorpusError(f"no document is called {missing[0]!r}: nothing could be held out under this name")
        if not all(writer.documents or writer.open_documents for writer in writers.values()):
            where = ", ".join(map(str, corpus.paths))
            if held_out and (writers[HELD_OUT].documents or writers[HELD_OUT].open_documents):
                raise CorpusError(f"nothing to prepare: every document of {where} is held out")
            raise CorpusError(f"nothing to prepare: {where} has no text that can be used{corpus.reason()}")
        told = {part: writer.finish(skipped=corpus.skipped) for part, writer in writers.items()}
    return told if held_out else told[TRAIN]


@contextmanager
def _bar(corpus: Corpus, wanted: bool) -> Iterator[Callable[[], Any]]:
    """A bar of the bytes read; yields what moves it."""
    if not wanted:
        yield lambda: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        raise MissingLibrary("tqdm", "a progress bar") from None

    with tqdm(total=corpus.size, unit="B", unit_scale=True, desc="prepare") as bar:
        yield lambda: bar.update(corpus.position - bar.n)
