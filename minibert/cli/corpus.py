"""vocabulary, prepare: from texts to what a model is trained on."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from minibert.cli.arguments import CommandError
from minibert.cli.printing import print_facts, print_json, print_line
from minibert.models import MODELS, bundled
from minibert.pretraining.corpus import Corpus
from minibert.pretraining.prepare import HELD_OUT, TRAIN, prepare_corpus
from minibert.pretraining.vocabulary import train_vocabulary
from minibert.tokenizer import BertTokenizer

__all__ = ["prepare", "vocabulary"]


def vocabulary(given: argparse.Namespace) -> None:
    """`minibert vocabulary`."""
    folder = Path(given.out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"{folder} is a file; --out names a folder")
    held_out = _names(given.held_out)
    corpus = Corpus(given.corpus, format=given.format, on_error=given.on_error, leave_out=held_out)
    tokenizer = train_vocabulary(
        corpus.paragraphs(),
        given.size,
        cased=given.cased,
        min_frequency=given.min_frequency,
        alphabet=given.alphabet,
        max_length=given.max_length,
        progress=_shown(given),
    )
    tokenizer.save_pretrained(folder)
    told = {"folder": str(folder), "tokens": len(tokenizer), "cased": given.cased, "skipped": corpus.skipped}
    if given.json:
        print_json(told)
        return
    print_line(f"wrote {folder}")
    print_facts([("tokens", len(tokenizer)), ("case", "cased" if given.cased else "uncased")])


def prepare(given: argparse.Namespace) -> None:
    """`minibert prepare`."""
    held_out = _names(given.held_out)
    corpus = Corpus(given.corpus, format=given.format, on_error=given.on_error)
    tokenizer = _tokenizer(given)
    folder = Path(given.out).expanduser()
    told = prepare_corpus(
        corpus, tokenizer, folder, held_out=held_out, shard_tokens=given.shard_tokens, progress=_shown(given)
    )
    parts = {folder / part: told[part] for part in (TRAIN, HELD_OUT)} if held_out else {folder: told}
    for path, about in parts.items():
        kept = {name: about[name] for name in ("documents", "segments", "tokens", "vocabulary_size")}
        if given.json:
            print_json({"folder": str(path), **kept, "shards": len(about["shards"]), "skipped": about["skipped"]})
            continue
        print_line(f"wrote {path}")
        print_facts([*((name.replace("_", " "), f"{value:,}") for name, value in kept.items())])


def _tokenizer(given: argparse.Namespace) -> BertTokenizer:
    """The tokenizer; a bare vocab.txt does not say whether it is cased."""
    path = Path(given.vocab).expanduser()
    case: dict[str, Any] = {} if given.cased is None else {"do_lower_case": not given.cased}
    if not path.exists():
        path = bundled(given.vocab) or path
    if not path.exists():
        known = ", ".join(MODELS)
        raise CommandError(f"{path}: there is no such vocabulary; expected a folder, a vocab.txt, or one of {known}")
    if path.is_file() and not case:
        raise CommandError(f"{path} does not say whether it is cased: add --cased or --uncased")
    return BertTokenizer.from_pretrained(path, **case)


def _names(given: list[str]) -> list[str]:
    """Names, those of @FILE read from the file."""
    names: list[str] = []
    for name in given:
        if not name.startswith("@"):
            names.append(name)
            continue
        try:
            lines = Path(name[1:]).expanduser().read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise CommandError(f"{name[1:]} is not UTF-8 text: {error.reason} at byte {error.start}") from None
        names += [line.strip() for line in lines if line.strip()]
    return names


def _shown(given: Any) -> bool:
    """A bar only where somebody looks at it."""
    return not given.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
