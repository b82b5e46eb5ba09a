"""question-answering: the `top_k` best distinct answers, held against enumerating every span of every window."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibert import no_grad
from minibert.pipelines import QuestionAnsweringPipeline
from tests.pipelines import checkpoints

QUESTION = "who sings ?"
WORDS = st.sampled_from(["the", "wolfgangs", "unaffable", "cat", "berlin", "sings", ".", "sat", "Zebra"])


@cache
def asker(seed: int) -> QuestionAnsweringPipeline:
    model = checkpoints.model("answers", dtype="float64", seed=seed)
    return QuestionAnsweringPipeline(model, checkpoints.tokenizer())


def enumerate_answers(qa: Any, context: str, *, longest: int, length: int, stride: int, whole_words: bool) -> list[Any]:
    """[(-score, start, end), ...] of every distinct answer, in order; ending with the score of "no answer"."""
    rows = qa.tokenizer(
        QUESTION, context, truncation="only_second", max_length=length, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    # The characters of each word of the whole context, which a window may hold a part of.
    alone = qa.tokenizer(context, return_offsets_mapping=True, truncation=False, max_length=10**6)
    words: dict[int, list[int]] = {}
    for word, (start, end) in zip(alone.word_ids(), alone["offset_mapping"], strict=True):
        if word is not None:
            words[word] = [min(start, words.get(word, [start])[0]), end]
    best: dict[tuple[int, int], float] = {}
    nothing = []
    for k, ids in enumerate(rows["input_ids"]):
        with no_grad():
            out = qa.model(np.array([ids]), token_type_ids=np.array([rows["token_type_ids"][k]]))
        inside = [i for i, text in enumerate(rows.sequence_ids(k)) if text == 1]
        p, q = (np.exp(logits.numpy()[0]) for logits in (out.start_logits, out.end_logits))
        p, q = (e / (e[inside].sum() + e[0]) for e in (p, q))
        nothing.append(p[0] * q[0])
        owners, offsets = rows.word_ids(k), rows["offset_mapping"][k]
        for i in inside:
            for j in inside:
                if i <= j < i + longest:
                    place = (offsets[i][0], offsets[j][1])
                    if whole_words:
                        place = (words[owners[i]][0], words[owners[j]][1])
                    best[place] = max(best.get(place, 0.0), p[i] * q[j])
    return [*sorted((-score, *place) for place, score in best.items()), min(nothing)]


@given(
    seed=st.integers(0, 4),
    words=st.lists(WORDS, min_size=1, max_size=24),
    top_k=st.integers(1, 40),
    longest=st.sampled_from([1, 2, 5, 15, 10**9]),
    length=st.sampled_from([10, 16, 32]),
    whole_words=st.booleans(),
    impossible=st.booleans(),
)
def test_the_best_distinct_answers(
    seed: int, words: list[str], top_k: int, longest: int, length: int, whole_words: bool, impossible: bool
) -> None:
    qa, context = asker(seed), " ".join(words)
    *expected, nothing = enumerate_answers(
        qa, context, longest=longest, length=length, stride=2, whole_words=whole_words
    )
    if impossible:
        expected = sorted([*expected, (-nothing, 0, 0)])
    found = qa(
        QUESTION, context, top_k=top_k, max_answer_len=longest, max_seq_len=length, doc_stride=2,
        align_to_words=whole_words, handle_impossible_answer=impossible,
    )  # fmt: skip
    found = [found] if top_k == 1 else found
    assert len(found) == min(top_k, len(expected))
    # Batches of several windows add in another order than single ones: a few roundings of float64.
    np.testing.assert_allclose([a["score"] for a in found], [-e[0] for e in expected[:top_k]], rtol=1e-9)
    for answer in found:
        assert answer["answer"] == context[answer["start"] : answer["end"]]
        same = next(-score for score, *place in expected if place == [answer["start"], answer["end"]])
        assert answer["score"] == pytest.approx(same, rel=1e-9)
    assert len({(a["start"], a["end"]) for a in found}) == len(found)
    assert [a["score"] for a in found] == sorted((a["score"] for a in found), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_fewer_answers_are_the_first_of_more(seed: int) -> None:
    qa = asker(seed)
    ask = {"question": QUESTION, "context": "wolfgangs unaffable berlin sings the wolfgangs sat ."}
    every = qa(ask, top_k=1000)
    assert len(every) == 8 * 9 // 2  # spans of the eight words
    assert all(qa(ask, top_k=k) == every[:k] for k in range(2, len(every), 5))
    assert qa(ask) == every[0]
    assert qa(ask, top_k=np.int64(3)) == every[:3]


def test_a_window_that_cuts_a_word_answers_with_the_whole_word() -> None:
    context = "unaffable " * 12
    found = asker(0)(QUESTION, context, top_k=1000, max_seq_len=10, doc_stride=0, max_answer_len=1)
    assert {a["answer"] for a in found} == {"unaffable"}
    assert len(found) == 12


def test_equal_scores_come_in_the_order_of_the_context() -> None:
    qa = QuestionAnsweringPipeline(checkpoints.model("answers", scale=0.0), checkpoints.tokenizer())
    found = qa(QUESTION, "the cat sat", top_k=6)
    assert len({a["score"] for a in found}) == 1
    assert [a["answer"] for a in found] == ["the", "the cat", "the cat sat", "cat", "cat sat", "sat"]
    assert [a["answer"] for a in qa(QUESTION, "the cat sat", top_k=2)] == ["the", "the cat"]


def test_question_and_context_in_order() -> None:
    qa, context = asker(0), "the cat sat . wolfgang sings ."
    one = qa(question=QUESTION, context=context)
    assert qa(QUESTION, context) == one
    assert qa(QUESTION, context=context) == one
    assert qa((QUESTION, context)) == one
    for several in (
        qa([QUESTION, QUESTION], context),
        qa([QUESTION, QUESTION], [context, context]),
        qa([(QUESTION, context)]),
        list(qa(iter([{"question": QUESTION, "context": context}]))),
    ):
        assert {(a["start"], a["end"], a["answer"]) for a in several} == {(one["start"], one["end"], one["answer"])}
    with pytest.raises(ValueError, match="both in order and by name"):
        qa(QUESTION, context, question=QUESTION)
