"""One function for each pipeline: read, run, print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from minibert.backend import kernels_off
from minibert.cli.arguments import CommandError
from minibert.cli.printing import clip, print_facts, print_json, print_line, print_table
from minibert.cli.reading import Line, read_file, read_lines, split_pair, texts_of
from minibert.cli.writing import check_target, write_array
from minibert.pipelines import PipelineException, pipeline

LITTLE = 1500
"""Characters in all, below which the kernels stay off: the command ends after these texts, and loading Numba takes
longer than the kernels would save (BERT-base, one sentence: 0.6 s with them, 0.3 s without)."""

__all__ = ["answer", "classify", "features", "fill_mask", "next_sentence", "tokens"]


def _pipeline(task: str, given: argparse.Namespace, **options: Any) -> Any:
    pipe = pipeline(
        task,
        given.model,
        dtype=given.dtype,
        device=given.device,
        revision=given.revision,
        cache_dir=given.cache_dir,
        local_files_only=given.offline,
        batch_size=given.batch_size,
        **options,
        **({"truncation": True} if given.truncate else {}),
    )
    pipe.how_to_cut = "with --truncate" + (", or read in windows with --stride N" if task.startswith("token") else "")
    return pipe


def _answers(pipe: Any, inputs: Sequence[Any], lines: Sequence[Line]) -> list[Any]:
    """One answer for each input; an error names the line."""
    little = sum(len(str(each)) for each in inputs) < LITTLE
    try:
        with kernels_off() if little else nullcontext():
            return list(pipe.run(inputs, pipe.options({})))
    except PipelineException as error:
        if error.index is None or len(lines) == 1:
            raise CommandError(error.reason) from error
        raise CommandError(f"{lines[error.index].where}: {error.reason}") from error


def _heading(text: str, number: int) -> None:
    """The text that the table below is about."""
    if number:
        print_line()
    print_line(clip(text))


def fill_mask(given: argparse.Namespace) -> None:
    """`minibert fill-mask`."""
    lines = read_lines(given)
    pipe = _pipeline("fill-mask", given, top_k=given.top_k, targets=given.targets)
    texts = texts_of(lines)
    for number, (text, words) in enumerate(zip(texts, _answers(pipe, texts, lines), strict=True)):
        if given.json:
            print_json({"text": text, "predictions": words})
            continue
        _heading(text, number)
        several = isinstance(words[0], list)
        for mask, best in enumerate(words if several else [words], 1):
            if several:
                print_line(f"  {pipe.tokenizer.mask_token} number {mask}")
            rows = [(w["score"], w["token_str"], w["token"], clip(w["sequence"])) for w in best]
            print_table(("score", "word", "token", "text"), rows, right=(0, 2))


def features(given: argparse.Namespace) -> None:
    """`minibert features`."""
    target = None if given.out is None else check_target(Path(given.out), ".npy")
    lines = read_lines(given)
    pooled = given.pool != "none"
    pipe = _pipeline("feature-extraction", given, pool=given.pool, normalize=given.normalize, return_tensors=True)
    texts = texts_of(lines)
    vectors = _answers(pipe, texts, lines)  # each (H,) or (1, S, H)
    if target is not None:
        array = np.stack(vectors) if pooled else _padded([one[0] for one in vectors])  # (B, H) or (B, S, H)
        write_array(target, array)
        told = {"out": str(target), "shape": list(array.shape), "dtype": str(array.dtype)}
        if given.json:
            print_json(told)
        else:
            print_line(f"wrote {target}: {tuple(array.shape)} {array.dtype}")
        return
    if pooled and not given.json:
        print_table(
            ("length", "first numbers", "text"),
            [(*_glance(v), clip(t, 60)) for v, t in zip(vectors, texts, strict=True)],
        )
        return
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        if pooled:
            print_json({"text": text, "features": vector.tolist()})
            continue
        ids = pipe.prepare(text, pipe.options({}))[0].input_ids
        names = pipe.tokenizer.convert_ids_to_tokens(ids)
        if given.json:
            print_json({"text": text, "tokens": names, "features": vector[0].tolist()})
            continue
        _heading(text, number)
        rows = [(*_glance(v), name) for v, name in zip(vector[0], names, strict=True)]
        print_table(("length", "first numbers", "token"), rows, right=(0,))


def _glance(vector: np.ndarray) -> tuple[float, str]:
    """A vector (H,) at a glance: its length and where it begins."""
    return float(np.linalg.norm(vector)), " ".join(f"{x:8.4f}" for x in vector[:6].tolist()) + " ..."


def _padded(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """(S, H) matrices of different S as one array (B, longest, H), zeros behind."""
    longest = max(len(one) for one in matrices)
    array = np.zeros((len(matrices), longest, matrices[0].shape[1]), matrices[0].dtype)
    for b, one in enumerate(matrices):
        array[b, : len(one)] = one
    return array


def _pairs(given: argparse.Namespace, what: str) -> tuple[list[Line], list[tuple[str, str]]]:
    """Two arguments, or lines with a TAB."""
    lines = read_lines(given)
    if not given.text:
        return lines, [split_pair(line) for line in lines]
    if len(lines) != 2:
        raise CommandError(f"expected two arguments, {what}; got {len(lines)} (for many, lines with a TAB in --file)")
    return [lines[0]], [(lines[0].text, lines[1].text)]


def next_sentence(given: argparse.Namespace) -> None:
    """`minibert next-sentence`."""
    lines, pairs = _pairs(given, "the first and the second text")
    answers = _answers(_pipeline("next-sentence", given), pairs, lines)
    if given.json:
        for (text, pair), found in zip(pairs, answers, strict=True):
            print_json({"text": text, "text_pair": pair, **found})
        return
    rows = [
        (found["label"], found["is_next"], found["not_next"], clip(text, 50), clip(pair, 50))
        for (text, pair), found in zip(pairs, answers, strict=True)
    ]
    print_table(("label", "is next", "not next", "first", "second"), rows, right=(1, 2))


def classify(given: argparse.Namespace) -> None:
    """`minibert classify`."""
    lines = read_lines(given)
    inputs = [split_pair(line) for line in lines] if given.pairs else texts_of(lines)
    pipe = _pipeline("text-classification", given, top_k=given.top_k, function_to_apply=given.function)
    answers = _answers(pipe, inputs, lines)
    if given.json:
        for text, labels in zip(texts_of(lines), answers, strict=True):
            print_json({"text": text, "predictions": labels})
        return
    rows = [
        (one["score"], one["label"], clip(text, 70) if place == 0 else "")
        for text, labels in zip(texts_of(lines), answers, strict=True)
        for place, one in enumerate(labels)
    ]
    print_table(("score", "label", "text"), rows, right=(0,))


def tokens(given: argparse.Namespace) -> None:
    """`minibert tokens`."""
    lines = read_lines(given)
    pipe = _pipeline("token-classification", given, aggregation_strategy=given.aggregation, stride=given.stride)
    texts = texts_of(lines)
    for number, (text, found) in enumerate(zip(texts, _answers(pipe, texts, lines), strict=True)):
        if given.json:
            print_json({"text": text, "entities": found})
            continue
        _heading(text, number)
        if not found:
            print_line("  nothing found")
            continue
        rows = [(e["score"], e.get("entity_group", e.get("entity")), e["start"], e["end"], e["word"]) for e in found]
        print_table(("score", "label", "start", "end", "word"), rows, right=(0, 2, 3))


def answer(given: argparse.Namespace) -> None:
    """`minibert answer`."""
    if given.context is not None and given.context_file is not None:
        raise CommandError("the text came both with --context and with --context-file; give one of them")
    context = given.context if given.context_file is None else read_file(given.context_file)
    if context is None:
        lines, pairs = _pairs(given, "a question and the text with the answer")
    else:
        lines = read_lines(given)
        pairs = [(line.text, context) for line in lines]
    options = {"top_k": given.top_k, "max_answer_len": given.max_answer_len}
    pipe = _pipeline("question-answering", given, handle_impossible_answer=given.impossible, **options)
    inputs = [{"question": question, "context": text} for question, text in pairs]
    for number, (pair, found) in enumerate(zip(pairs, _answers(pipe, inputs, lines), strict=True)):
        best = found if isinstance(found, list) else [found]
        if given.json:
            print_json({"question": pair[0], "answers": best})
            continue
        _heading(pair[0], number)
        if not best:
            print_facts([("nothing found", "")])
            continue
        rows = [(a["score"], a["start"], a["end"], clip(a["answer"]) or "(no answer)") for a in best]
        print_table(("score", "start", "end", "answer"), rows, right=(0, 1, 2))
