"""One function for each pipeline: what is asked of a line, and how the answer is shown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minibert.checkpoint.errors import CheckpointError
from minibert.cli.answering import Outcome, PipelineAnswers, Show, answer_texts, as_json, headed, in_table
from minibert.cli.errors import CommandError
from minibert.cli.printing import Table, clip, print_facts, print_json, print_line, print_table
from minibert.cli.reading import Line, Texts, line_of_argument, read_context, split_pair
from minibert.cli.suggestions import with_model_suggestion
from minibert.paths import as_path
from minibert.pipelines import pipeline

__all__ = ["answer", "classify", "features", "fill_mask", "next_sentence", "tokens"]

ROUNDS = 4
"""Batches of texts that are read at once: sorted by length they waste less on padding; more would answer later."""


def _texts(args: argparse.Namespace) -> Texts:
    return Texts(args, ROUNDS * args.batch_size)


def _pipeline(task: str, args: argparse.Namespace, **options: Any) -> Any:
    if args.model is None:
        raise CommandError(
            "the following arguments are required: --model, with a folder or a name on the hub of a model that was "
            f"fine-tuned for this, such as {args.example_model}; see minibert {args.command} --help"
        )
    try:
        pipe = pipeline(
            task,
            args.model,
            dtype=args.dtype,
            device=args.device,
            revision=args.revision,
            cache_dir=args.cache_dir,
            local_files_only=args.offline,
            batch_size=args.batch_size,
            **options,
            **({"truncation": True} if args.truncate else {}),
        )
    except CheckpointError as error:
        example = (
            f", such as {args.example_model}" if "no weights for" in str(error) and "example_model" in args else ""
        )
        raise CommandError(with_model_suggestion(str(error), args.model) + example) from error
    pipe.how_to_cut = "with --truncate" + (", or read in windows with --stride N" if task.startswith("token") else "")
    return pipe


def _text_of(line: Line) -> str:
    return line.text


def _pair_of(line: Line) -> tuple[str, str]:
    return split_pair(line.text)


def _pairs(args: argparse.Namespace, what: str) -> tuple[Texts, Callable[[Line], tuple[str, str]]]:
    """Two arguments are one pair; else each line is a pair with a TAB between."""
    if not args.text:
        return _texts(args), _pair_of
    if len(args.text) != 2:
        raise CommandError(
            f"expected two arguments, {what}; got {len(args.text)} (for many, lines with a TAB in --file)"
        )
    second = line_of_argument(args.text[1], 2)
    if second.problem:
        raise CommandError(f"argument 2: {second.problem}")
    return Texts(argparse.Namespace(text=args.text[:1], file=args.file), 1), lambda line: (line.text, second.text)


def fill_mask(args: argparse.Namespace) -> int:
    """`minibert fill-mask`."""
    texts = _texts(args)
    pipe = _pipeline("fill-mask", args, top_k=args.top_k, targets=args.targets)

    def body(outcome: Outcome) -> None:
        words = outcome.value
        several = isinstance(words[0], list)
        for mask, best in enumerate(words if several else [words], 1):
            if several:
                print_line(f"  {pipe.tokenizer.mask_token} number {mask}")
            rows = [(w["score"], w["token_str"], w["token"], clip(w["sequence"])) for w in best]
            print_table(("score", "word", "token", "text"), rows, right=(0, 2))

    show = as_json(lambda one: {"text": one.item, "predictions": one.value}) if args.json else headed(_item, body)
    return answer_texts(args, texts, item_of=_text_of, answers=PipelineAnswers(pipe), show=show)


def _item(outcome: Outcome) -> str:
    return str(outcome.item)


def features(args: argparse.Namespace) -> int:
    """`minibert features`."""
    from minibert.cli.writing import ArrayFile, check_target  # the other tasks write nothing

    target = None if args.out is None else check_target(args.out, ".npy")
    if target is not None and args.file not in (None, "-") and target.exists():
        source = as_path(args.file)
        if source.exists() and source.samefile(target):
            raise CommandError(f"--file and --out are the same file, {target}; choose another for one of them")
    texts = _texts(args)
    pooled = args.pool != "none"
    pipe = _pipeline("feature-extraction", args, pool=args.pool, normalize=args.normalize, return_tensors=True)
    answers = PipelineAnswers(pipe)  # of each text (H,) or (1, S, H)
    if target is None:
        show = _vectors_in_json(pipe, pooled) if args.json else _vectors_in_tables(pipe, pooled)
        return answer_texts(args, texts, item_of=_text_of, answers=answers, show=show)
    with ArrayFile(target) as file:

        def keep(outcomes: Sequence[Outcome]) -> None:
            for one in outcomes:
                file.add(None if one.problem else one.value if pooled else one.value[0])

        status = answer_texts(args, texts, item_of=_text_of, answers=answers, show=keep)
        shape, dtype = file.write()
    if args.json:
        print_json({"out": str(target), "shape": list(shape), "dtype": str(dtype)})
    else:
        print_line(f"wrote {target}: {shape} {dtype}")
    return status


def _vectors_in_json(pipe: Any, pooled: bool) -> Show:
    def fields(outcome: Outcome) -> dict[str, Any]:
        if pooled:
            return {"text": outcome.item, "features": outcome.value.tolist()}
        tokens = _token_names(pipe, outcome.item)
        return {"text": outcome.item, "tokens": tokens, "features": outcome.value[0].tolist()}

    return as_json(fields)


def _vectors_in_tables(pipe: Any, pooled: bool) -> Show:
    if pooled:
        return in_table(
            Table(("length", "first numbers", "text")),
            lambda one: [(*_glance(one.value), clip(one.item, 60))],
            lambda text: ("", "not answered", clip(text, 60)),
        )

    def body(outcome: Outcome) -> None:
        names = _token_names(pipe, outcome.item)
        rows = [(*_glance(v), name) for v, name in zip(outcome.value[0], names, strict=True)]
        print_table(("length", "first numbers", "token"), rows, right=(0,))

    return headed(_item, body)


def _token_names(pipe: Any, text: str) -> list[str]:
    ids = pipe.prepare(text, pipe.options({}))[0].input_ids
    names: list[str] = pipe.tokenizer.convert_ids_to_tokens(ids)
    return names


def _glance(vector: np.ndarray) -> tuple[float, str]:
    """A vector (H,) at a glance: its length and where it begins."""
    return float(np.linalg.norm(vector)), " ".join(f"{x:8.4f}" for x in vector[:6].tolist()) + " ..."


def next_sentence(args: argparse.Namespace) -> int:
    """`minibert next-sentence`."""
    texts, item_of = _pairs(args, "the first and the second text")
    pipe = _pipeline("next-sentence", args)
    if args.json:
        show = as_json(lambda one: {"text": one.item[0], "text_pair": one.item[1], **one.value})
    else:
        show = in_table(
            Table(("label", "is next", "not next", "first", "second"), right=(1, 2)), _next_row, _no_next_row
        )
    return answer_texts(args, texts, item_of=item_of, answers=PipelineAnswers(pipe), show=show)


def _next_row(outcome: Outcome) -> list[tuple[Any, ...]]:
    found, (text, pair) = outcome.value, outcome.item
    return [(found["label"], found["is_next"], found["not_next"], clip(text, 50), clip(pair, 50))]


def _no_next_row(text: str) -> tuple[Any, ...]:
    return "not answered", "", "", clip(text, 50), ""


def classify(args: argparse.Namespace) -> int:
    """`minibert classify`."""
    texts = _texts(args)
    pipe = _pipeline("text-classification", args, top_k=args.top_k, function_to_apply=args.function)
    if args.json:
        show = as_json(lambda one: {"text": one.line.text, "predictions": one.value})
    else:
        show = in_table(Table(("score", "label", "text"), right=(0,)), _label_rows, _no_label_row)
    item_of = _pair_of if args.pairs else _text_of
    return answer_texts(args, texts, item_of=item_of, answers=PipelineAnswers(pipe), show=show)


def _label_rows(outcome: Outcome) -> list[tuple[Any, ...]]:
    text = clip(outcome.line.text, 70)
    return [(label["score"], label["label"], "" if rank else text) for rank, label in enumerate(outcome.value)]


def _no_label_row(text: str) -> tuple[Any, ...]:
    return "", "not answered", clip(text, 70)


def tokens(args: argparse.Namespace) -> int:
    """`minibert tokens`."""
    texts = _texts(args)
    pipe = _pipeline("token-classification", args, aggregation_strategy=args.aggregation, stride=args.stride)

    def body(outcome: Outcome) -> None:
        if not outcome.value:
            print_line("  nothing found")
            return
        rows = [
            (e["score"], e.get("entity_group", e.get("entity")), e["start"], e["end"], e["word"]) for e in outcome.value
        ]
        print_table(("score", "label", "start", "end", "word"), rows, right=(0, 2, 3))

    show = as_json(lambda one: {"text": one.item, "entities": one.value}) if args.json else headed(_item, body)
    return answer_texts(args, texts, item_of=_text_of, answers=PipelineAnswers(pipe), show=show)


def answer(args: argparse.Namespace) -> int:
    """`minibert answer`."""
    if args.context is not None and args.context_file is not None:
        raise CommandError("the text came both with --context and with --context-file; give one of them")
    if args.context_file == "-" and not args.text and args.file in (None, "-"):
        raise CommandError("the questions and --context-file both come from stdin; give one of them as a file")
    context = args.context if args.context_file is None else read_context(args.context_file)
    if context is None:
        texts, pair_of = _pairs(args, "a question and the text with the answer")
    else:
        texts, pair_of = _texts(args), lambda line: (line.text, context)
    options = {"top_k": args.top_k, "max_answer_len": args.max_answer_len}
    pipe = _pipeline("question-answering", args, handle_impossible_answer=args.impossible, **options)

    def item_of(line: Line) -> dict[str, str]:
        return dict(zip(("question", "context"), pair_of(line), strict=True))

    def body(outcome: Outcome) -> None:
        found = _listed(outcome.value)
        if not found:
            print_facts([("nothing found", "")])
            return
        rows = [(a["score"], a["start"], a["end"], clip(a["answer"]) or "(no answer)") for a in found]
        print_table(("score", "start", "end", "answer"), rows, right=(0, 1, 2))

    def fields(outcome: Outcome) -> dict[str, Any]:
        return {"question": outcome.item["question"], "answers": _listed(outcome.value)}

    show = as_json(fields) if args.json else headed(lambda one: str(one.item["question"]), body)
    return answer_texts(args, texts, item_of=item_of, answers=PipelineAnswers(pipe), show=show)


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]
