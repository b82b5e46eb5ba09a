"""The published numbers of the models on the Hugging Face hub: model cards, and the slices in their reference tests.

Needs the hub (BERT-base and BERT-large, 3 GB in its cache the first time) but no other library: what is compared with
is written below. Each test is skipped, with the reason, where the hub cannot be reached.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minibert
from minibert import (
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertModel,
    BertTokenizer,
    NextSentence,
    no_grad,
)
from minibert.checkpoint import WEIGHT_FILES, CheckpointError, resolve

pytestmark = pytest.mark.hub

CASED = "google-bert/bert-base-cased"
UNCASED = "google-bert/bert-base-uncased"
SQUAD = "deepset/bert-base-cased-squad2"
CONLL = "dbmdz/bert-large-cased-finetuned-conll03-english"

# The slices are published with four decimals, computed in float32 on another machine, and with this tolerance.
SLICE = 1e-4

# The model card of bert-base-cased, section "How to use": word, id, probability.
FILL_MASK = {
    "Hello I'm a [MASK] model.": [
        ("fashion", 4633, 0.09019174426794052),
        ("new", 1207, 0.06349995732307434),
        ("male", 2581, 0.06228214129805565),
        ("professional", 1848, 0.0441727414727211),
        ("super", 7688, 0.03326151892542839),
    ],
    "The man worked as a [MASK].": [
        ("lawyer", 4545, 0.04804691672325134),
        ("waiter", 17989, 0.037494491785764694),
        ("cop", 9947, 0.035512614995241165),
        ("detective", 9140, 0.031271643936634064),
        ("doctor", 3995, 0.027423162013292313),
    ],
    "The woman worked as a [MASK].": [
        ("nurse", 7439, 0.16927455365657806),
        ("waitress", 15098, 0.1501094549894333),
        ("maid", 13487, 0.05600163713097572),
        ("housekeeper", 26458, 0.04838843643665314),
        ("cook", 9834, 0.029980547726154327),
    ],
}


def _run(model: Any, ids: list[int], **inputs: list[int]) -> Any:
    """One sequence through a model, without a tape."""
    with no_grad():
        return model(np.array([ids]), **{name: np.array([row]) for name, row in inputs.items()})


def _close(got: Any, expected: list[Any]) -> None:
    np.testing.assert_allclose(np.asarray(got), np.array(expected), rtol=0, atol=SLICE)


@pytest.mark.parametrize("sentence", FILL_MASK)
def test_the_model_card_s_fill_mask_numbers(sentence: str) -> None:
    found = minibert.pipeline("fill-mask", model=CASED)(sentence)
    expected = FILL_MASK[sentence]
    assert [(one["token_str"], one["token"]) for one in found] == [(word, number) for word, number, _ in expected]
    # Float32 on another machine: logits around 10 differ by some 1e-5, and a probability by as much of itself.
    np.testing.assert_allclose([one["score"] for one in found], [score for _, _, score in expected], rtol=1e-4)


def test_the_short_name_on_the_model_card() -> None:
    """The card says `model='bert-base-cased'`: names without an owner, from the hub's first years."""
    found = minibert.pipeline("fill-mask", model="bert-base-cased")("Hello I'm a [MASK] model.", top_k=1)
    assert found[0]["token_str"] == "fashion"


def test_hidden_states_of_bert_base_uncased() -> None:
    """The first position is masked, the others keep their places."""
    ids = [0, 345, 232, 328, 740, 140, 1695, 69, 6078, 1588, 2]
    out = _run(BertModel.from_pretrained(UNCASED), ids, attention_mask=[0] + [1] * 10)
    assert out.last_hidden_state.shape == (1, 11, 768)
    _close(
        out.last_hidden_state.numpy()[0, 1:4, 1:4],
        [[0.4249, 0.1008, 0.7531], [0.3771, 0.1188, 0.7467], [0.4152, 0.1098, 0.7108]],
    )


