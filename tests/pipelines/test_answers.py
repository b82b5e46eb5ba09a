"""question-answering: held against trying every span, windows, impossible questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minibert import no_grad, pipeline

QUESTION = "Who sings in Berlin?"
CONTEXT = "Wolfgang sings. The unaffable dog lives in New York, and a cat ran."


@pytest.fixture
def ask(tiny_checkpoints: dict[str, Path]) -> Any:
    return pipeline("question-answering", tiny_checkpoints["answers"], dtype="float64")


def every_span(ask: Any, question: str, context: str, longest: int) -> tuple[list[tuple[float, int, int]], float]:
    """(score, start, end) of every span of tokens of a context that fits, best first; and the score of no answer."""
    row = ask.tokenizer(question, context, return_offsets_mapping=True)
    with no_grad():
        out = ask.model(
            np.array([row["input_ids"]]), token_type_ids=np.array([row["token_type_ids"]])
        )  # a single row needs no mask
    inside = [i for i, text in enumerate(row.sequence_ids()) if text == 1]
    shares = []
    for logits in (out.start_logits.numpy()[0], out.end_logits.numpy()[0]):
        e = np.exp(logits)
        shares.append(e / (e[inside].sum() + e[0]))
    spans = [
        (shares[0][i] * shares[1][j], row["offset_mapping"][i][0], row["offset_mapping"][j][1])
        for i in inside
        for j in inside
        if i <= j < i + longest
    ]
    return sorted(spans, reverse=True), shares[0][0] * shares[1][0]


@pytest.mark.parametrize("longest", [1, 3, 15])
def test_the_best_spans(ask: Any, longest: int) -> None:
    expected, _ = every_span(ask, QUESTION, CONTEXT, longest)
    found = ask(question=QUESTION, context=CONTEXT, top_k=4, max_answer_len=longest, align_to_words=False)
    assert [list(answer) for answer in found] == [["score", "start", "end", "answer"]] * 4
    for answer, (score, start, end) in zip(found, expected, strict=False):
        assert answer["score"] == pytest.approx(score, rel=1e-12)  # float64 twice
        assert (answer["start"], answer["end"]) == (start, end)
        assert answer["answer"] == CONTEXT[start:end]


def test_whole_words(ask: Any) -> None:
    for answer in ask(question=QUESTION, context=CONTEXT, top_k=20):
        start, end = answer["start"], answer["end"]
        assert answer["answer"] == CONTEXT[start:end]
        assert not (CONTEXT[start - 1 : start].isalnum() and CONTEXT[start].isalnum())
        assert not (CONTEXT[end - 1].isalnum() and CONTEXT[end : end + 1].isalnum())


def test_forms(ask: Any) -> None:
    one = ask(question=QUESTION, context=CONTEXT)
    assert isinstance(one, dict)
    pair = {"question": QUESTION, "context": CONTEXT}
    assert ask(pair) == one
    other = ask(question="Where?", context=CONTEXT)
    for several in (
        ask([pair, {"question": "Where?", "context": CONTEXT}]),
        ask(question=[QUESTION, "Where?"], context=CONTEXT),
        ask(question=[QUESTION, "Where?"], context=[CONTEXT, CONTEXT]),
    ):
        assert [a["answer"] for a in several] == [one["answer"], other["answer"]]
    assert len(ask(pair, top_k=3)) == 3
    assert ask([]) == []


def test_an_impossible_question(ask: Any) -> None:
    _, nothing = every_span(ask, QUESTION, CONTEXT, 15)
    found = ask(question=QUESTION, context=CONTEXT, top_k=500, handle_impossible_answer=True, align_to_words=False)
    empty = [answer for answer in found if answer["answer"] == ""]
    assert len(empty) == 1
    assert empty[0]["score"] == pytest.approx(nothing, rel=1e-12)  # float64 twice
    assert found == sorted(found, key=lambda answer: -answer["score"])


def test_a_long_context_is_read_in_windows(ask: Any) -> None:
    context = "the cat sat on a mat . " * 12 + "wolfgang sings in new york ! " + "it is a dog , and it ran . " * 9
    found = ask(question=QUESTION, context=context, top_k=50, max_seq_len=24, doc_stride=6)
    assert found
    assert all(context[a["start"] : a["end"]] == a["answer"] for a in found)
    assert len({(a["start"], a["end"]) for a in found}) == len(found)  # windows overlap, answers do not repeat
    # By hand: the last window, as a context of its own, scores its spans the same way.
    row = ask.tokenizer(
        QUESTION, context, truncation="only_second", max_length=24, stride=6, return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )  # fmt: skip
    own = [offset for text, offset in zip(row.sequence_ids(-1), row["offset_mapping"][-1], strict=True) if text == 1]
    begin, end = own[0][0], own[-1][1]
    alone = ask(question=QUESTION, context=context[begin:end])
    assert any(
        a["start"] == alone["start"] + begin and a["score"] == pytest.approx(alone["score"], rel=1e-9)  # float64 twice
        for a in ask(question=QUESTION, context=context, top_k=5000, max_seq_len=24, doc_stride=6)
    )


def test_wrong_questions(ask: Any) -> None:
    for wrong in ("text", {"question": "a"}, {"question": "a", "context": " "}, {"question": "", "context": "a"}):
        with pytest.raises(ValueError, match="question|context"):
            ask(wrong)
    with pytest.raises(ValueError, match="the question has 60 tokens, which leaves no room"):
        ask(question="who " * 60, context=CONTEXT)
    with pytest.raises(ValueError, match="doc_stride 40 leaves nothing new in windows of"):
        ask(question=QUESTION, context=CONTEXT, doc_stride=40)
    with pytest.raises(ValueError, match="give question=... and context=..."):
        ask()
    with pytest.raises(ValueError, match="2 questions need one context, or a list of 2"):
        ask(question=["a", "b"], context=["a"])
    with pytest.raises(ValueError, match="several contexts need several questions"):
        ask(question="a", context=["a"])
    with pytest.raises(ValueError, match="max_answer_len must be"):
        ask(question="a", context="a", max_answer_len=0)
    with pytest.raises(ValueError, match=r"^input 1: the context must be a text that is not empty"):
        ask([{"question": "a", "context": "b"}, {"question": "a", "context": ""}])
