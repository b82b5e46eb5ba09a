"""vocabulary, prepare: from texts to what a model is trained on."""

from __future__ import annotations

import argparse
from typing import Any

from minibert.cli.errors import CommandError
from minibert.cli.inputs import read_small_text
from minibert.cli.printing import print_facts, print_json, print_line
from minibert.cli.progress import watched
from minibert.models import MODELS, bundled
from minibert.options import did_you_mean
from minibert.paths import as_path
from minibert.pretraining.corpus import Corpus
from minibert.pretraining.prepare import HELD_OUT, TRAIN, prepare_corpus
from minibert.pretraining.vocabulary import train_vocabulary
from minibert.tokenizer import BertTokenizer

__all__ = ["prepare", "vocabulary"]


def vocabulary(args: argparse.Namespace) -> None:
    """`minibert vocabulary`."""
    folder = as_path(args.out)
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"{folder} is a file; --out names a folder")
    held_out = _names(args.held_out)
    corpus = Corpus(args.corpus, format=args.format, on_error=args.on_error, leave_out=held_out)
    tokenizer = train_vocabulary(
        corpus.paragraphs(),
        args.size,
        cased=args.cased,
        min_frequency=args.min_frequency,
        alphabet=args.alphabet,
        max_length=args.max_length,
        progress=watched(args),
    )
    tokenizer.save_pretrained(folder)
    summary = {"folder": str(folder), "tokens": len(tokenizer), "cased": args.cased, "skipped": corpus.skipped}
    if args.json:
        print_json(summary)
        return
    print_line(f"wrote {folder}")
    print_facts([("tokens", len(tokenizer)), ("case", "cased" if args.cased else "uncased")])


def prepare(args: argparse.Namespace) -> None:
    """`minibert prepare`."""
    held_out = _names(args.held_out)
    corpus = Corpus(args.corpus, format=args.format, on_error=args.on_error)
    tokenizer = _tokenizer(args)
    folder = as_path(args.out)
    summary = prepare_corpus(
        corpus, tokenizer, folder, held_out=held_out, shard_tokens=args.shard_tokens, progress=watched(args)
    )
    parts = {folder / part: summary[part] for part in (TRAIN, HELD_OUT)} if held_out else {folder: summary}
    for path, about in parts.items():
        kept = {name: about[name] for name in ("documents", "segments", "tokens", "vocabulary_size")}
        if args.json:
            print_json({"folder": str(path), **kept, "shards": len(about["shards"]), "skipped": about["skipped"]})
            continue
        print_line(f"wrote {path}")
        print_facts([*((name.replace("_", " "), f"{value:,}") for name, value in kept.items())])


def _tokenizer(args: argparse.Namespace) -> BertTokenizer:
    """The tokenizer; a bare vocab.txt does not say whether it is cased."""
    path = as_path(args.vocab)
    case: dict[str, Any] = {} if args.cased is None else {"do_lower_case": not args.cased}
    if not path.exists():
        path = bundled(args.vocab) or path
    if not path.exists():
        near = did_you_mean(args.vocab, MODELS) or f"; expected a folder, a vocab.txt, or one of {', '.join(MODELS)}"
        raise CommandError(f"{path}: there is no such vocabulary{near}")
    if path.is_file() and not case:
        raise CommandError(f"{path} does not say whether it is cased: add --cased or --uncased")
    return BertTokenizer.from_pretrained(path, **case)


def _names(listed: list[str]) -> list[str]:
    """Names, those of @FILE read from the file, one a line."""
    names: list[str] = []
    for name in listed:
        lines = read_small_text(name[1:]).split("\n") if name.startswith("@") else [name]
        names += [line.strip() for line in lines if line.strip()]
    return names