def test_masked_word_logits_of_bert_base_uncased() -> None:
    ids = [101, 1996, 3007, 1997, 2605, 2003, 103, 1012, 102]
    out = _run(BertForMaskedLM.from_pretrained(UNCASED), ids)
    assert out.logits.shape == (1, 9, 30522)
    _close(
        out.logits.numpy()[0, 1:4, 1:4],
        [[-14.7240, -14.2120, -14.6434], [-10.3125, -9.7459, -9.9923], [-15.1105, -14.8048, -14.9276]],
    )


def test_next_sentence_logits_of_bert_base_uncased() -> None:
    first = [101, 1999, 3304, 10733, 2003, 2366, 4895, 14540, 6610, 2094, 1012, 102]
    second = [2059, 1996, 8013, 20323, 2009, 2478, 9292, 1998, 5442, 1012, 102]
    out = _run(
        BertForNextSentencePrediction.from_pretrained(UNCASED), first + second, token_type_ids=[0] * 12 + [1] * 11
    )
    _close(out.logits.numpy(), [[6.1459, -5.7820]])
    assert int(out.logits.numpy().argmax()) == NextSentence.IS_NEXT


def test_question_answering_logits_of_a_squad_model() -> None:
    ids = [101, 2627, 1108, 3104, 1124, 15703, 136, 102, 3104, 1124, 15703, 1108, 170, 3505, 16797, 102]
    out = _run(BertForQuestionAnswering.from_pretrained(SQUAD), ids, token_type_ids=[0] * 8 + [1] * 8)
    _close(out.start_logits.numpy()[0, 1:4], [-6.9344, -6.9556, -2.8814])
    _close(out.end_logits.numpy()[0, 1:4], [-7.3395, -7.9609, -7.4926])


def test_token_classification_logits_of_a_named_entity_model() -> None:
    """BERT-large, cased."""
    ids = [101, 20164, 10932, 2271, 7954, 1110, 1359, 1107, 2123, 1105, 1203, 1365, 102]
    out = _run(BertForTokenClassification.from_pretrained(CONLL), ids)
    _close(
        out.logits.numpy()[0, 1:4, 1:4],
        [[-3.1215, -0.4028, -3.3213], [-2.4627, 0.0613, -3.2501], [-3.1475, -0.7705, -2.8248]],
    )


def test_a_cased_tokenisation() -> None:
    """Case and accents are kept, [MASK] is not cut."""
    tokens = BertTokenizer.from_pretrained(CASED).tokenize("A, naïve [MASK] AllenNLP sentence.")
    assert tokens == ["A", ",", "na", "##ï", "##ve", "[MASK]", "Allen", "##NL", "##P", "sentence", "."]


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (BertModel, UNCASED),
        (BertForMaskedLM, CASED),
        (BertForNextSentencePrediction, UNCASED),
        (BertForQuestionAnswering, SQUAD),
        (BertForTokenClassification, CONLL),
    ],
)
def test_nothing_is_missing(cls: Any, name: str) -> None:
    """Old names, position ids, heads left over: and still every parameter comes from the file."""
    _, info = cls.from_pretrained(name, output_loading_info=True)
    assert info["missing_keys"] == set()
    assert info["mismatched_keys"] == set()
    assert all(key.startswith(("cls.", "bert.pooler.")) for key in info["unexpected_keys"])


def test_only_what_is_needed_is_fetched(tmp_path: Path) -> None:
    """The smallest of Google's models (18 MB) into an empty cache: its configuration and one form of its weights."""
    folder = resolve("google/bert_uncased_L-2_H-128_A-2", cache_dir=tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 2
    assert "config.json" in names
    assert len(names & set(WEIGHT_FILES)) == 1


def test_what_was_fetched_once_is_there_offline() -> None:
    """In a process of its own, because huggingface_hub reads its environment once."""
    folder = resolve(CASED)
    code = f"from minibert.checkpoint import resolve; print(resolve({CASED!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == str(folder)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("google-bert/no-such-model-of-ours", None, "neither a folder here nor a repository on the hub"),
        (CASED, "no-such-revision", "does not exist on the hub, though the repository does"),
    ],
)
def test_what_the_hub_does_not_have(name: str, revision: str | None, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        resolve(name, revision=revision)
    assert "\n" not in str(caught.value)
