"""tokenize, convert, average, info: what lies in a checkpoint's files."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minibert.checkpoint import (
    CONFIG_FILES,
    TOKENIZER_FILES,
    WEIGHT_FILES,
    Conversion,
    Weights,
    guess_architecture,
    modern_name,
    read_weights,
    resolve,
)
from minibert.checkpoint import average as average_checkpoints
from minibert.checkpoint import convert as convert_checkpoint
from minibert.checkpoint.errors import CheckpointError
from minibert.checkpoint.load import load_config
from minibert.checkpoint.names import is_weight
from minibert.cli.answering import Outcome, answer_texts, as_json, headed
from minibert.cli.errors import CommandError
from minibert.cli.printing import clip, print_facts, print_json, print_line, print_table
from minibert.cli.progress import ProgressLine, watched
from minibert.cli.reading import Line, Texts, split_pair
from minibert.cli.suggestions import with_model_suggestion
from minibert.config import BertConfig
from minibert.models import MINI
from minibert.tokenizer import BertTokenizer

__all__ = ["average", "convert", "info", "tokenize"]

TEXTS_AT_ONCE = 128


def _source(args: argparse.Namespace) -> dict[str, Any]:
    return {"revision": args.revision, "cache_dir": args.cache_dir, "local_files_only": args.offline}


# ---- tokenize


def tokenize(args: argparse.Namespace) -> int:
    """`minibert tokenize`."""
    texts = Texts(args, TEXTS_AT_ONCE)
    try:
        tokenizer = BertTokenizer.from_pretrained(args.model, **_source(args))
    except ValueError as error:
        raise CommandError(with_model_suggestion(str(error), args.model)) from error

    def item_of(line: Line) -> tuple[str, str | None]:
        return split_pair(line.text) if args.pairs else (line.text, None)

    def answers(items: Sequence[tuple[str, str | None]]) -> list[Any]:
        special = not args.no_special_tokens
        return [tokenizer(*item, add_special_tokens=special, return_offsets_mapping=True) for item in items]

    show = as_json(_token_fields) if args.json else headed(_both_texts, _print_tokens)
    return answer_texts(args, texts, item_of=item_of, answers=answers, show=show)


def _both_texts(outcome: Outcome) -> str:
    text, pair = outcome.item
    return text if pair is None else f"{text} | {pair}"


def _token_fields(outcome: Outcome) -> dict[str, Any]:
    (text, pair), row = outcome.item, outcome.value
    texts = {"text": text} if pair is None else {"text": text, "text_pair": pair}
    ids, types, spans = row["input_ids"], row["token_type_ids"], row["offset_mapping"]
    return {**texts, "tokens": row.tokens(), "input_ids": ids, "token_type_ids": types, "offsets": spans}


def _print_tokens(outcome: Outcome) -> None:
    (text, pair), row = outcome.item, outcome.value
    names, owners = row.tokens(), row.sequence_ids()
    rows = []
    for i, (start, end) in enumerate(row["offset_mapping"]):
        whole = {0: text, 1: pair or ""}.get(-1 if owners[i] is None else int(owners[i] or 0), "")
        rows.append((row["input_ids"][i], names[i], row["token_type_ids"][i], f"{start}:{end}", whole[start:end]))
    print_table(("id", "token", "type", "characters", "text"), rows, right=(0, 2))


# ---- convert, average


def convert(args: argparse.Namespace) -> None:
    """`minibert convert`."""
    options = {"dtype": args.dtype, "max_shard_size": args.max_shard_size, **_source(args)}
    with ProgressLine(watched(args)) as line:
        done = convert_checkpoint(args.source, args.target, on_tensor=_shown_on(line), **options)
    _report(done, args.json)


def average(args: argparse.Namespace) -> None:
    """`minibert average`."""
    options = {"shares": args.shares, "dtype": args.dtype, **_source(args)}
    with ProgressLine(watched(args)) as line:
        done = average_checkpoints(args.sources, args.out, on_tensor=_shown_on(line), **options)
    _report(done, args.json)


def _shown_on(line: ProgressLine) -> Callable[[int, int], None]:
    """What shows the tensors written so far, and their total, on the line."""
    return lambda done, total: line.show(lambda _: f"{done} of {total} tensors written")


def _report(done: Conversion, json: bool) -> None:
    files = [path.name for path in done.files]
    if json:
        print_json(
            {
                "folder": str(done.folder),
                "files": files,
                "tensors": done.tensors,
                "parameters": done.parameters,
                "dtype": done.dtype,
                "left_out": done.left_out,
            }
        )
        return
    print_line(f"wrote {done.folder}")
    print_facts(
        [
            ("files", ", ".join(files)),
            ("tensors", done.tensors),
            ("parameters", f"{done.parameters:,}"),
            ("stored as", done.dtype),
            ("left out", ", ".join(done.left_out) or "nothing"),
        ]
    )


# ---- info


def info(args: argparse.Namespace) -> None:
    """`minibert info`."""
    if args.name is not None and args.model is not None:
        raise CommandError("the model came both as an argument and with --model; give one of them")
    name = args.name or args.model or MINI
    try:
        folder = resolve(name, files=CONFIG_FILES + WEIGHT_FILES + TOKENIZER_FILES, **_source(args))
    except CheckpointError as error:
        raise CommandError(with_model_suggestion(str(error), name)) from error
    weights = read_weights(folder)
    config = load_config(folder, weights, {})
    named = config.extra.get("architectures") or [guess_architecture(map(modern_name, weights))]
    parts, vocabulary = _parts(weights), _vocabulary(folder)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    if args.json:
        summary = {part: {"tensors": n, "parameters": p, "stored": s} for part, (n, p, s) in parts.items()}
        top = {"folder": str(folder), "architecture": named[0], "config": config.to_dict()}
        print_json({**top, "parts": summary, "files": files, "tokenizer": vocabulary})
        return
    print_line(str(folder))
    print_facts([("architecture", named[0]), *_sizes(config, weights)])
    print_line()
    print_line("parameters")
    total = ("all", sum(n for n, _, _ in parts.values()), f"{sum(p for _, p, _ in parts.values()):,}", "")
    rows = [(part, n, f"{p:,}", stored) for part, (n, p, stored) in parts.items()]
    print_table(("part", "tensors", "parameters", "stored as"), [*rows, total], right=(1, 2))
    print_line()
    print_line("files")
    print_table(("name", "bytes"), [(file, f"{size:,}") for file, size in files.items()], right=(1,))
    print_line()
    print_line("tokenizer")
    print_facts((name, _spelled(value)) for name, value in vocabulary.items())


def _sizes(config: BertConfig, weights: Weights) -> list[tuple[str, Any]]:
    """What config.json says, with the letters that the code has for it."""
    sizes: list[tuple[str, Any]] = [
        ("layers", config.num_hidden_layers),
        ("hidden size (H)", config.hidden_size),
        ("heads (N)", config.num_attention_heads),
        ("feed-forward size (F)", config.intermediate_size),
        ("vocabulary (V)", config.vocab_size),
        ("positions", config.max_position_embeddings),
        ("token types", config.type_vocab_size),
        ("activation", config.hidden_act),
    ]
    if any(name.startswith("classifier.") for name in weights):
        sizes.append(("labels", clip(", ".join(config.id2label.values()))))
    return sizes


def _parts(weights: Weights) -> dict[str, tuple[int, int, str]]:
    """Part -> number of tensors, of parameters, and dtypes on disk. A tied matrix that is stored twice counts twice."""
    parts: dict[str, tuple[int, int, set[str]]] = {}
    for name in weights:
        if not is_weight(modern_name(name)):
            continue
        pieces = modern_name(name).removeprefix("bert.").split(".")
        part = ".".join(pieces[:2]) if pieces[0] == "cls" else pieces[0]
        count, numbers, stored = parts.get(part, (0, 0, set()))
        parts[part] = (count + 1, numbers + math.prod(weights.shape(name)), stored | {weights.stored(name)})
    return {part: (count, numbers, ", ".join(sorted(stored))) for part, (count, numbers, stored) in parts.items()}


def _vocabulary(folder: Path) -> dict[str, Any]:
    """The tokenizer beside the weights, if there is one."""
    if not any((folder / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
        return {"tokens": 0}
    tokenizer = BertTokenizer.from_pretrained(folder)
    ids = tokenizer.convert_tokens_to_ids(tokenizer.all_special_tokens)
    return {
        "tokens": len(tokenizer),
        "case": "uncased" if tokenizer.basic.do_lower_case else "cased",
        "longest row": tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None,
        "special tokens": dict(zip(tokenizer.all_special_tokens, ids, strict=True)),
    }


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{token} {id}" for token, id in value.items())
    return "not limited" if value is None else value
